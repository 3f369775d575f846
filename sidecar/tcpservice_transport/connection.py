"""One socket: frames in, bytes out, a write for all that a turn of the event loop has to say.

Used by `session` at a client's end and by `server` at the other. What was read is always taken; who reads slowly is cut
off above a limit instead of waited for, since two ends that both wait hang (NestJS's do).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final, Protocol, cast

from tcpservice.wire.frames import FrameReader, Item, Malformed, Oversized
from tcpservice.wire.scan import Frame
from tcpservice_sockets import acknowledge_at_once, notice_death, peer_name, send_at_once, socket_of
from tcpservice_transport.options import Limits
from tcpservice_transport.unacknowledged import unacknowledged

_SEND_BUFFER: Final = 64 * 1024
_BATCH: Final = 1024
_PARTING_S: Final = 1.0
"""How long the peer has to close its side after it has received everything."""

_PARTING_CHECK_S: Final = 0.05
_ACKNOWLEDGE_S: Final = 0.001
"""How long a write may take that acknowledges what was read; the kernel would wait 40 ms, and NestJS for it."""


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


class Connection(asyncio.Protocol):
    """One socket from the time it stands; `peer` is the other side's address."""

    __slots__ = (
        "_acknowledging", "_broken", "_events", "_flush_set", "_full", "_limits", "_loop", "_out", "_parting",
        "_parting_check", "_progress_at", "_queued", "_read_at", "_reader", "_reason", "_sock", "_stall", "_transport",
        "_unanswered", "_undelivered", "_waiters", "peer",
    )  # fmt: skip

    _transport: asyncio.Transport

    def __init__(self, events: Events, limits: Limits) -> None:
        self._events = events
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader(limits.frame)
        self._out: list[bytes] = []
        self._unanswered = False
        self._acknowledging: asyncio.TimerHandle | None = None
        self._queued = 0
        self._flush_set = False
        self._full = False
        self._broken = False
        self._parting = False
        self._parting_check: asyncio.TimerHandle | None = None
        self._undelivered = 0
        self._progress_at = 0.0
        self._waiters: list[asyncio.Future[None]] = []
        self._stall: asyncio.TimerHandle | None = None
        self._read_at = 0.0
        self._reason = ""
        self.peer = "?"

    # Called by the owner

    @property
    def open(self) -> bool:
        """Whether something can still be sent."""
        return not self._parting and not self._transport.is_closing()

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

    async def drained(self) -> None:
        """Wait until the kernel has taken most of what was sent, or the connection is gone."""
        while self._full and self.open:
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            await waiter

    def pause(self) -> None:
        """Read no more for now."""
        if self.open and self._transport.is_reading():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self.open and not self._transport.is_reading():
            self._transport.resume_reading()

    def close(self) -> None:
        """Close once all is sent."""
        self.flush()
        self._transport.close()

    def ignore(self) -> None:
        """Drop whatever still comes."""
        self._broken = True

    @property
    def undelivered(self) -> int:
        """How many bytes the peer's kernel has not acknowledged; outside Linux, how many are still in this process."""
        buffered = self._transport.get_write_buffer_size()
        return buffered + (unacknowledged(self._sock) if self._sock is not None else 0)

    def part(self) -> None:
        """Send everything, then close.

        The peer has all the time it needs, as long as it takes bytes: it is cut off when it takes none for
        `Limits.stall` seconds. When it has everything, it gets a moment to close its side first, because a close with
        bytes unread makes the kernel send RST, which can destroy what the peer has not read yet.
        """
        if self._parting:
            return
        self.ignore()
        self.resume()
        self.flush()
        if self._transport.is_closing():
            return
        self._parting = True
        if self._transport.can_write_eof():
            try:
                self._transport.write_eof()
            except OSError as error:  # the peer has reset the connection, which asyncio has not noticed yet
                self.abort(_reason(error))
                return
        self._undelivered = self.undelivered
        self._progress_at = self._loop.time()
        self._check_parting()

    def abort(self, reason: str) -> None:
        """Close at once; the owner hears why."""
        self._reason = self._reason or reason
        self._transport.abort()

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(_SEND_BUFFER)
        self._sock = socket_of(transport)
        if self._sock is not None:
            with suppress(OSError):  # the peer may have reset the connection just now
                send_at_once(self._sock)
                notice_death(self._sock)
        self.peer = peer_name(transport)
        self._events.opened(self)

    def data_received(self, data: bytes) -> None:
        """Take one read; what is sent meanwhile goes out with one write."""
        if self._broken:
            return
        flush_set, self._flush_set = self._flush_set, True
        for item in self._reader.feed(data):
            if not self._take(item):
                break
        self._flush_set = flush_set
        self._unanswered = True
        if self._out:
            self.flush()
        if self._unanswered and self._acknowledging is None:
            self._acknowledging = self._loop.call_later(_ACKNOWLEDGE_S, self._acknowledge)
        if self._stall is not None or self._reader.partial:
            self._watch()

    def refuse(self, frame: Frame, reason: str) -> None:
        """Take no more from a peer whose frame cannot be read."""
        self._break(f"{reason} (at byte {frame.offset})")

    def eof_received(self) -> bool:
        """Take the end of what the peer sends."""
        return not self._parting and self._events.ended(self) and self._transport.can_write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that it is gone, and why."""
        self._out.clear()
        for timer in (self._stall, self._acknowledging, self._parting_check):
            if timer is not None:
                timer.cancel()
        self.resume_writing()
        self._events.closed(self, self._reason or _reason(exc))

    def pause_writing(self) -> None:
        """Note that the kernel takes no more; cut off a peer that does not read."""
        self._full = True
        self._bound()

    def resume_writing(self) -> None:
        """Let those go on who wait to send."""
        self._full = False
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _take(self, item: Item) -> bool:
        """Pass on what the reader found; return whether the stream can be read any further."""
        if isinstance(item, Frame):
            self._events.frame(self, item)
        elif isinstance(item, Oversized):
            self._events.oversized(self, item)
        elif isinstance(item, Malformed):
            self._break(f"{item.reason} (at byte {item.offset})")
        return not self._broken

    def flush(self) -> None:
        """Send what waits for the end of this turn."""
        self._flush_set = False
        out = self._out
        if out and self.open:
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))
            self._unanswered = False
        out.clear()
        self._queued = 0
        if self._full:
            self._bound()

    def _acknowledge(self) -> None:
        """Acknowledge what was read, unless something was written since, which did."""
        self._acknowledging = None
        if self._unanswered and self._sock is not None and self.open:
            with suppress(OSError):  # the peer may have reset the connection just now
                acknowledge_at_once(self._sock)
        self._unanswered = False

    def _check_parting(self) -> None:
        """Cut off a peer that takes no more bytes, or that has all of them and does not close its side."""
        now, undelivered = self._loop.time(), self.undelivered
        if undelivered != self._undelivered:
            self._undelivered, self._progress_at = undelivered, now
        if not undelivered and not self._transport.can_write_eof():
            self._transport.close()  # TLS ends with a message of its own, which goes out after everything else
        left = self._progress_at + (self._limits.stall if undelivered else _PARTING_S) - now
        if left <= 0:
            self.abort(f"it did not take {undelivered} bytes" if undelivered else "Connection closed")
            return
        self._parting_check = self._loop.call_later(min(left, _PARTING_CHECK_S), self._check_parting)

    def _bound(self) -> None:
        size = self._transport.get_write_buffer_size()
        if size > self._limits.unread and self.open:
            self.abort(f"{size} bytes wait for it, as it does not read (Limits.unread)")

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
        left = self._read_at + self._limits.stall - self._loop.time()
        if left > 0:
            self._stall = self._loop.call_later(left, self._check_stall)
            return
        self._break(f"the peer stopped in the middle of a frame for {self._limits.stall:g} s")


def _reason(exc: Exception | None) -> str:
    """Say why it is gone; NestJS's own words where the peer just closed it."""
    if exc is None:
        return "Connection closed"
    text = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc) or type(exc).__name__
    return f"Connection closed: {text}"
