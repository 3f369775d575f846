"""How long Python's garbage collector stops a sidecar under load.

Used by `bench`. No message moves during a collection, so each message that is then in flight is later by its length.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Final

from contest.cases import CASES, CROWD, Case
from contest.contenders import PROXY, WatchedSidecar
from contest.load import call, replicas
from contest.places import say
from contest.processes import BenchError, Children

_LOADS: Final = ("window-32", CROWD)
_NANOSECONDS: Final = 1e6


@dataclass(frozen=True)
class Pauses:
    """All collections while a load ran, the connecting of its callers included. Times are milliseconds.

    `full` is that of one full collection, which the benchmark ran in the middle of the load; `lengths` is without it.
    """

    title: str
    seconds: float
    lengths: tuple[float, ...]
    full: float | None

    def within(self, share: float) -> float:
        """Return the length that this share of the collections did not exceed; 0 if there were none."""
        if not self.lengths:
            return 0.0
        return sorted(self.lengths)[max(math.ceil(share * len(self.lengths)) - 1, 0)]


def measure(load: Path, seconds: float, warmup: float) -> dict[str, Pauses]:
    """Measure under each load; one that fails is left out with a line."""
    found: dict[str, Pauses] = {}
    for case in CASES:
        if case.key in _LOADS:
            say(f"Pauses of the garbage collector: {case.title} ...")
            try:
                found[case.key] = _measure(load, case, seconds, warmup)
            except BenchError as error:
                say(f"  {case.title}: {error}")
    return found


def _measure(load: Path, case: Case, seconds: float, warmup: float) -> Pauses:
    with replicas(load, case.replicas) as (fleet, ports), Children() as children:
        running = WatchedSidecar().start(children, ports)
        sidecar = running.sides[PROXY][0]
        sidecar.ask()  # so that the next answer leaves out the collections of the start
        began, full = time.monotonic(), []
        halfway = Timer(warmup + seconds / 2, lambda: full.append(sidecar.ask("collect") / _NANOSECONDS))
        halfway.start()
        call(load, case, running, fleet, seconds=seconds, warmup=warmup)
        halfway.join()
        lengths = tuple(length / _NANOSECONDS for length in sidecar.ask())
        return Pauses(case.title, time.monotonic() - began, lengths, full[0] if full else None)
