"""How long messages took: counts in buckets, by the labels of the metrics.

Used by a shell's metrics. It is part of the core because it runs for every message, and is compiled with the rest.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

from tcpservice.exchange.outputs import Finished

Labels = tuple[bool, str, str | None, str, str]
"""Whether the message came by the mesh, its service, its route, its kind and its code."""


class Series:
    """The durations of the messages with the same labels: how many in each bucket, and their sum in ns."""

    __slots__ = ("counts", "total")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.total = 0


class Durations:
    """All series of one sidecar. `bounds` are the buckets' upper bounds in ns; the last bucket has none."""

    __slots__ = ("_bounds", "retries", "series")

    def __init__(self, bounds: tuple[int, ...]) -> None:
        self._bounds = bounds
        self.series: dict[Labels, Series] = {}
        self.retries: Counter[str] = Counter()

    def add(self, rows: list[Finished]) -> None:
        """Count ended messages."""
        for row in rows:
            labels = (row.mesh, row.service, row.route, row.kind, row.code)
            series = self.series.get(labels)
            if series is None:
                series = self.series[labels] = Series(len(self._bounds) + 1)
            duration = row.ended - row.started
            series.counts[bisect_left(self._bounds, duration)] += 1
            series.total += duration
            if row.attempts > 1:
                self.retries[row.service] += row.attempts - 1
