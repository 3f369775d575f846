"""What the messages of a trace said: under the tree, each call with its data and its response or error.

Used by all that shows a trace. Sidecars put packets on spans only if they are asked to, as `tcpservice up` does;
other traces have no such lines. A packet that is longer than a sidecar keeps is shown as it begins.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from tcpservice_traces.cells import cut, safe
from tcpservice_traces.labels import route, who
from tcpservice_traces.lines import Line, Segment
from tcpservice_traces.span import REQUEST, RESPONSE, Span
from tcpservice_traces.store import Trace
from tcpservice_traces.tree import Row, rows_of

_INDENT: Final = "  "
_MEMBERS: Final = {REQUEST: ("data",), RESPONSE: ("err", "response")}


def messages(trace: Trace, width: int) -> list[Line]:
    """Return the messages of a trace as lines of at most `width` columns; none where its spans have no packets."""
    lines: list[Line] = []
    for row in rows_of(trace.spans):
        span = row.outer
        if row.lost is None and REQUEST in span.attributes and not _is_attempt(row, span):
            lines += [(), (Segment(cut(f"{who(row)}  {route(row)}", width), "title"),), *_packets(span, width)]
    return lines


def _is_attempt(row: Row, span: Span) -> bool:
    """Whether a row is one of several attempts of the call above it, which has the packets, too."""
    return span.kind == "server" and row.above is not None and row.above.kind == "client"


def _packets(span: Span, width: int) -> Iterator[Line]:
    request, response = span.attributes[REQUEST], span.attributes.get(RESPONSE)
    _, data = _member(str(request), REQUEST)
    yield _line("data", data, "", width)
    if response is None:
        return
    name, value = _member(str(response), RESPONSE)
    yield _line("error" if name == "err" else "response", value, "error" if name == "err" else "", width)


def _member(packet: str, kind: str) -> tuple[str, str]:
    """Return the name and the value of what matters in a packet; of one that is cut, all of it."""
    try:
        members = json.loads(packet)
    except (ValueError, RecursionError):
        return "", packet
    for name in _MEMBERS[kind]:
        if isinstance(members, dict) and members.get(name) is not None:
            return name, json.dumps(members[name], ensure_ascii=False)
    return "", "(none)" if isinstance(members, dict) else packet


def _line(name: str, value: str, style: str, width: int) -> Line:
    label = f"{_INDENT}{name:8}  "
    return (Segment(label, "note"), Segment(cut(safe(value), max(1, width - len(label))), style))
