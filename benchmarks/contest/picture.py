"""The figures as a picture: bars of CPU per request, one group for each load, as SVG for the project's README.

Used by `bench`. The bars of a group are relative to its longest one, since loads differ by a factor of twenty. Written
by hand, because a plotting library is a large dependency for bars without axes.
"""

from __future__ import annotations

from html import escape
from typing import Final

from contest.cases import CASES, CROWD
from contest.samples import Results
from contest.tables import NAMES, show

_LOADS: Final = ("window-1", "window-8", "window-32", CROWD, "1-mib")
_COLOURS: Final = {"one": "#2f81f7", "envoy": "#8b949e", "haproxy": "#b7bdc4"}
_WIDTH: Final = 760
_LABEL: Final = 110
_BAR: Final = 470
_ROW: Final = 20
_GAP: Final = 34


def costs(results: Results) -> str:
    """Draw what one message costs one sidecar and the byte movers beside it."""
    titles = {case.key: case.title for case in CASES}
    y, rows = 44, []
    for load in _LOADS:
        found = {key: results.figure(load, key, lambda sample: sample.proxy_us) for key in _COLOURS}
        measured = {key: value for key, value in found.items() if value is not None}
        rows.append(_text(0, y, titles[load], "title"))
        for place, (key, value) in enumerate(measured.items()):
            at = y + 10 + place * _ROW
            width = max(2.0, _BAR * value / max(measured.values()))
            rows += [
                _text(_LABEL - 8, at + 12, NAMES[key], "name"),
                f'<rect x="{_LABEL}" y="{at}" width="{width:.0f}" height="{_ROW - 5}" rx="2" fill="{_COLOURS[key]}"/>',
                _text(round(_LABEL + width + 8), at + 12, f"{show(value)} µs", "value"),
            ]
        y += 10 + len(measured) * _ROW + _GAP - 10
    style = (
        "text{font:13px system-ui,sans-serif;fill:#57606a}.title{font-weight:600}.head{font-size:15px;font-weight:600}"
        ".name{text-anchor:end}@media(prefers-color-scheme:dark){text{fill:#c9d1d9}}"
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y - 14}" role="img">',
        "<title>CPU per request: one sidecar, Envoy's tcp_proxy, HAProxy</title>",
        f"<style>{style}</style>",
        _text(0, 18, "CPU per request and reply (shorter is better; each group has a scale of its own)", "head"),
        *rows,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _text(x: int, y: int, text: str, kind: str) -> str:
    return f'<text x="{x}" y="{y}" class="{kind}">{escape(text)}</text>'
