"""What the sidecar promises to stay within, and whether this run found it so. Nothing fails for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from contest.cases import CROWD
from contest.pauses import Pauses
from contest.samples import Results

_IDLE_MB: Final = 42.0
_READY_S: Final = 0.3
_PAUSE_MS: Final = 5.0

_RATIOS: Final = (
    ("one sidecar / Envoy, CPU, 64 B, window 1", "window-1", "one", "envoy", 0.8),
    ("one sidecar / Envoy, CPU, 64 B, window 8", "window-8", "one", "envoy", 1.0),
    ("one sidecar / Envoy, CPU, 64 B, window 32", "window-32", "one", "envoy", 1.5),
    ("one sidecar / Envoy, CPU, 1,000 callers, 10 replicas", CROWD, "one", "envoy", 0.45),
    ("one sidecar / HAProxy, CPU, 256 KiB bodies", "256-kib", "one", "haproxy", 1.3),
    ("one sidecar / HAProxy, CPU, 1 MiB bodies", "1-mib", "one", "haproxy", 1.3),
    ("two sidecars / two Envoys, CPU, 64 B, window 1", "window-1", "two", "two-envoys", 1.0),
    ("two sidecars / two Envoys, CPU, 64 B, window 8", "window-8", "two", "two-envoys", 1.2),
    ("two sidecars / two Envoys, CPU, 64 B, window 32", "window-32", "two", "two-envoys", 2.0),
    ("traces of 1 % / none, CPU, 64 B, window 1", "window-1", "traced-1", "one", 1.1),
    ("traces of 1 % / none, CPU, 64 B, window 8", "window-8", "traced-1", "one", 1.1),
    ("traces of 1 % / none, CPU, 64 B, window 32", "window-32", "traced-1", "one", 1.1),
)
"""Each with its case, the contender above, the one below, and the most that it may be."""

_PAUSES: Final = (
    ("pauses of the garbage collector, p99.9, 64 B, window 32", "window-32"),
    ("pauses of the garbage collector, p99.9, 1,000 callers, 10 replicas", CROWD),
)


@dataclass(frozen=True)
class Floor:
    """One promise: at most `limit`; `found` is None where it was not measured. `each` is what single rounds found."""

    title: str
    limit: float
    found: float | None
    unit: str
    each: tuple[float, ...] = ()

    @property
    def verdict(self) -> str:
        """Met, missed, or not measured."""
        if self.found is None:
            return "not measured"
        return "met" if self.found <= self.limit else "**missed**"


def floors(results: Results, pauses: Mapping[str, Pauses]) -> list[Floor]:
    """Judge all promises."""
    ratios = [
        Floor(title, limit, results.ratio(case, above, below), "x", tuple(results.ratios(case, above, below)))
        for title, case, above, below, limit in _RATIOS
    ]
    return [
        *ratios,
        Floor("memory of one sidecar, idle", _IDLE_MB, results.start("one", lambda start: start.idle_mb), " MB"),
        Floor("start of one sidecar to ready", _READY_S, results.start("one", lambda start: start.ready_s), " s"),
        *(
            Floor(title, _PAUSE_MS, pauses[case].within(0.999) if case in pauses else None, " ms")
            for title, case in _PAUSES
        ),
    ]
