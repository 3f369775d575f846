"""The rounds: every contender once per round under every load, in an order that is drawn anew each time.

Used by `bench`. All contenders of a round run side by side and only the one under load does anything, so that what
else the machine does meets all of them alike.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contest.cases import CASES, CROWD, FIXED_RATE, Case
from contest.contenders import Contender, Running
from contest.load import call, replicas
from contest.places import say
from contest.processes import BenchError, Child, Children
from contest.samples import Results, Sample, Start, read_sample

_SETTLE_SECONDS: Final = 0.3
_MEGABYTE: Final = 1e6
_AT_FIXED_RATE: Final = ("direct", "two", "two-envoys")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is run, and for how long each time."""

    load: Path
    rounds: int
    seconds: float
    warmup: float
    contenders: Sequence[Contender]
    traced: Sequence[Contender]


class Rounds:
    """One run of the benchmark; `results` grows with it."""

    def __init__(self, plan: Plan) -> None:
        self.results = Results()
        self._plan = plan
        self._chance = random.Random()

    def run(self) -> None:
        """Run all rounds. Raises BenchError where a contender does not start."""
        crowd = [case for case in CASES if case.key == CROWD]
        others = [case for case in CASES if case.key != CROWD]
        for number in range(1, self._plan.rounds + 1):
            self.results.begin_round()
            say(f"Round {number} of {self._plan.rounds}: {len(others)} loads on 3 replicas ...")
            self._round(others, [*self._plan.contenders, *self._plan.traced])
            say(f"Round {number} of {self._plan.rounds}: 1,000 callers, 10 replicas ...")
            self._round(crowd, self._plan.contenders)
            say(f"Round {number} of {self._plan.rounds}: a fixed rate, 2 replicas ...")
            self._round([FIXED_RATE], [one for one in self._plan.contenders if one.key in _AT_FIXED_RATE])

    def _round(self, cases: Sequence[Case], contenders: Sequence[Contender]) -> None:
        with replicas(self._plan.load, cases[0].replicas) as (child, ports), ExitStack() as stack:
            running = {
                one.key: self._start(one, stack.enter_context(Children()), ports) for one in self._shuffled(contenders)
            }
            for case in cases:
                for one in self._shuffled(contenders):
                    if case.traced or one not in self._plan.traced:
                        self.results.add(case, one.key, self._measure(case, one.key, running[one.key], child))

    def _shuffled(self, contenders: Sequence[Contender]) -> list[Contender]:
        return self._chance.sample(contenders, len(contenders))

    def _start(self, contender: Contender, children: Children, ports: Sequence[int]) -> Running:
        running = contender.start(children, ports)
        time.sleep(_SETTLE_SECONDS)
        idle = [resident(child) for side in running.sides.values() for child in side]
        start = Start(ready_s=running.ready_seconds, idle_mb=sum(idle) if idle else None)
        # The first fleet is the one that the figures of starting are of.
        self.results.starts[-1].setdefault(contender.key, start)
        return running

    def _measure(self, case: Case, key: str, running: Running, fleet: Child) -> Sample:
        before = fleet.ask()
        try:
            seconds = self._plan.seconds * case.stretch
            found = call(self._plan.load, case, running, fleet, seconds=seconds, warmup=self._plan.warmup)
        except BenchError as error:
            say(f"  {case.title}, {key}: {error}")
            return _failed(str(error), case)
        after = fleet.ask()
        sample = read_sample(found, [now - then for now, then in zip(after, before, strict=True)])
        for problem in sample.problems:
            say(f"  {case.title}, {key}: {problem}")
        return sample


def resident(child: Child) -> float:
    """Megabytes that a process and those it started hold."""
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in child.pids()]
    return sum(pages) * os.sysconf("SC_PAGESIZE") / _MEGABYTE


def _failed(problem: str, case: Case) -> Sample:
    even = 1 / case.replicas
    return Sample(
        requests=0,
        rate=0.0,
        cpu_us={},
        p50_ms=0.0,
        p99_ms=0.0,
        rss_mb=None,
        shares=(even,) * case.replicas,
        problems=(problem,),
    )
