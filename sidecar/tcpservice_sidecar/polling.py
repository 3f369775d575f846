"""The wait between two polls, which can be cut short.

Used by `source`, `upstreams` and `discovery`: they look at files and names again and again, and at once when asked.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress


class PollWait:
    """Waits of so many seconds each."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._cut = asyncio.Event()

    def cut(self) -> None:
        """End the wait that is on, or else the next one."""
        self._cut.set()

    async def wait(self) -> None:
        """Wait."""
        # Not wait_for: up to Python 3.11 it loses a cancellation that comes when the event was just set.
        with suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                await self._cut.wait()
        self._cut.clear()
