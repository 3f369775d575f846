"""One connection: frames in, bytes out, a write for all that a turn of the event loop has to say.

Used by `session` at a client's end and by `serving` at the other. What was read is always taken. The batch of a turn is
kept here, not in the core as that of the sidecar, because each connection of an app is flushed by itself: at once where
nothing else is to be said.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from tcpservice.wire.frames import FrameReader, Item, Malformed, Oversized
from tcpservice.wire.scan import Frame
from tcpservice_sockets.acknowledging import DelayedAcknowledgement
from tcpservice_sockets.channel import SEND_BUFFER, Channel
from tcpservice_sockets.lingering import Lingering, Patience
from tcpservice_transport.options import Limits
from tcpservice_transport.unread import Unread

_BATCH: Final = 1024
_PARTING_S: Final = 1.0
"""How long the peer has to close its side after it has received everything."""

_PARTING_CHECK_S: Final = 0.05


class Events(Protocol):
    """What a connection tells its owner."""

    def opened(self, connection: Connection) -> None:
        """Take note that it stands."""

    def frame(self, connection: Connection, frame: Frame) -> None:
        """Take a frame."""

    def oversized(self, connection: Connection, item: Oversized) -> None:
        """Take note of a frame above the limit, which was skipped."""

    def malformed(self, connection: Connection, reason: str) -> None:
        """Take note that what comes cannot be read any further; nothing more will be told of it."""

    def ended(self, connection: Connection) -> bool:
        """Take note that the peer sends no more; return whether something is still to be written."""

    def closed(self, connection: Connection, reason: str) -> None:
        """Take note that it is gone, and why."""


class Connection:
    """The receiver of one channel; `peer` is the other side's address.

    `unread` watches how the peers of a server take their replies; None at a client's end.
    """

    __slots__ = (
        "_acknowledgement", "_broken", "_channel", "_events", "_flush_set", "_full", "_limits", "_lingering", "_loop",
        "_out", "_parting", "_paused", "_queued", "_read_at", "_reader", "_reason", "_stall", "_throttled", "_unread",
        "_waiters", "_written", "peer",
    )  # fmt: skip

    _channel: Channel

    def __init__(
        self,
        events: Events,
        limits: Limits,
        acknowledgement: DelayedAcknowledgement,
        unread: Unread | None = None,
    ) -> None:
        self._events = events
        self._limits = limits
        self._acknowledgement = acknowledgement
        self._unread = unread
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader(limits.frame)
        self._out: list[bytes] = []
        self._queued = 0
        self._written = 0
        self._flush_set = False
        self._full = False
        self._paused = False
        self._throttled = False
        self._broken = False
        self._parting = False
        self._lingering: Lingering | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._stall: asyncio.TimerHandle | None = None
        self._read_at = 0.0
        self._reason = ""
        self.peer = "?"

    # Called by the owner

    @property
    def open(self) -> bool:
        """Whether something can still be sent."""
        return not self._parting and not self._channel.closing

    @property
    def full(self) -> bool:
        """Whether more waits to be sent than the kernel takes at once."""
        return self._full

    def send(self, data: bytes) -> None:
        """Send with all else of this turn; much is not kept so long, so that the other side can begin."""
        self._out.append(data)
        self._queued += len(data)
        if self._queued > _BATCH:
            self.flush()
        elif not self._flush_set:
            self._flush_set = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send what waits for the end of this turn."""
        self._flush_set = False
        out = self._out
        if out and self.open:
            self._channel.write(out)
            self._written += self._queued
            self._acknowledgement.written(self._channel)
        out.clear()
        self._queued = 0
        if self._full:
            self._report()

    async def drained(self) -> None:
        """Wait until the kernel has taken most of what was sent, or the connection is gone."""
        while self._full and self.open:
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            await waiter

    def pause(self) -> None:
        """Read no more for now."""
        self._paused = True
        self._read_or_pause()

    def resume(self) -> None:
        """Read again."""
        self._paused = False
        self._read_or_pause()

    def close(self) -> None:
        """Close once all is sent."""
        self.flush()
        self._channel.close()

    def ignore(self) -> None:
        """Drop whatever still comes."""
        self._broken = True

    @property
    def undelivered(self) -> int:
        """How many bytes the peer's kernel has not acknowledged; outside Linux, how many are still in this process."""
        return self._channel.undelivered

    def part(self) -> None:
        """Send everything, then close.

        The peer has all the time it needs, as long as it takes bytes: it is cut off when it takes none for
        `Limits.stall` seconds.
        """
        if self._parting:
            return
        self.ignore()
        self._paused = self._throttled = False
        self._read_or_pause()
        self.flush()
        if self._channel.closing:
            return
        self._parting = True
        self._forget_backlog()
        patience = Patience(self._limits.stall, _PARTING_S, _PARTING_CHECK_S)
        self._lingering = Lingering(self._channel, patience, self._give_up)

    def abort(self, reason: str) -> None:
        """Close at once; the owner hears why."""
        self._reason = self._reason or reason
        self._channel.abort()

    def refuse(self, frame: Frame, reason: str) -> None:
        """Take no more from a peer whose frame cannot be read."""
        self._break(f"{reason} (at byte {frame.offset})")

    # Called by the channel

    def opened(self, channel: Channel) -> None:
        """Begin."""
        self._channel = channel
        self.peer = channel.peer
        self._events.opened(self)

    def received(self, data: bytes) -> None:
        """Take one read; what is sent meanwhile goes out with one write."""
        if self._broken:
            return
        self._acknowledgement.read(self._channel)
        flush_set, self._flush_set = self._flush_set, True
        for item in self._reader.feed(data):
            if not self._take(item):
                break
        self._flush_set = flush_set
        if self._out:
            self.flush()
        if self._stall is not None or self._reader.partial:
            self._watch()

    def ended(self) -> None:
        """Take the end of what the peer sends."""
        if self._parting or not self._events.ended(self):
            self.close()

    def unsent_changed(self) -> None:
        """Note whether the kernel takes no more; let those go on who wait to send."""
        self._full = self._channel.unsent > SEND_BUFFER
        self._report()
        if not self._full:
            self._wake()

    def closed(self, error: str) -> None:
        """Tell that the connection is gone, and why; in NestJS's own words where the peer just closed it."""
        self._out.clear()
        self._acknowledgement.written(self._channel)
        self._forget_backlog()
        if self._stall is not None:
            self._stall.cancel()
        if self._lingering is not None:
            self._lingering.stop()
        self._full = False
        self._wake()
        self._events.closed(self, self._reason or (f"Connection closed: {error}" if error else "Connection closed"))

    # Frames

    def _take(self, item: Item) -> bool:
        """Pass on what the reader found; return whether the stream can be read any further."""
        if isinstance(item, Frame):
            self._events.frame(self, item)
        elif isinstance(item, Oversized):
            self._events.oversized(self, item)
        elif isinstance(item, Malformed):
            self._break(f"{item.reason} (at byte {item.offset})")
        return not self._broken

    def _break(self, reason: str) -> None:
        self._broken = True
        self._reason = self._reason or reason
        self._events.malformed(self, reason)

    def _watch(self) -> None:
        """See to it that a frame that was begun goes on."""
        self._read_at = self._loop.time()
        if self._stall is None:
            self._stall = self._loop.call_later(self._limits.stall, self._check_stall)

    def _check_stall(self) -> None:
        self._stall = None
        if not self._reader.partial or self._broken:
            return
        if self._paused or self._throttled:  # the silence is not the peer's
            self._watch()
            return
        left = self._read_at + self._limits.stall - self._loop.time()
        if left > 0:
            self._stall = self._loop.call_later(left, self._check_stall)
            return
        self._break(f"the peer stopped in the middle of a frame for {self._limits.stall:g} s")

    # What the peer has not taken

    @property
    def unsent(self) -> int:
        """How many bytes wait in this process."""
        return self._channel.unsent

    @property
    def taken(self) -> int:
        """How many bytes the peer has taken."""
        return self._written - self._channel.undelivered

    def throttle(self, *, slow: bool) -> None:
        """Read nothing from a peer that takes its replies slowly, until it is slow no more."""
        if slow is not self._throttled:
            self._throttled = slow
            self._read_or_pause()

    def _read_or_pause(self) -> None:
        if not self.open:
            return
        if self._paused or self._throttled:
            self._channel.pause_reading()
        else:
            self._channel.resume_reading()

    def _report(self) -> None:
        if self._unread is not None and self.open:
            self._unread.report(self)

    def _forget_backlog(self) -> None:
        if self._unread is not None:
            self._unread.forget(self)

    def _give_up(self, undelivered: int) -> None:
        self.abort(f"it did not take {undelivered} bytes" if undelivered else "Connection closed")

    def _wake(self) -> None:
        """Let those go on who wait to send."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
