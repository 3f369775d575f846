"""A TCP relay between a sidecar and what it connects to, whose faults a test switches on and off.

    with Link(app.port) as link:
        link.accepting(False)   # connections are refused; the port stays reserved
        link.reset()            # all connections end with RST
        link.mode = Mode.SWALLOW

The relay runs on an event loop in a thread of its own; its methods may be called from the test's thread, and return
once they have taken effect.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from enum import Enum, auto
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")
READ_SIZE = 1 << 16
CALL_SECONDS = 10.0
AT_ONCE = struct.pack("ii", 1, 0)


class Mode(Enum):
    """What happens to connections and to their bytes."""

    FORWARD = auto()
    SWALLOW = auto()
    """Bytes are read and thrown away: the other side has gone without a word."""
    STALL = auto()
    """Bytes are not read: a half-open connection whose buffers fill up."""
    CLOSE = auto()
    """Connections are accepted and closed at once, without a byte."""


class Link:
    """One relay to a port of 127.0.0.1, at a port that it keeps."""

    def __init__(self, target: int, *, listen: bool = True) -> None:
        self.target = target
        self.mode = Mode.FORWARD
        self.pieces = 0
        """Forward the beginning of each read in a piece of this many bytes, then the rest (0: all at once)."""
        self.pause = 0.05
        self.accepted = 0
        self.ended_by_peer = 0
        """How many connections the side that dialled has ended."""
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind(("127.0.0.1", 0))
        self.port: int = self._reserved.getsockname()[1]
        self._listen = listen
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def accepting(self, accepts: bool) -> None:
        """Accept connections, or refuse them."""
        self._call(self._accept() if accepts else self._refuse())

    def reset(self) -> None:
        """End all connections with RST."""
        self._call(self._reset())

    def connections(self) -> int:
        """How many connections stand."""
        return len(self._tasks)

    def _call(self, coroutine: Coroutine[None, None, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(CALL_SECONDS)

    async def _accept(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, sock=self._reserved, backlog=1024)

    async def _refuse(self) -> None:
        if self._server is None:
            return
        self._server.close()
        self._server = None
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind(("127.0.0.1", self.port))  # bound and not listening: refused, and nobody else gets it

    async def _reset(self) -> None:
        for writer in tuple(self._writers):
            _abort(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.mode is Mode.CLOSE:
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            with contextlib.suppress(OSError):
                upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self.target)
                self._writers.add(upstream)
                try:
                    await asyncio.gather(
                        self._move(reader, upstream, dialled=True), self._move(upstream_reader, writer)
                    )
                finally:
                    self._writers.discard(upstream)
                    upstream.close()
        except asyncio.CancelledError:
            _abort(writer)
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def _move(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, dialled: bool = False) -> None:
        try:
            while data := await reader.read(READ_SIZE):
                while self.mode is Mode.STALL:
                    await asyncio.sleep(0.01)
                if self.mode is Mode.SWALLOW:
                    continue
                if self.pieces and len(data) > self.pieces:
                    writer.write(data[: self.pieces])
                    await asyncio.sleep(self.pause)
                    data = data[self.pieces :]
                writer.write(data)
                await writer.drain()
            if dialled:
                self.ended_by_peer += 1
            writer.write_eof()
        except OSError:
            _abort(writer)
            raise

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in tuple(self._writers):
            _abort(writer)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if self._listen:
            self.accepting(True)
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_SECONDS)
        self._loop.close()
        self._reserved.close()


def _abort(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError, AttributeError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    writer.transport.abort()
