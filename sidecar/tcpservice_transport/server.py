"""A server with handlers by pattern, which NestJS clients take for one of their own.

server = Server()

@server.message_pattern({"cmd": "sum"})
async def add(data: object, context: Context) -> object:
    return sum(data)

await server.listen("127.0.0.1", 3001)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

from tcpservice.pattern import PatternTooDeep, route_of
from tcpservice_transport.errors import ConnectionLost, RemoteError
from tcpservice_transport.packets import PacketReader, encode

NO_HANDLER = "There is no matching message handler defined in the remote service."
"""NestJS's own words, by which a sidecar knows that nothing ran."""

_CHUNK = 256 * 1024
_LOGGER = logging.getLogger(__name__)


class Context(NamedTuple):
    """What a handler may know of a message beside its data."""

    pattern: object
    metadata: object
    peer: str


Handler = Callable[[object, Context], Awaitable[object] | AsyncIterator[object]]


class Server:
    """Handlers, and the connections they serve."""

    def __init__(self) -> None:
        self._messages: dict[str, Handler] = {}
        self._events: dict[str, list[Handler]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._server: asyncio.Server | None = None

    def message_pattern(self, pattern: object) -> Callable[[Handler], Handler]:
        """Register who answers requests of a pattern: a coroutine function, or an async generator for a stream.

        Raises ValueError for a pattern that no message can have, or that already has a handler.
        """
        route = _route(pattern)
        if route in self._messages:
            raise ValueError(f"the pattern {route} has a handler already")

        def register(handler: Handler) -> Handler:
            self._messages[route] = handler
            return handler

        return register

    def event_pattern(self, pattern: object) -> Callable[[Handler], Handler]:
        """Register who hears events of a pattern; several may. Raises ValueError as `message_pattern` does."""
        route = _route(pattern)

        def register(handler: Handler) -> Handler:
            self._events.setdefault(route, []).append(handler)
            return handler

        return register

    async def listen(self, host: str, port: int) -> tuple[str, int]:
        """Begin to serve; return the address that was bound. Raises OSError."""
        self._server = await asyncio.start_server(self._serve, host, port)
        bound: tuple[str, int] = self._server.sockets[0].getsockname()[:2]
        return bound

    async def close(self) -> None:
        """Accept nobody any more, end what is being handled, and close the connections."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._connections.values():
            writer.close()
        if self._connections:
            await asyncio.wait(list(self._connections))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.current_task()
        assert serving is not None
        self._connections[serving] = writer
        packets = PacketReader()
        peer = ":".join(map(str, (writer.get_extra_info("peername") or ("?",))[:2]))
        try:
            while data := await reader.read(_CHUNK):
                for packet in packets.feed(data):
                    task = asyncio.get_running_loop().create_task(self._handle(packet, peer, writer))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
        except (OSError, ConnectionLost) as error:
            _LOGGER.warning("%s: %s", peer, error)
        finally:
            del self._connections[serving]
            writer.close()

    async def _handle(self, packet: dict[str, object], peer: str, writer: asyncio.StreamWriter) -> None:
        context = Context(packet.get("pattern"), packet.get("metadata"), peer)
        try:
            route = route_of(context.pattern)
        except PatternTooDeep:
            route = None
        data = packet.get("data")
        if "id" not in packet:
            for hear in self._events.get(route or "", []) if route is not None else []:
                await self._hear(hear, data, context)
            return
        answer = self._messages.get(route) if route is not None else None
        if answer is None:
            writer.write(encode({"id": packet["id"], "status": "error", "err": NO_HANDLER}))
            return
        await self._answer(answer, data, context, packet["id"], writer)

    async def _hear(self, handler: Handler, data: object, context: Context) -> None:
        try:
            result = handler(data, context)
            if isinstance(result, AsyncIterator):
                async for _ in result:
                    pass
            else:
                await result
        except Exception:
            _LOGGER.exception("the handler of the event %r failed", context.pattern)

    async def _answer(
        self, handler: Handler, data: object, context: Context, request_id: object, writer: asyncio.StreamWriter
    ) -> None:
        try:
            result = handler(data, context)
            if isinstance(result, AsyncIterator):
                async for value in result:
                    await _write(writer, {"response": value, "id": request_id})
                await _write(writer, {"isDisposed": True, "id": request_id})
            else:
                await _write(writer, {"response": await result, "isDisposed": True, "id": request_id})
        except RemoteError as error:
            await _write(writer, {"err": error.error, "isDisposed": True, "id": request_id})
        except Exception:
            _LOGGER.exception("the handler of %r failed", context.pattern)
            failed = {"status": "error", "message": "Internal server error"}
            await _write(writer, {"err": failed, "isDisposed": True, "id": request_id})


def _route(pattern: object) -> str:
    route = route_of(pattern)
    if route is None:
        raise ValueError(f"no message can have the pattern {pattern!r}")
    return route


async def _write(writer: asyncio.StreamWriter, packet: dict[str, object]) -> None:
    """Write a packet; a caller that has left wants none any more."""
    if writer.is_closing():
        return
    try:
        writer.write(encode(packet))
        await writer.drain()
    except OSError:
        writer.close()
