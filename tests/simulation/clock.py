"""Simulated time: a heap of things to do, in the order of their times.

Every part of the simulated fleet uses the one clock of its run. Nothing sleeps; `run` jumps from one entry to the next,
so a simulated minute without traffic costs nothing. Two entries of the same time run in the order in which they were
added, so a run is the same each time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Final

Act = Callable[..., None]

START: Final = 1000 * 1_000_000_000
"""The time at which a run begins, in nanoseconds. It is not 0, which the exchange uses for "never"."""


class Clock:
    """The time of one run, in integer nanoseconds."""

    __slots__ = ("_heap", "_serial", "_soon", "now", "steps")

    def __init__(self) -> None:
        self.now = START
        self.steps = 0
        self._heap: list[tuple[int, int, Act, tuple[Any, ...]]] = []
        self._serial = 0
        self._soon: deque[Act] = deque()

    def at(self, when: int, act: Act, *arguments: Any) -> None:
        """Call `act` at a time; a time in the past means as soon as possible."""
        self._serial += 1
        heappush(self._heap, (when, self._serial, act, arguments))

    def after(self, delay: int, act: Act, *arguments: Any) -> None:
        """Call `act` after a delay."""
        self.at(self.now + delay, act, *arguments)

    def soon(self, act: Act) -> None:
        """Call `act` when the entry that runs now has returned (the end of this turn of an event loop)."""
        self._soon.append(act)

    def run(self, until: int) -> None:
        """Do everything that is due up to a time, and let that be the time."""
        heap, soon = self._heap, self._soon
        while True:
            while soon:
                soon.popleft()()
            if not heap or heap[0][0] > until:
                break
            when, _, act, arguments = heappop(heap)
            self.now = max(self.now, when)
            self.steps += 1
            act(*arguments)
        self.now = until
