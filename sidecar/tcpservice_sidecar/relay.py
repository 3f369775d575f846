"""Opaque services: bytes moved both ways, balanced per connection.

Used by `listeners` for downstream connections, and by `io` for mesh connections that turn out to be opaque. For custom
envelopes, the app's own TLS, or any other protocol: nothing of it is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Final

from tcpservice.errors import ProtocolError
from tcpservice.exchange import HandOver
from tcpservice.snapshot import Endpoint, Service
from tcpservice.wire.mesh import MAX_PREFACE, OPAQUE, Preface, encode_preface, read_preface
from tcpservice_sidecar.connector import Connector
from tcpservice_sidecar.io import ExchangeIO, now_ns
from tcpservice_sidecar.logs import Log
from tcpservice_sidecar.stream import Stream
from tcpservice_sockets.channel import SEND_BUFFER, Channel, Receiver
from tcpservice_sockets.connecting import connect_error

_LOOK_S: Final = 0.05
_OWN_APP_S: Final = 1.0
"""How long a connection to the pod's own app may take."""


class Relays:
    """All relayed connections of one sidecar; a caller waits `patience` ns until its service has endpoints."""

    def __init__(self, io: ExchangeIO, connector: Connector, log: Log, patience: int) -> None:
        self._io = io
        self._connector = connector
        self._log = log
        self._patience = patience
        self._tasks: set[asyncio.Task[None]] = set()

    def downstream(self, service: Service) -> Receiver:
        """Make the receiver of a new downstream connection to a service."""
        return _Half(lambda half: self._accept(service, half))

    def take_over(self, command: HandOver, channel: Channel) -> None:
        """Go on with another sidecar's connection, of which the opening line has been read."""
        half = _Half(lambda half: self._begin(command.conn, half, self._serve_app(command.service, half)))
        channel.hand_over(half)
        if command.rest:
            half.received(command.rest)

    def _accept(self, service: Service, downstream: _Half) -> None:
        """Serve a downstream connection, unless the sidecar has too many of them."""
        conn = self._io.exchange.accept_opaque()
        if conn is None:
            downstream.channel.abort()
        else:
            self._begin(conn, downstream, self._serve(service, downstream))

    def _begin(self, conn: int, downstream: _Half, work: Coroutine[None, None, None]) -> None:
        task = self._io.loop.create_task(self._until_closed(conn, downstream, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _until_closed(self, conn: int, downstream: _Half, work: Coroutine[None, None, None]) -> None:
        """Relay a downstream connection, then close it; the exchange learns that it has ended."""
        try:
            await work
        finally:
            downstream.channel.close()
            self._io.exchange.closed(conn, "the connection has ended", now_ns())
            self._io.touch()

    async def _serve(self, service: Service, downstream: _Half) -> None:
        """Relay a downstream connection to an endpoint; endpoints that refuse are passed over."""
        tried: frozenset[Endpoint] = frozenset()
        await self._await_endpoints(service)
        while (chosen := self._io.exchange.relay(service, tried)) is not None:
            conn, endpoint = chosen
            if await self._relay(conn, service, endpoint, downstream):
                return
            tried |= {endpoint}
        self._log.warn("no_endpoints", "no replica took the connection", service=service.key)

    async def _serve_app(self, key: str, downstream: _Half) -> None:
        chosen = self._io.exchange.relay_app(key)
        if chosen is not None:
            await self._relay(chosen[0], None, chosen[1], downstream)

    async def _await_endpoints(self, service: Service) -> None:
        """Wait until the endpoints of the service are known, within the time that a message waits for a place."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience / 1e9):
                while self._io.exchange.awaits(service.key):
                    await asyncio.sleep(_LOOK_S)

    async def _relay(self, conn: int, service: Service | None, endpoint: Endpoint, downstream: _Half) -> bool:
        """Connect to an endpoint and move bytes until both directions end; return whether it took the connection.

        Whatever happens, the exchange is told that the relayed connection `conn` does not exist any more.
        """
        try:
            upstream = await self._open(service, endpoint)
        except TimeoutError:
            reason = "connect timed out"
        except (OSError, ProtocolError) as error:
            reason = connect_error(error, endpoint.host, endpoint.port) if isinstance(error, OSError) else str(error)
        except BaseException:
            self._io.exchange.closed(conn, "the dial was cancelled", now_ns())
            raise
        else:
            try:
                await _join(downstream, upstream)
            finally:
                upstream.channel.close()
                self._io.exchange.closed(conn, "the connection has ended", now_ns())
                self._io.touch()
            return True
        self._io.exchange.relay_refused(conn, reason, now_ns())
        self._io.touch()
        return False

    async def _open(self, service: Service | None, endpoint: Endpoint) -> Stream:
        """Connect to an endpoint; through its sidecar where it has one."""
        limit = service.timeouts.connect / 1e9 if service else _OWN_APP_S
        stream = Stream()
        async with asyncio.timeout(limit):
            channel = await self._connector.connect(endpoint, stream)
            try:
                if endpoint.mesh and service is not None:
                    await _greet(stream, service.key)
            except BaseException:
                channel.abort()
                raise
        return stream


class _Half:
    """One of the two connections of a relay: what it receives, the other sends.

    `begin` is called once a downstream connection is open. What it receives before the upstream connection is made
    waits here.
    """

    channel: Channel

    def __init__(self, begin: Callable[[_Half], None] | None = None) -> None:
        self._begin = begin
        self._other: _Half | None = None
        self._early = bytearray()
        self._closed = False
        self.over = asyncio.Event()

    def join(self, other: _Half) -> None:
        """Send what was received so far to the other connection, and all that comes."""
        self._other = other
        if self._early:
            other.channel.write([bytes(self._early)])
            self._early.clear()
        if self._closed:
            other.over.set()
        elif self.over.is_set():
            other.channel.half_close()
        self.channel.resume_reading()

    def opened(self, channel: Channel) -> None:
        """Take the channel."""
        self.channel = channel
        if self._begin is not None:
            self._begin(self)

    def received(self, data: bytes) -> None:
        """Pass it on."""
        if self._other is not None:
            self._other.channel.write([data])
            return
        self._early += data
        if len(self._early) > SEND_BUFFER:
            self.channel.pause_reading()

    def ended(self) -> None:
        """Let the other connection end in this direction, too."""
        self.over.set()
        if self._other is not None:
            self._other.channel.half_close()

    def unsent_changed(self) -> None:
        """Read from the other connection only as fast as this one takes the bytes."""
        if self._other is None:
            return
        if self.channel.unsent > SEND_BUFFER:
            self._other.channel.pause_reading()
        else:
            self._other.channel.resume_reading()

    def closed(self, error: str) -> None:  # noqa: ARG002 - both directions are over, whatever the reason
        """End both directions."""
        self._closed = True
        self.over.set()
        if self._other is not None:
            self._other.over.set()


async def _join(downstream: _Half, stream: Stream) -> None:
    """Move bytes both ways until both directions have ended or one connection broke."""
    upstream = _Half()
    stream.hand_over(upstream)
    downstream.join(upstream)
    upstream.join(downstream)
    await downstream.over.wait()
    await upstream.over.wait()


async def _greet(stream: Stream, key: str) -> None:
    """Ask the endpoint's sidecar for an opaque connection to its app."""
    stream.channel.write([encode_preface(Preface(key, frozenset({OPAQUE})))])
    line = await stream.read_line(MAX_PREFACE)
    if read_preface(line) is None:
        raise ProtocolError("the endpoint's sidecar did not answer the opening line", 0)
