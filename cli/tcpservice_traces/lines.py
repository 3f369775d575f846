"""A trace as lines for a terminal: the tree, the routes, the time bars, how long, and what went wrong.

Used by whoever shows a trace. A line is a tuple of segments, each a text and the name of a style (`screen` gives the
names their colours), so that the same lines serve plain output, a live screen and tests. Columns line up over the
whole tree; where the terminal is narrow, texts give way first, then bars.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from tcpservice_traces import bars
from tcpservice_traces.bars import Axis, Extent
from tcpservice_traces.cells import columns, cut, pad
from tcpservice_traces.durations import duration
from tcpservice_traces.labels import LOST, Note, notes, route, short_route, who
from tcpservice_traces.store import Trace
from tcpservice_traces.summary import Summary, summarise
from tcpservice_traces.tree import Row, rows_of

COLOURS: Final = 6
"""Services take the styles `service.0` to `service.5` in turn, in the order in which the tree shows them."""

_WIDE: Final = 80
"""From here on there is air between columns, and longer branches."""
_NARROW: Final = 56
"""Below this, names and routes share a column, and the only note is that of a failure."""
_BRANCHES: Final = ("├─ ", "└─ ", "│  ", "   ")
_SHORT_BRANCHES: Final = ("├ ", "└ ", "│ ", "  ")
_DEEPER: Final = "⋯"
_SHORT: Final = 8


class Segment(NamedTuple):
    """A text and the name of its style, '' for none."""

    text: str
    style: str


Line = tuple[Segment, ...]


class _Entry(NamedTuple):
    """What stands in the columns of a row, but for its bar."""

    row: Row
    trunk: str
    who: str
    route: str
    duration: str
    notes: list[Note]
    style: str


class _Columns(NamedTuple):
    """The widths of the columns; a column of width 0 is left out."""

    tree: int
    route: int
    bar: int
    duration: int
    notes: int
    gap: str


def render(trace: Trace, width: int) -> list[Line]:
    """Return a trace that has at least one span as lines of at most `width` columns, the heading first."""
    rows = rows_of(trace.spans)
    summary = summarise(trace, rows)
    entries = _entries(rows, width)
    layout = _layout(entries, width)
    axis = Axis(Extent(summary.start_ns, summary.start_ns + summary.duration_ns), layout.bar)
    lines = [heading(summary), *(_line(entry, layout, axis) for entry in entries)]
    return [_fitted(line, width) for line in lines]


def heading(summary: Summary) -> Line:
    """Return the line that says what a trace is."""
    failed = summary.error or (_count(summary.errors, "error") if summary.errors else "")
    parts = [
        Segment(f"trace {summary.trace_id[:_SHORT]}", "id"),
        Segment(summary.journey, "title"),
        Segment(duration(summary.duration_ns), "duration"),
        Segment(failed, "error"),
        Segment(_count(summary.services, "service"), "note"),
        Segment(_count(summary.spans, "span"), "note"),
        Segment(f"{summary.dropped} more had no room" if summary.dropped else "", "retry"),
    ]
    return _spaced((part for part in parts if part.text), "  ")


def _entries(rows: Sequence[Row], width: int) -> list[_Entry]:
    branches = _BRANCHES if width >= _WIDE else _SHORT_BRANCHES
    styles: dict[str, str] = {}
    for row in rows:
        styles.setdefault(row.span.service, f"service.{len(styles) % COLOURS}")
    return [
        _Entry(
            row=row,
            trunk=trunk,
            who=who(row),
            route="" if row.lost is not None else route(row),
            duration="" if row.lost is not None else duration(row.span.end_ns - row.span.start_ns),
            notes=notes(row) if width >= _NARROW else [note for note in notes(row) if note.style == "error"],
            style="error" if row.lost is not None else styles[row.span.service],
        )
        for row, trunk in zip(rows, _trunks(rows, branches), strict=True)
    ]


def _trunks(rows: Sequence[Row], branches: Sequence[str]) -> list[str]:
    """Return the branches before each row."""
    fork, end, on, blank = branches
    open_: list[str] = []
    trunks = []
    for row in rows:
        del open_[max(0, row.depth - 1) :]
        trunks.append("".join(open_) + ("" if row.depth == 0 else end if row.last else fork))
        if row.depth:
            open_.append(blank if row.last else on)
    return trunks


def _layout(entries: Sequence[_Entry], width: int) -> _Columns:
    """Share the width: how long and what went wrong get what they need; of the rest, names may take five eighths."""
    gap = "  " if width >= _WIDE else " "
    tree = max(columns(entry.trunk) + columns(entry.who) for entry in entries)
    routes = max(columns(entry.route) for entry in entries)
    times = max(columns(entry.duration) for entry in entries)
    said = min(max(columns(_said(entry.notes)) for entry in entries), width * 3 // 10)
    left = max(0, width - times - said - len(gap) * (4 if said else 3))
    labels = min(tree + routes, left * 5 // 8)
    routes = min(routes, max(labels - tree, labels * 2 // 5)) if width >= _NARROW else 0
    return _Columns(labels - routes, routes, left - labels, times, said, gap)


def _line(entry: _Entry, layout: _Columns, axis: Axis) -> Line:
    label = entry.who if layout.route else f"{entry.who} {entry.route}"
    cells = [
        _name(entry, label, layout.tree),
        [Segment(pad(short_route(entry.route, layout.route), layout.route), "route")],
        _bar(entry, axis),
        [Segment(entry.duration.rjust(layout.duration), "duration")],
        _notes(entry.notes, layout.notes),
    ]
    line: list[Segment] = []
    for cell in cells:
        if any(segment.text for segment in cell):
            line += [Segment(layout.gap, ""), *cell] if line else cell
    return tuple(line)


def _name(entry: _Entry, label: str, width: int) -> list[Segment]:
    """Return the branches and the label; of many branches, the last ones, so that a label has half of the room."""
    trunk = entry.trunk
    room = max(width // 2, width - columns(entry.who))
    if len(trunk) > room:
        trunk = (_DEEPER + trunk[len(trunk) - room + 1 :])[:room]
    rest = width - len(trunk)
    return [Segment(trunk, "tree"), Segment(pad(cut(label, rest), rest), entry.style)]


def _bar(entry: _Entry, axis: Axis) -> list[Segment]:
    row, span = entry.row, entry.row.span
    if row.lost is not None:
        pieces = axis.mark(row.lost.at_ns, LOST)
    else:
        pieces = axis.bar(Extent(span.start_ns, span.end_ns), Extent(row.outer.start_ns, row.outer.end_ns))
    styles = {bars.BLANK: "", bars.THIN: "wire", bars.SOLID: "error" if span.error else entry.style}
    return [Segment(piece.text, styles[piece.what]) for piece in pieces]


def _notes(found: Sequence[Note], width: int) -> list[Segment]:
    """Return the notes within their column."""
    return list(_fitted(_spaced((Segment(*note) for note in found), ", "), width))


def _said(found: Sequence[Note]) -> str:
    return ", ".join(note.text for note in found)


def _spaced(segments: Iterable[Segment], gap: str) -> Line:
    spaced = [part for segment in segments for part in (Segment(gap, ""), segment)]
    return tuple(spaced[1:])


def _fitted(line: Line, width: int) -> Line:
    """Return a line in at most `width` columns and without blanks at its end."""
    fitted = []
    for segment in line:
        text = cut(segment.text, width)
        width -= columns(text)
        fitted.append(Segment(text, segment.style))
    while fitted and not fitted[-1].text.strip():
        fitted.pop()
    if fitted:
        fitted[-1] = Segment(fitted[-1].text.rstrip(), fitted[-1].style)
    return tuple(segment for segment in fitted if segment.text)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
