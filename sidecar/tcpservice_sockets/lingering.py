"""Lingering: a connection that is half-closed stays open until the peer has received everything and closes, too.

Used by the sidecar for connections of callers, and by the transport for Python apps. A close with bytes unread makes
the kernel send RST, which can destroy what the peer has not read yet. So the peer has all the time it needs as long as
it takes bytes, and then a moment to close its side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from tcpservice_sockets.channel import Channel


class Patience(NamedTuple):
    """Seconds: how long a peer may take no byte, how long it may stay open after that, how often to look."""

    taking: float
    closing: float
    looking: float


class Lingering:
    """Half-closes a channel; calls `expired` once, with the number of bytes not taken, if the peer is out of time.

    A channel that can only be closed is closed once the peer has received everything. `stop` it when the connection is
    closed.
    """

    __slots__ = ("_channel", "_expired", "_half_closed", "_loop", "_patience", "_progress_at", "_timer", "_undelivered")

    def __init__(self, channel: Channel, patience: Patience, expired: Callable[[int], None]) -> None:
        self._channel = channel
        self._patience = patience
        self._expired = expired
        self._loop = asyncio.get_running_loop()
        self._half_closed = channel.half_close()
        self._undelivered = channel.undelivered
        self._progress_at = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._look()

    def stop(self) -> None:
        """Call nothing any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        now, undelivered = self._loop.time(), self._channel.undelivered
        if undelivered != self._undelivered:
            self._undelivered, self._progress_at = undelivered, now
        if not undelivered and not self._half_closed:
            self._channel.close()
        left = self._progress_at + (self._patience.taking if undelivered else self._patience.closing) - now
        if left <= 0:
            self._expired(undelivered)
        else:
            self._timer = self._loop.call_later(min(left, self._patience.looking), self._look)
