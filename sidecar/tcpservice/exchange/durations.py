"""How long messages took: counts in buckets, by the labels of the metrics.

Used by a shell's metrics. It is part of the core because it runs for every message, and is compiled with the rest.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Final

from tcpservice.exchange.outputs import Finished

LONGEST: Final = (1 << 63) - 1
"""No duration is longer (ns)."""

Labels = tuple[bool, str, str | None, str, str]
"""Whether the message came by the mesh, its service, its route, its kind and its code."""


class Series:
    """The durations of the messages with the same labels: how many in each bucket, and their sum in ns."""

    __slots__ = ("counts", "total")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.total = 0


class Durations:
    """All series of one sidecar. `bounds` are the buckets' upper bounds in ns; the last bucket has none.

    Consecutive rows mostly have the same labels and similar durations. So the series of the last row is kept, and so
    is its bucket: durations above `_above` and up to `_up_to` belong to it.
    """

    __slots__ = ("_above", "_bounds", "_bucket", "_last", "_series", "_up_to", "retries", "series")

    def __init__(self, bounds: tuple[int, ...]) -> None:
        self._bounds = bounds
        self._bucket = 0
        self._above = 0
        self._up_to = 0
        self._last: Finished | None = None
        self._series = Series(len(bounds) + 1)
        self.series: dict[Labels, Series] = {}
        self.retries: Counter[str] = Counter()

    def add(self, rows: list[Finished]) -> None:
        """Count ended messages."""
        spent = 0  # of the last series, which its own total, that has no bound, gets at once
        for row in rows:
            last = self._last
            if (
                last is None
                or row.code is not last.code
                or row.route is not last.route
                or row.service is not last.service
                or row.kind is not last.kind
                or row.mesh != last.mesh
            ):
                self._series.total += spent
                spent = 0
                self._find_series(row)
            duration = row.ended - row.started
            if not self._above < duration <= self._up_to:
                self._find_bucket(duration)
            series = self._series
            series.counts[self._bucket] += 1
            spent += duration
            if row.attempts > 1:
                self.retries[row.service] += row.attempts - 1
        self._series.total += spent

    def _find_series(self, row: Finished) -> None:
        labels = (row.mesh, row.service, row.route, row.kind, row.code)
        series = self.series.get(labels)
        if series is None:
            series = self.series[labels] = Series(len(self._bounds) + 1)
        self._series = series
        self._last = row

    def _find_bucket(self, duration: int) -> None:
        bounds = self._bounds
        bucket = self._bucket = bisect_left(bounds, duration)
        self._above = bounds[bucket - 1] if bucket else -1
        self._up_to = bounds[bucket] if bucket < len(bounds) else LONGEST
