"""The recent lines of all processes of a run, within bounds, and those who follow them as they come.

Filled by `local`, read by `control` for `tcpservice logs`, and by the screen. Each process keeps its own last lines, so
that one that logs a lot does not push out those of the others. Pure but for the queues of followers.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from msgspec import Struct

KEPT: Final = 2000
"""Lines of each process."""
LONGEST: Final = 4096
"""Characters of a line; the rest is cut."""
PROCESSES: Final = 1000
"""Processes whose lines are kept; the one that has not written for longest gives way."""
WAITING: Final = 10_000
"""Lines that wait for one follower; more are left out, and counted."""


class LogLine(Struct, frozen=True):
    """A line: its number in the run, who wrote it ('' is `up` itself), and what."""

    number: int
    who: str
    text: str


class Follower:
    """A queue of the lines that come, None at their end; `missed` counts those for which there was no room.

    `wanted` says whose lines it takes.
    """

    def __init__(self, wanted: Callable[[str], bool]) -> None:
        self._wanted = wanted
        self.queue: asyncio.Queue[LogLine | None] = asyncio.Queue(WAITING + 1)
        self.missed = 0

    def take(self, line: LogLine) -> None:
        """Take a line, if it is wanted and there is room."""
        if not self._wanted(line.who):
            return
        if self.queue.qsize() < WAITING:
            self.queue.put_nowait(line)
        else:
            self.missed += 1


class ProcessLog:
    """The lines of a run."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[LogLine]] = {}
        self._recent: deque[LogLine] = deque(maxlen=KEPT)
        self._followers: set[Follower] = set()
        self._number = 0

    def add(self, who: str, text: str) -> None:
        """Keep a line, and give it to the followers."""
        self._number += 1
        line = LogLine(self._number, who, text[:LONGEST])
        if who not in self._lines and len(self._lines) >= PROCESSES:
            del self._lines[next(iter(self._lines))]
        lines = self._lines.pop(who) if who in self._lines else deque(maxlen=KEPT)
        lines.append(line)
        self._lines[who] = lines  # the last to write is the last to go
        self._recent.append(line)
        for follower in self._followers:
            follower.take(line)

    def writers(self) -> list[str]:
        """Return who has written, the last one last."""
        return list(self._lines)

    def recent(self) -> list[LogLine]:
        """Return the last lines of all processes."""
        return list(self._recent)

    def lines(self, writers: Iterable[str]) -> list[LogLine]:
        """Return the lines of some writers in the order in which they came."""
        chosen = [self._lines[who] for who in writers if who in self._lines]
        return list(heapq.merge(*chosen, key=lambda line: line.number))

    def end(self) -> None:
        """Say to all followers that no line comes any more."""
        for follower in self._followers:
            follower.queue.put_nowait(None)
        self._followers.clear()

    @contextlib.contextmanager
    def follow(self, wanted: Callable[[str], bool] = lambda _: True) -> Iterator[Follower]:
        """Give a follower of the lines that come from now on."""
        follower = Follower(wanted)
        self._followers.add(follower)
        try:
            yield follower
        finally:
            self._followers.discard(follower)
