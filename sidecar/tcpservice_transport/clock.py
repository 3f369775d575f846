"""Deadlines of a client on one timer of the event loop, however many requests wait.

Used by `client`. Most deadlines never come; the wheel makes setting and cancelling them cheap.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from tcpservice.timers import TimerOwner, Timers

_NS: Final = 1_000_000_000


class Clock:
    """Calls `expired` with each that has waited too long."""

    __slots__ = ("_due", "_expired", "_loop", "_timer", "_timers")

    def __init__(self, expired: Callable[[TimerOwner], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._expired = expired
        self._timers = Timers()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0

    def set(self, waiting: TimerOwner, seconds: float) -> None:
        """Let it expire in so many seconds from now, instead of when it was to."""
        due = time.monotonic_ns() + int(seconds * _NS)
        self._timers.set(waiting, 0, due)
        if self._timer is None or due < self._due:
            self._arm()

    def cancel(self, waiting: TimerOwner) -> None:
        """Let it not expire."""
        self._timers.cancel(waiting, 0)

    def stop(self) -> None:
        """Let nothing expire any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        self.stop()
        due = self._timers.next_due()
        if due is not None:
            self._due = due
            self._timer = self._loop.call_later(max(0, due - time.monotonic_ns()) / _NS, self._tick)

    def _tick(self) -> None:
        self._timer = None
        try:
            while (fired := self._timers.pop(time.monotonic_ns())) is not None:
                self._expired(fired[0])
        finally:  # whatever one call raises, the others still expire
            if self._timer is None:
                self._arm()
