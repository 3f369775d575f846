"""TLS over another channel: a `Channel` that is the `Receiver` of a plain one.

Used by `connector` and `listeners` where `security` gives a context. It is not the TLS of asyncio: that one cannot end
one direction and go on in the other, which relayed connections need, and cannot begin with bytes that are read already.
The receiver's `opened` comes after the handshake. A handshake that fails is a `closed` without an `opened`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, cast

from tcpservice_sockets.channel import Channel, Receiver

HANDSHAKE_S: Final = 5.0
_READ: Final = 256 * 1024


class TlsChannel:
    """One TLS connection; `failed` is told why a handshake did not succeed."""

    def __init__(
        self, context: ssl.SSLContext, receiver: Receiver, *, server: bool, failed: Callable[[str], None] | None = None
    ) -> None:
        self._receiver = receiver
        self._failed = failed
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=server)
        self._timer: asyncio.TimerHandle | None = None
        self._open = False
        self._half_closed = False
        self._discards = False
        self._ended = False
        self.identity: str | None = None
        self._channel: Channel

    # Receiver of the channel below

    def opened(self, channel: Channel) -> None:
        """Begin the handshake."""
        self._channel = channel
        self._timer = asyncio.get_running_loop().call_later(HANDSHAKE_S, self._fail, "the TLS handshake timed out")
        self._shake()

    def received(self, data: bytes) -> None:
        """Decrypt what one read returned."""
        self._in.write(data)
        if not self._open and not self._shake():
            return
        self._read()

    def ended(self) -> None:
        """Break the connection off, if its end came without a close_notify: anybody on the way can make such an end."""
        if not self._open:
            self._fail("the peer ended the connection during the TLS handshake")
        elif not self._ended:
            self._channel.abort()

    def unsent_changed(self) -> None:
        """Pass it on."""
        if self._open:
            self._receiver.unsent_changed()

    def closed(self, error: str) -> None:
        """Pass it on, if the receiver knows the connection."""
        self._stop_timer()
        if self._open:
            self._receiver.closed(error)
        else:
            self._refuse(f"connection lost: {error}" if error else "closed the connection")

    # Channel

    @property
    def peer(self) -> str:
        """The address of the peer."""
        return self._channel.peer

    @property
    def unsent(self) -> int:
        """How many encrypted bytes wait in this process."""
        return self._channel.unsent

    @property
    def undelivered(self) -> int:
        """How many encrypted bytes the peer's kernel has not acknowledged."""
        return self._channel.undelivered

    @property
    def closing(self) -> bool:
        """Whether the connection is closing."""
        return self._channel.closing

    def write(self, parts: list[bytes]) -> None:
        """Encrypt the parts and send them together."""
        if self._half_closed or self._channel.closing:
            return
        rest = memoryview(parts[0] if len(parts) == 1 else b"".join(parts))
        try:
            while rest:
                rest = rest[self._tls.write(rest) :]
        except ssl.SSLError:
            self._channel.abort()
        self._flush()

    def half_close(self) -> bool:
        """Send what waits, then close_notify."""
        if not self._half_closed and not self._channel.closing:
            self._half_closed = True
            with suppress(ssl.SSLError):  # it asks for the peer's close_notify, which comes when the peer ends, too
                self._tls.unwrap()
            self._flush()
        return True

    def close(self) -> None:
        """Send what waits and close_notify, then close."""
        self.half_close()
        self._discards = True
        self._channel.close()

    def abort(self) -> None:
        """Close at once."""
        self._channel.abort()

    def pause_reading(self) -> None:
        """Read no more."""
        self._channel.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        self._channel.resume_reading()

    def acknowledge(self) -> None:
        """Acknowledge what was read."""
        self._channel.acknowledge()

    def hand_over(self, receiver: Receiver) -> None:
        """Call another receiver from now on."""
        self._receiver = receiver
        receiver.opened(self)

    # TLS

    def _shake(self) -> bool:
        """Go on with the handshake; return whether it is done."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as error:
            self._flush()  # the alert that tells the peer why
            self._fail(f"TLS: {error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else error}")
            return False
        self._flush()
        self._stop_timer()
        self._open = True
        self.identity = identity_of(self._tls)
        self._receiver.opened(self)
        return True

    def _read(self) -> None:
        try:
            while not self._discards and (data := self._tls.read(_READ)):
                self._receiver.received(data)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._end()
        except ssl.SSLError:
            self._channel.abort()
        else:
            self._end()
        self._flush()

    def _end(self) -> None:
        if not self._ended and not self._discards:
            self._ended = True
            self._receiver.ended()

    def _flush(self) -> None:
        if self._out.pending and not self._channel.closing:
            self._channel.write([self._out.read()])

    def _fail(self, reason: str) -> None:
        self._refuse(reason)
        self._channel.close()

    def _refuse(self, reason: str) -> None:
        self._stop_timer()
        if self._failed is not None:
            self._failed(reason)
            self._failed = None

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def identity_of(tls: ssl.SSLObject) -> str | None:
    """Return the one URI of the peer's certificate, if it was verified."""
    certificate = tls.getpeercert() or {}
    names = cast("Iterable[tuple[str, str]]", certificate.get("subjectAltName", ()))
    uris = [value for kind, value in names if kind == "URI"]
    return uris[0] if len(uris) == 1 else None
