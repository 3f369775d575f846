"""Delayed acknowledgement: what was read is acknowledged within two milliseconds, not after the kernel's 40.

Used by the sidecar and by the transport for Python apps. NestJS leaves Nagle's algorithm on, so that its next small
frame waits for the acknowledgement of the one before. A write acknowledges what was read on its way. Replies of quick
apps come within the time here, and then no system call is needed.
"""

from __future__ import annotations

import asyncio
from typing import Final

from tcpservice_sockets.channel import Channel

ACKNOWLEDGE_S: Final = 0.001
"""How long at least, and twice that at most, what was read waits for a write."""


class DelayedAcknowledgement:
    """The channels of one event loop from which something was read that no write has acknowledged yet."""

    __slots__ = ("_loop", "_read", "_read_before", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._read: set[Channel] = set()
        self._read_before: set[Channel] = set()
        self._timer: asyncio.TimerHandle | None = None

    def read(self, channel: Channel) -> None:
        """Acknowledge soon what was read."""
        self._read.add(channel)
        if self._timer is None:
            self._timer = self._loop.call_later(ACKNOWLEDGE_S, self._acknowledge)

    def written(self, channel: Channel) -> None:
        """Acknowledge nothing: a write has done it, or the channel is closed."""
        self._read.discard(channel)
        self._read_before.discard(channel)

    def _acknowledge(self) -> None:
        """Acknowledge what was read before the last call; what was read since then may still be answered."""
        for channel in self._read_before:
            channel.acknowledge()
        self._read_before, self._read = self._read, set()
        again = self._read_before
        self._timer = self._loop.call_later(ACKNOWLEDGE_S, self._acknowledge) if again else None
