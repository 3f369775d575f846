"""A connection as all above it sees it: bytes come in, buffers go out, whatever carries them.

A `Channel` gives what it reads to a `Receiver`. `PlainChannel` is TCP; the sidecar's `TlsChannel` is TLS over another
channel. Both behave the same, so that nothing above them knows which one it has. Used by every module of the sidecar
that dials or listens, and by the transport for Python apps, whose TLS is asyncio's own: it is part of the event loop's
transport below a `PlainChannel`, and cannot be half-closed.

`PlainChannel` is an `asyncio.Protocol`, not a `BufferedProtocol`. With uvloop 0.23, a small read and write cost 5 us
with the first and 6 to 7 us with the second, which calls Python twice for each read; reads of 200 KiB gain a fifth.
Most messages are small.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final, Protocol, cast

from tcpservice_sockets import acknowledge_at_once, notice_death, peer_name, send_at_once, socket_of
from tcpservice_sockets.unacknowledged import unacknowledged

SEND_BUFFER: Final = 64 * 1024
"""A channel tells its receiver when more output than this waits in it."""


class Receiver(Protocol):
    """What a channel calls. `opened` comes first, `closed` last; both come once."""

    def opened(self, channel: Channel) -> None:
        """Take the channel, which can be written to from now on."""

    def received(self, data: bytes) -> None:
        """Take what one read returned."""

    def ended(self) -> None:
        """Note that the peer sends no more. It may still read."""

    def unsent_changed(self) -> None:
        """Note that much output waits in the channel, or that most of it has left."""

    def closed(self, error: str) -> None:
        """Note that the connection does not exist any more; `error` is for people, empty without an error."""


class Channel(Protocol):
    """One connection that is open. Calls on a channel that is closed do nothing."""

    @property
    def peer(self) -> str:
        """The address of the peer, `?` if it has none."""

    @property
    def identity(self) -> str | None:
        """The URI in the certificate that the peer proved to have; None without a certificate or with several URIs."""

    @property
    def unsent(self) -> int:
        """How many bytes of output wait in this process."""

    @property
    def undelivered(self) -> int:
        """How many bytes of output the peer's kernel has not acknowledged; outside Linux, those of `unsent`."""

    @property
    def closing(self) -> bool:
        """Whether `close` or `abort` was called, or the connection broke."""

    def write(self, parts: list[bytes]) -> None:
        """Send the parts, in order, without a copy where the system gathers them."""

    def half_close(self) -> bool:
        """Send what waits, then tell the peer that no more comes. Reading goes on.

        Returns False, and does nothing, where the channel can only be closed.
        """

    def close(self) -> None:
        """Send what waits, then close. Nothing is received any more."""

    def abort(self) -> None:
        """Close at once; what waits is lost."""

    def pause_reading(self) -> None:
        """Read no more until `resume_reading`."""

    def resume_reading(self) -> None:
        """Read again."""

    def acknowledge(self) -> None:
        """Let the system acknowledge at once what was read."""

    def hand_over(self, receiver: Receiver) -> None:
        """Call another receiver from now on. Its `opened` is called now."""


class PlainChannel(asyncio.Protocol):
    """A TCP connection."""

    # The event loop calls the receiver's `received` itself: this slot holds the bound method, which saves a call.
    __slots__ = ("_closed", "_half_closed", "_receiver", "_sock", "_transport", "data_received", "peer")

    _transport: asyncio.Transport

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._closed = False
        self._half_closed = False
        self.data_received = receiver.received  # type: ignore[method-assign]
        self.peer = "?"

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(SEND_BUFFER)
        self._sock = socket_of(transport)
        self.peer = peer_name(transport)
        if self._sock is not None:
            with suppress(OSError):  # the peer may have reset the connection just now
                send_at_once(self._sock)
                notice_death(self._sock)
        self._receiver.opened(self)

    def eof_received(self) -> bool:
        """Tell the receiver that the peer sends no more, and keep the connection where it can be half-closed."""
        self._receiver.ended()
        return self._transport.can_write_eof()

    def pause_writing(self) -> None:
        """Tell the receiver that much output waits."""
        self._receiver.unsent_changed()

    def resume_writing(self) -> None:
        """Tell the receiver that most of the output has left."""
        self._receiver.unsent_changed()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the receiver."""
        self._closed = self._half_closed = True
        self._receiver.closed(_words(exc))

    # Channel

    @property
    def identity(self) -> str | None:
        """None: nothing proves who the peer is."""
        return None

    @property
    def unsent(self) -> int:
        """How many bytes of output wait in this process."""
        return 0 if self._closed else self._transport.get_write_buffer_size()

    @property
    def undelivered(self) -> int:
        """How many bytes of output the peer's kernel has not acknowledged."""
        if self._closed or self._sock is None:
            return self.unsent
        return self.unsent + unacknowledged(self._sock)

    @property
    def closing(self) -> bool:
        """Whether the connection is closing."""
        return self._transport.is_closing()

    def write(self, parts: list[bytes]) -> None:
        """Send the parts. uvloop gives them to the kernel as they are, in one call."""
        if self._half_closed:
            return
        if len(parts) == 1:
            self._transport.write(parts[0])
        else:
            self._transport.writelines(parts)

    def half_close(self) -> bool:
        """Send what waits, then FIN."""
        if self._half_closed or self._transport.is_closing():
            return True
        if not self._transport.can_write_eof():
            return False
        self._half_closed = True
        try:
            self._transport.write_eof()
        except OSError:  # asyncio shuts the socket down at once: the peer may have reset it
            self._transport.abort()
        return True

    def close(self) -> None:
        """Send what waits, then close."""
        if not self._closed:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if not self._closed:
            self._transport.abort()

    def pause_reading(self) -> None:
        """Read no more."""
        if self._transport.is_reading():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if not self._transport.is_reading() and not self._transport.is_closing():
            self._transport.resume_reading()

    def acknowledge(self) -> None:
        """Acknowledge what was read."""
        if self._sock is not None and not self._transport.is_closing():
            with suppress(OSError):  # the peer may have reset the connection just now
                acknowledge_at_once(self._sock)

    def hand_over(self, receiver: Receiver) -> None:
        """Call another receiver from now on."""
        self._receiver = receiver
        self.data_received = receiver.received  # type: ignore[method-assign]
        self._transport.set_protocol(self)  # uvloop looks `data_received` up only here
        receiver.opened(self)


def _words(exc: Exception | None) -> str:
    if exc is None:
        return ""
    return exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc) or type(exc).__name__
