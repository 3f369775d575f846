"""The recent traces, in memory and within bounds.

Filled by `receiver` through its owner, read by whoever shows traces. Spans of a trace come from several processes, in
any order and at times twice, as an exporter that got no answer sends again. When room is needed, the trace that began
to arrive first leaves; those in which something failed stay longer, up to half of all. Pure: time is passed in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from tcpservice_traces.span import Span

_SHORT: Final = 8
_NAMED: Final = 4


class NoSuchTrace(LookupError):
    """No trace, or more than one, has an id that begins so; the message is for people."""


class Bounds(Struct, frozen=True, kw_only=True):
    """How much is kept."""

    traces: int = 200
    spans: int = 20_000
    spans_of_one: int = 500


class Trace(Struct, frozen=True, kw_only=True):
    """One trace as it is now: its spans as they came, how many had no room, and when spans came first and last (s)."""

    trace_id: str
    spans: tuple[Span, ...]
    dropped: int
    since: float
    updated: float


class _Record(Struct, kw_only=True):
    """A trace that may still grow; its spans by their ids."""

    spans: dict[str, Span]
    since: float
    updated: float
    dropped: int = 0
    failed: bool = False


class TraceStore:
    """The recent traces. `counts` says what was left out: `traces` and `spans` dropped, and `duplicates`."""

    def __init__(self, bounds: Bounds | None = None) -> None:
        self._bounds = bounds or Bounds()
        self._traces: dict[str, _Record] = {}
        self._spans = 0
        self.counts: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._traces)

    def add(self, spans: Iterable[Span], now: float) -> None:
        """Put spans that arrived at `now` (seconds, any clock) into their traces."""
        for span in spans:
            self._add(span, now)

    def recent(self, limit: int) -> list[Trace]:
        """Return up to `limit` traces, the one that began to arrive last first."""
        newest = list(reversed(self._traces))[: max(0, limit)]
        return [self._view(trace_id) for trace_id in newest]

    def get(self, prefix: str) -> Trace:
        """Return the one trace whose id begins so. Raises NoSuchTrace."""
        found = [trace_id for trace_id in self._traces if trace_id.startswith(prefix.lower())]
        if len(found) == 1:
            return self._view(found[0])
        if not found:
            raise NoSuchTrace(f"no trace begins with {prefix!r} among the last {len(self._traces)}")
        named = ", ".join(trace_id[: max(_SHORT, len(prefix) + 4)] for trace_id in found[-_NAMED:])
        raise NoSuchTrace(f"{len(found)} traces begin with {prefix!r}: {named}{', ...' if len(found) > _NAMED else ''}")

    def _add(self, span: Span, now: float) -> None:
        record = self._traces.get(span.trace_id)
        if record is None:
            self._make_room(traces=1, beside=None)
            record = self._traces[span.trace_id] = _Record(spans={}, since=now, updated=now)
        record.updated = now
        if span.span_id in record.spans:
            self.counts["duplicates"] += 1
        elif len(record.spans) >= self._bounds.spans_of_one or not self._make_room(traces=0, beside=span.trace_id):
            record.dropped += 1
            self.counts["spans"] += 1
        else:
            record.spans[span.span_id] = span
            record.failed = record.failed or bool(span.error or span.failed)
            self._spans += 1

    def _make_room(self, *, traces: int, beside: str | None) -> bool:
        """Let old traces leave until one span fits, and so many traces; False where only `beside` is left."""
        while len(self._traces) + traces > self._bounds.traces or self._spans >= self._bounds.spans:
            oldest = self._first_to_leave(beside)
            if oldest is None:
                return False
            self._drop(oldest)
        return True

    def _first_to_leave(self, beside: str | None) -> str | None:
        """Return the trace that leaves next: the oldest of those without a failure, unless the others are too many."""
        ids = [trace_id for trace_id in self._traces if trace_id != beside]
        failed = [trace_id for trace_id in ids if self._traces[trace_id].failed]
        fine = [trace_id for trace_id in ids if not self._traces[trace_id].failed]
        many = len(failed) > self._bounds.traces // 2
        return next(iter(failed if many or not fine else fine), None)

    def _drop(self, trace_id: str) -> None:
        record = self._traces.pop(trace_id)
        self._spans -= len(record.spans)
        self.counts["traces"] += 1
        self.counts["spans"] += len(record.spans)

    def _view(self, trace_id: str) -> Trace:
        record = self._traces[trace_id]
        return Trace(
            trace_id=trace_id,
            spans=tuple(record.spans.values()),
            dropped=record.dropped,
            since=record.since,
            updated=record.updated,
        )
