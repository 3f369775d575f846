"""Deadlines of a client on one timer of the event loop, however many requests wait.

Used by `client`. Most deadlines never come; the core's timers make setting and cancelling them cheap.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from tcpservice.timers import TimerOwner, Timers
from tcpservice_sockets.timer import LoopTimer

_NS: Final = 1_000_000_000


class Clock:
    """Calls `expired` with each that has waited too long."""

    __slots__ = ("_expired", "_timer", "_timers")

    def __init__(self, expired: Callable[[TimerOwner], None]) -> None:
        self._expired = expired
        self._timers = Timers()
        self._timer = LoopTimer(asyncio.get_running_loop(), self._tick)

    def set(self, waiting: TimerOwner, seconds: float) -> None:
        """Let it expire in so many seconds from now, instead of when it was to."""
        due = time.monotonic_ns() + int(seconds * _NS)
        self._timers.set(waiting, 0, due)
        if self._timer.due is None or due < self._timer.due:
            self._timer.set(self._timers.next_due())

    def cancel(self, waiting: TimerOwner) -> None:
        """Let it not expire."""
        self._timers.cancel(waiting, 0)

    def stop(self) -> None:
        """Let nothing expire any more."""
        self._timer.set(None)

    def _tick(self) -> None:
        try:
            while (fired := self._timers.pop(time.monotonic_ns())) is not None:
                self._expired(fired[0])
        finally:  # whatever one call raises, the others still expire
            self._timer.set(self._timers.next_due())
