"""One timer of the event loop that stands for many times: only the earliest of them is set.

Used by the I/O of the sidecar and by clients of the transport for Python apps, which keep their many times in the
core's `timers`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic_ns


class LoopTimer:
    """Calls `ring` at `due`, in nanoseconds of the monotonic clock; `due` is None while nothing is set."""

    __slots__ = ("_handle", "_loop", "_ring", "due")

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._handle: asyncio.TimerHandle | None = None
        self.due: int | None = None

    def set(self, due: int | None) -> None:
        """Call at this time instead of the one that was set; with None, do not call."""
        if due == self.due:
            return
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self.due = due
        if due is not None:
            self._handle = self._loop.call_later(max(0, due - monotonic_ns()) / 1e9, self._run)

    def _run(self) -> None:
        self._handle = self.due = None
        self._ring()
