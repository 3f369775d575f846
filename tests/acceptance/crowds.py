"""Many plain connections of one process, driven together: half-sent frames, idle connections, readers that do not read.

Everything is bounded in count, bytes and time; sockets that the sidecar does not read or refuses stay as they are.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

CONNECT_SECONDS = 10.0


class Crowd:
    """Connections to one port; `receive_buffer` bounds what the kernel takes in for each."""

    def __init__(self, port: int, count: int, *, receive_buffer: int = 0) -> None:
        self._address = ("127.0.0.1", port)
        self._count = count
        self._receive_buffer = receive_buffer
        self.sockets: list[socket.socket] = []
        self.refused = 0

    def __enter__(self) -> Self:
        for _ in range(self._count):
            sock = socket.socket()
            if self._receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
            sock.settimeout(CONNECT_SECONDS)
            try:
                sock.connect(self._address)
            except OSError:
                self.refused += 1
                sock.close()
                continue
            sock.setblocking(False)
            self.sockets.append(sock)
        return self

    def __exit__(self, *_: object) -> None:
        for sock in self.sockets:
            sock.close()

    def send(self, data: bytes | Sequence[bytes], *, quiet: float = 2.0, within: float = 30.0) -> int:
        """Send the same bytes on each connection, or each its own, until all is sent or nothing was taken for `quiet`.

        Returns how many bytes were taken in all.
        """
        views = {
            sock: memoryview(data if isinstance(data, bytes) else data[place])
            for place, sock in enumerate(self.sockets)
        }
        began = last = time.monotonic()
        taken = 0
        with selectors.DefaultSelector() as selector:
            for each in views:
                selector.register(each, selectors.EVENT_WRITE, each)
            while selector.get_map() and time.monotonic() < min(began + within, last + quiet):
                for key, _ in selector.select(0.1):
                    sock: socket.socket = key.data
                    sent = _send(sock, views[sock])
                    if sent is None or sent == len(views[sock]):
                        selector.unregister(sock)
                    if sent:
                        views[sock] = views[sock][sent:]
                        taken += sent
                        last = time.monotonic()
        return taken


def _send(sock: socket.socket, data: memoryview) -> int | None:
    """Send what the socket takes; None where the connection has ended."""
    try:
        return sock.send(data[: 1 << 16])
    except BlockingIOError:
        return 0
    except OSError:
        return None


def read_to_end(sock: socket.socket, *, within: float) -> int:
    """Read all that comes until the connection ends; return how many bytes came. Raises TimeoutError."""
    sock.settimeout(within)
    count = 0
    with contextlib.suppress(ConnectionError):
        while data := sock.recv(1 << 20):
            count += len(data)
    return count
