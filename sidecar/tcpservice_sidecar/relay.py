"""Opaque services: bytes moved both ways, balanced per connection.

Used by `listeners` for callers, and by `plane` for other sidecars' connections that turn out to be opaque. For custom
envelopes, the app's own TLS, or any other protocol: nothing of it is read.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from tcpservice.errors import ProtocolError
from tcpservice.exchange import HandOver
from tcpservice.snapshot import Endpoint, Service
from tcpservice.wire.mesh import MAX_PREFACE, OPAQUE, Preface, encode_preface, read_preface
from tcpservice_sidecar.dialer import connect_error
from tcpservice_sidecar.hosts import Hosts
from tcpservice_sidecar.logs import Log
from tcpservice_sidecar.plane import Plane, now_ns
from tcpservice_sidecar.security import Plain
from tcpservice_sockets import notice_death, send_at_once, socket_of

_CHUNK: Final = 256 * 1024
_LOOK_S: Final = 0.05

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Relays:
    """All relayed connections of one sidecar; a caller waits `patience` ns for replicas to be told."""

    def __init__(self, plane: Plane, security: Plain, hosts: Hosts, log: Log, patience: int) -> None:
        self._plane = plane
        self._security = security
        self._hosts = hosts
        self._log = log
        self._patience = patience
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, service: Service, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay a caller's connection to a replica; replicas that refuse are passed over."""
        tried: frozenset[Endpoint] = frozenset()
        try:
            await self._replicas_told(service)
            while (chosen := self._plane.exchange.relay(service, tried)) is not None:
                conn, endpoint = chosen
                upstream = await self._open(conn, service, endpoint)
                if upstream is not None:
                    await self._join(conn, (reader, writer), upstream)
                    return
                tried |= {endpoint}
            self._log.warn("no_endpoints", "no replica took the connection", service=service.key)
        finally:
            writer.close()

    def take_over(self, command: HandOver, transport: asyncio.Transport) -> None:
        """Go on with another sidecar's connection, of which the opening line has been read."""
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        reader.feed_data(command.rest)
        writer = asyncio.StreamWriter(transport, protocol, reader, self._plane.loop)
        task = self._plane.loop.create_task(self._serve_app(command.service, reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve_app(self, key: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            chosen = self._plane.exchange.relay_app(key)
            if chosen is None:
                return
            conn, endpoint = chosen
            upstream = await self._open(conn, None, endpoint)
            if upstream is not None:
                await self._join(conn, (reader, writer), upstream)
        finally:
            writer.close()

    async def _replicas_told(self, service: Service) -> None:
        """Wait until somebody has told which replicas there are, within the time that a message waits for a place."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience / 1e9):
                while self._plane.exchange.awaits(service.key):
                    await asyncio.sleep(_LOOK_S)

    async def _open(self, conn: int, service: Service | None, endpoint: Endpoint) -> Streams | None:
        """Connect to a replica; through its sidecar where it has one."""
        limit = service.timeouts.connect / 1e9 if service else 1.0
        try:
            async with asyncio.timeout(limit):
                streams = await self._dial(endpoint)
                if endpoint.mesh and service is not None:
                    await _greet(streams, service.key)
        except TimeoutError:
            reason = "connect timed out"
        except (OSError, ProtocolError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            reason = connect_error(error, endpoint) if isinstance(error, OSError) else str(error)
        else:
            return streams
        self._plane.exchange.relay_refused(conn, reason, now_ns())
        self._plane.touch()
        return None

    async def _dial(self, endpoint: Endpoint) -> Streams:
        context = self._security.for_endpoint(endpoint)
        *early, last = self._hosts.of(endpoint)
        for host in early:
            with suppress(ConnectionRefusedError):
                return await asyncio.open_connection(host, endpoint.port, ssl=context)
        return await asyncio.open_connection(last, endpoint.port, ssl=context)

    async def _join(self, conn: int, caller: Streams, replica: Streams) -> None:
        """Move bytes both ways until both directions have ended or one broke."""
        for _, writer in (caller, replica):
            sock = socket_of(writer.transport)
            if sock is not None:
                send_at_once(sock)
                notice_death(sock)
        pumps = asyncio.gather(_pump(caller[0], replica[1]), _pump(replica[0], caller[1]))
        try:
            with suppress(OSError):
                await pumps
        finally:
            pumps.cancel()
            replica[1].close()
            self._plane.exchange.closed(conn, "the connection has ended", now_ns())
            self._plane.touch()


async def _greet(streams: Streams, key: str) -> None:
    """Ask the replica's sidecar for an opaque connection to its app."""
    reader, writer = streams
    writer.write(encode_preface(Preface(key, frozenset({OPAQUE}))))
    line = await reader.readuntil(b"\n")
    if len(line) > MAX_PREFACE or read_preface(line) is None:
        raise ProtocolError("the replica's sidecar did not answer the opening line", 0)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
