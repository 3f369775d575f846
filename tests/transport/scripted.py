"""A server that says what a test tells it to, for what no real one does; it runs in the test's own event loop."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Self

from interop.rawpeer import frame, split


class Scripted:
    """Accepts connections; `next` gives each packet that comes, with the connection to answer on."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._arrived: asyncio.Queue[tuple[Any, Answer]] = asyncio.Queue()
        self.accepted = 0
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    @property
    def waiting(self) -> bool:
        """Whether a packet has come that was not taken."""
        return not self._arrived.empty()

    def stop_reading(self) -> None:
        """Take nothing more from those that are connected."""
        for writer in self._writers:
            writer.transport.pause_reading()  # type: ignore[attr-defined]

    async def next(self) -> tuple[Any, Answer]:
        """The next packet of any connection."""
        return await asyncio.wait_for(self._arrived.get(), 10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._writers.append(writer)
        rest = b""
        try:
            while data := await reader.read(65536):
                pieces, rest = split(rest + data)
                for piece in pieces:
                    self._arrived.put_nowait((piece.message, Answer(writer)))
        except ConnectionError:
            pass


class Answer:
    """The way back to who sent a packet."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def raw(self, data: bytes) -> None:
        """Send bytes."""
        self._writer.write(data)

    def packet(self, **members: object) -> None:
        """Send a packet."""
        self.raw(frame(json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()))

    def end(self) -> None:
        """Send FIN."""
        self._writer.close()

    def reset(self) -> None:
        """Send RST, or at least go."""
        self._writer.transport.abort()
