"""A channel as a stream: a task waits for what comes.

Used where one task follows a conversation of a few bytes (`appcheck`, and `relay` for the opening line of a mesh
connection), instead of asyncio's streams, which know only sockets of the event loop.
"""

from __future__ import annotations

import asyncio
from typing import Final

from tcpservice_sockets.channel import Channel, Receiver

_MOST_WAITING: Final = 64 * 1024


class Stream:
    """The receiver of one channel."""

    channel: Channel

    def __init__(self) -> None:
        self._data = bytearray()
        self._ended = False
        self._closed: str | None = None
        self._changed = asyncio.Event()

    def opened(self, channel: Channel) -> None:
        """Take the channel."""
        self.channel = channel

    def received(self, data: bytes) -> None:
        """Keep what came until somebody reads it."""
        self._data += data
        if len(self._data) > _MOST_WAITING:
            self.channel.pause_reading()
        self._changed.set()

    def ended(self) -> None:
        """Let the reader see the end."""
        self._ended = True
        self._changed.set()

    def unsent_changed(self) -> None:
        """Do nothing: what a conversation sends is small."""

    def closed(self, error: str) -> None:
        """Let the reader see the end."""
        self._closed = error
        self.ended()

    async def read(self) -> bytes:
        """Return what has come, once something has; nothing at the end."""
        await self._more(0)
        return self._take(len(self._data))

    async def read_line(self, limit: int) -> bytes:
        """Return the next line with its end. Without one in `limit` bytes, or at the end, return what has come."""
        while (end := self._data.find(b"\n")) < 0 and len(self._data) < limit and not self._ended:
            await self._more(len(self._data))
        return self._take(len(self._data) if end < 0 else end + 1)

    def hand_over(self, receiver: Receiver) -> None:
        """Let another receiver go on, with what came and was not read."""
        self.channel.hand_over(receiver)
        if self._data:
            receiver.received(self._take(len(self._data)))
        if self._closed is not None:
            receiver.closed(self._closed)
        elif self._ended:
            receiver.ended()

    async def _more(self, size: int) -> None:
        """Wait until more bytes than that wait here, or the end."""
        while len(self._data) <= size and not self._ended:
            self._changed.clear()
            await self._changed.wait()

    def _take(self, size: int) -> bytes:
        taken = bytes(self._data[:size])
        del self._data[:size]
        if self._closed is None:
            self.channel.resume_reading()
        return taken
