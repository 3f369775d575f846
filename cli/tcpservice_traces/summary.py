"""A trace in a few figures, for a list of traces and for the line above a tree.

Used by `lines` and by whoever lists traces.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from tcpservice_traces.cells import safe
from tcpservice_traces.labels import callee, error_text, route
from tcpservice_traces.store import Trace
from tcpservice_traces.tree import Row, rows_of


class Summary(Struct, frozen=True, kw_only=True):
    """A trace at a glance; all texts are safe to print.

    `source` is the service where it begins, `target` the first other one ('' where there is none), `route` the first
    route. `error` is that of the first root; `errors` counts the rows that failed, attempts that were made up for among
    them. Times in ns.
    """

    trace_id: str
    source: str
    target: str
    route: str
    start_ns: int
    duration_ns: int
    services: int
    spans: int
    error: str
    errors: int
    dropped: int

    @property
    def journey(self) -> str:
        """From where to where: `web → orders`."""
        return f"{self.source} → {self.target}" if self.target else self.source


def summary_of(trace: Trace) -> Summary:
    """Summarise a trace that has at least one span."""
    return summarise(trace, rows_of(trace.spans))


def summarise(trace: Trace, rows: Sequence[Row]) -> Summary:
    """Summarise a trace of which the rows are at hand."""
    first = rows[0]
    start = min(span.start_ns for span in trace.spans)
    return Summary(
        trace_id=trace.trace_id,
        source=safe(first.span.service),
        target=_target(rows),
        route=route(first),
        start_ns=start,
        duration_ns=max(span.end_ns for span in trace.spans) - start,
        services=len({span.service for span in trace.spans}),
        spans=len(trace.spans),
        error=error_text(first.span),
        errors=sum(bool(row.lost or row.span.error) for row in rows),
        dropped=trace.dropped,
    )


def _target(rows: Sequence[Row]) -> str:
    """Return the first service beside the one where the trace begins: one that told of it, else one that was called."""
    source = rows[0].span.service
    for row in rows:
        if row.span.service != source:
            return safe(row.span.service)
    called = [callee(row.span) for row in rows if row.span.kind == "client"]
    return next((name for name in called if name not in ("", safe(source))), "")
