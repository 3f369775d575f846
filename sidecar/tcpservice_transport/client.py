"""A client of NestJS microservices, over one connection.

async with await Client.connect("127.0.0.1", 3001) as client:
    total = await client.send({"cmd": "sum"}, [1, 2])
    async for row in client.stream("report", {"year": 2026}): ...
    await client.emit("order.created", {"id": 7})
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Self

from tcpservice.javascript import truthy
from tcpservice.pattern import route_of
from tcpservice_transport.errors import ConnectionLost, RemoteError
from tcpservice_transport.packets import PacketReader, encode

_CHUNK = 256 * 1024
_END = object()

Value = object


class Client:
    """One connection; any number of requests may be on their way at once."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._waiting: dict[str, asyncio.Queue[object]] = {}
        self._lost: ConnectionLost | None = None
        self._listening = asyncio.get_running_loop().create_task(self._listen())

    @classmethod
    async def connect(cls, host: str, port: int) -> Self:
        """Connect. Raises OSError."""
        return cls(*await asyncio.open_connection(host, port))

    async def send(self, pattern: object, data: object = None, *, metadata: object = None) -> Value:
        """Ask, and return the last response; None where there was no response with a value.

        Raises RemoteError for an error of the other side, ConnectionLost, and what `packets.encode` raises.
        """
        last: Value = None
        async for value in self.stream(pattern, data, metadata=metadata):
            last = value
        return last

    async def stream(self, pattern: object, data: object = None, *, metadata: object = None) -> AsyncIterator[Value]:
        """Ask, and give each response as it comes. Raises as `send` does."""
        request_id = secrets.token_hex(11)[:21]
        replies: asyncio.Queue[object] = asyncio.Queue()
        self._waiting[request_id] = replies
        try:
            await self._write(_packet(pattern, data, metadata) | {"id": request_id})
            while (reply := await replies.get()) is not _END:
                if isinstance(reply, Exception):
                    raise reply
                yield reply
        finally:
            del self._waiting[request_id]

    async def emit(self, pattern: object, data: object = None, *, metadata: object = None) -> None:
        """Tell; NestJS never answers an event. Raises ConnectionLost, and what `packets.encode` raises."""
        route = route_of(pattern)
        await self._write(_packet(pattern if route is None else route, data, metadata))

    async def close(self) -> None:
        """Close the connection; what is still awaited ends with ConnectionLost."""
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        self._end(ConnectionLost("the client was closed"))
        self._writer.close()

    async def __aenter__(self) -> Self:
        """Give the client itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.close()

    async def _write(self, packet: Mapping[str, object]) -> None:
        data = encode(packet)
        if self._lost is not None:
            raise ConnectionLost(str(self._lost))
        self._writer.write(data)
        try:
            await self._writer.drain()
        except OSError as error:
            raise ConnectionLost(str(error)) from error

    async def _listen(self) -> None:
        packets = PacketReader()
        try:
            while data := await self._reader.read(_CHUNK):
                for packet in packets.feed(data):
                    self._take(packet)
            self._end(ConnectionLost("Connection closed"))
        except OSError as error:
            self._end(ConnectionLost(str(error)))
        except ConnectionLost as error:
            self._end(error)
            self._writer.close()

    def _take(self, packet: Mapping[str, object]) -> None:
        request_id = packet.get("id")
        replies = self._waiting.get(request_id) if isinstance(request_id, str) else None
        if replies is None:
            return
        if truthy(packet.get("err")):
            replies.put_nowait(RemoteError(packet["err"]))
            return
        if "response" in packet:
            replies.put_nowait(packet["response"])
        if truthy(packet.get("isDisposed")):
            replies.put_nowait(_END)

    def _end(self, lost: ConnectionLost) -> None:
        self._lost = self._lost or lost
        for replies in self._waiting.values():
            replies.put_nowait(lost)


def _packet(pattern: object, data: object, metadata: object) -> dict[str, object]:
    packet = {"pattern": pattern, "data": data}
    return packet if metadata is None else packet | {"metadata": metadata}
