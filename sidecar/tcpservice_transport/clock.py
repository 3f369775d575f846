"""Deadlines of a client on one timer of the event loop, however many requests wait.

Used by `client`. Most deadlines never come; the wheel makes setting and cancelling them cheap.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from tcpservice.deadlines import Waiting, Wheel

_NS: Final = 1_000_000_000


class Clock:
    """Calls `expired` with each that has waited too long."""

    __slots__ = ("_due", "_expired", "_loop", "_timer", "_wheel")

    def __init__(self, expired: Callable[[Waiting], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._expired = expired
        self._wheel = Wheel()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0

    def set(self, waiting: Waiting, seconds: float) -> None:
        """Let it expire in so many seconds from now, instead of when it was to."""
        due = time.monotonic_ns() + int(seconds * _NS)
        self._wheel.set(waiting, due)
        if self._timer is None or due < self._due:
            self._arm()

    def cancel(self, waiting: Waiting) -> None:
        """Let it not expire."""
        self._wheel.cancel(waiting)

    def stop(self) -> None:
        """Let nothing expire any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        self.stop()
        due = self._wheel.next_due()
        if due is not None:
            self._due = due
            self._timer = self._loop.call_later(max(0, due - time.monotonic_ns()) / _NS, self._tick)

    def _tick(self) -> None:
        self._timer = None
        try:
            while (waiting := self._wheel.pop(time.monotonic_ns())) is not None:
                self._expired(waiting)
        finally:  # whatever one call raises, the others still expire
            if self._timer is None:
                self._arm()
