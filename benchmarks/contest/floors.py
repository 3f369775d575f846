"""What the sidecar promises to stay within, and whether this run found it so. Nothing fails for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from contest.cases import CROWD
from contest.samples import Results

_IDLE_MB: Final = 45.0
_CROWD_MB: Final = 120.0
_READY_S: Final = 0.6
_CPU: Final = {"window-1": 1.5, "window-8": 4.0, "window-32": 4.0}


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


def floors(results: Results) -> list[Floor]:
    """Judge all promises."""
    return [
        *(_cpu(results, case, limit) for case, limit in _CPU.items()),
        Floor("memory idle", _IDLE_MB, results.start("one", lambda start: start.idle_mb), " MB"),
        Floor(
            "memory, 1,000 callers and 10 replicas",
            _CROWD_MB,
            results.figure(CROWD, "one", lambda sample: sample.rss_mb),
            " MB",
        ),
        Floor("start to ready", _READY_S, results.start("one", lambda start: start.ready_s), " s"),
    ]


def _cpu(results: Results, case: str, limit: float) -> Floor:
    title = f"CPU per request beside HAProxy, 64 B, {case.replace('-', ' ')}"
    found = results.ratio(case, "one", "haproxy")
    return Floor(title, limit, found, "x", tuple(results.ratios(case, "one", "haproxy")))
