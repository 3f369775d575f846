"""Plain sockets on both ends of a sidecar: a caller that sends any bytes, and a scripted replica that sees any bytes.

The framing here is written for the tests alone (slow, and obviously right), so that it shares no fault with the
sidecar's.
"""

from __future__ import annotations

import json
import queue
import re
import socket
import threading
from codecs import utf_8_decode
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

SECONDS = 30.0
READ_SIZE = 1 << 16
_PREFIX = re.compile(rb"\s*\+?([0-9]+)[^#]*#")


class Piece(NamedTuple):
    """One frame: its bytes as they came, and its body."""

    raw: bytes
    body: bytes

    @property
    def message(self) -> Any:
        """The body as NestJS reads it."""
        return json.loads(self.body.decode("utf-8", "replace"))


def split(data: bytes) -> tuple[list[Piece], bytes]:
    """The whole frames in `data`, prefixes read as NestJS reads them, and the rest."""
    pieces = []
    while match := _PREFIX.match(data):
        size = _body_size(data[match.end() :], int(match[1]))
        if size is None:
            break
        end = match.end() + size
        pieces.append(Piece(data[:end], data[match.end() : end]))
        data = data[end:]
    return pieces, data


def _body_size(data: bytes, units: int) -> int | None:
    """How many bytes make up that many UTF-16 units; None where they are not all there."""
    text, _ = utf_8_decode(data, "surrogateescape", False)
    wide = text.encode("utf-16-le", "surrogatepass")
    if len(wide) < 2 * units:
        return None
    body = wide[: 2 * units].decode("utf-16-le", "surrogatepass")
    return len(body.encode("utf-8", "surrogateescape"))


def frame(body: bytes) -> bytes:
    """A body with the prefix as NestJS writes it."""
    return b"%d#%b" % (len(body.decode("utf-8", "replace").encode("utf-16-le")) // 2, body)


def request(pattern: object, data: object, request_id: object) -> bytes:
    """A request as NestJS writes it."""
    packet = {"pattern": pattern, "data": data, "id": request_id}
    return frame(json.dumps(packet, separators=(",", ":"), ensure_ascii=False).encode())


class RawCaller:
    """A caller's connection."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._socket = socket.create_connection((host, port), timeout=SECONDS)
        self._rest = b""

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self._socket.sendall(data)

    def read(self, size: int) -> bytes:
        """Exactly that many bytes."""
        while len(self._rest) < size:
            self._rest += self._more()
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def rest(self) -> bytes:
        """All that comes until the other side closes."""
        data, self._rest = self._rest, b""
        while chunk := self._socket.recv(READ_SIZE):
            data += chunk
        return data

    def closed_within(self, seconds: float) -> bool:
        """Whether the other side closes within that time, having sent nothing."""
        self._socket.settimeout(seconds)
        try:
            return self._socket.recv(1) == b""
        except TimeoutError:
            return False
        finally:
            self._socket.settimeout(SECONDS)

    def end(self) -> None:
        """Send FIN."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close."""
        self._socket.close()

    def _more(self) -> bytes:
        chunk = self._socket.recv(READ_SIZE)
        if not chunk:
            raise EOFError(f"closed with {self._rest!r} unread")
        return chunk

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Arrived(NamedTuple):
    """A frame that reached the scripted replica, and the way to answer it."""

    piece: Piece
    connection: socket.socket

    @property
    def id(self) -> Any:
        """Its id, None for an event."""
        message = self.piece.message
        return message.get("id") if isinstance(message, dict) else None

    def answer(self, data: bytes) -> None:
        """Send bytes back."""
        self.connection.sendall(data)


class RawReplica:
    """A replica that shows every frame to the test, and answers only what the test tells it to."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family)
        self._arrived: queue.Queue[Arrived] = queue.Queue()
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listener.getsockname()[1]
        return port

    def next(self) -> Arrived:
        """The next frame."""
        return self._arrived.get(timeout=SECONDS)

    def waiting(self) -> bool:
        """Whether a frame has arrived that was not taken yet."""
        return not self._arrived.empty()

    def close(self) -> None:
        """Close all; the threads that read end with their sockets."""
        for each in (self._listener, *self._connections):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(SECONDS)
        for each in (self._listener, *self._connections):
            each.close()

    def _run(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                self._run(partial(self._read, connection))

    def _read(self, connection: socket.socket) -> None:
        data = b""
        with suppress(OSError):
            while chunk := connection.recv(READ_SIZE):
                pieces, data = split(data + chunk)
                for piece in pieces:
                    self._arrived.put(Arrived(piece, connection))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
