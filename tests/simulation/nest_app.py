"""A NestJS app: its handlers, how it starts and ends, and the ways in which it misbehaves.

Used by `pods`. An app listens at one address. It can refuse connections, accept and close them at once, or be frozen
(SIGSTOP: the kernel still accepts, nothing is read or answered). Handlers that run when their socket closes go on, and
their output is lost; those that run when the process ends are gone.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from random import Random
from typing import Any, Final

import orjson

from simulation.framing import frame
from simulation.ledger import VALUES
from simulation.nest_socket import NestSocket
from simulation.network import End
from simulation.scenario import Pattern
from simulation.world import World
from tcpservice.snapshot import MILLISECOND

_NO_HANDLER: Final = b"There is no matching message handler defined in the remote service."
_INTERVAL: Final = 500 * MILLISECOND
_ABSENT: Final = object()


class Mode(Enum):
    """What becomes of a connection to the app."""

    OPEN = auto()
    REFUSING = auto()
    SLAMMING = auto()


class App:
    """One app of a pod, through all its processes."""

    def __init__(self, world: World, name: str, address: str, version: int) -> None:
        self._world = world
        self._random = Random(world.random.randrange(1 << 30))
        self.name = name
        self.address = address
        self._version = version
        self.mode = Mode.REFUSING
        self.frozen = False
        self.started = 0
        self._process = 0
        self._sockets: dict[NestSocket, None] = {}
        self._thawing: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        world.network.listeners[address] = self._accept

    @property
    def healthy(self) -> bool:
        """Whether it answers."""
        return self.mode is Mode.OPEN and not self.frozen

    # Its life

    def start(self) -> None:
        """Listen."""
        self._process += 1
        self.mode = Mode.OPEN
        self.started = self._world.clock.now
        self._world.note(self.name, "listens")

    def stop(self) -> None:
        """End as `app.close()` does, and the process after it: the sockets close with FIN."""
        self._world.note(self.name, "ends")
        self._end()
        for socket in list(self._sockets):
            socket.destroy("the app ended")

    def crash(self) -> None:
        """End at once: the kernel resets the sockets."""
        self._world.note(self.name, "crashes")
        self._end()
        for socket in list(self._sockets):
            socket.end.abort()
        self._sockets.clear()

    def _end(self) -> None:
        self._process += 1
        self.mode = Mode.REFUSING
        self.frozen = False
        self._thawing.clear()

    def misbehave(self, mode: Mode) -> None:
        """Close all connections and treat new ones as the mode says."""
        self.crash()
        self.mode = mode

    def freeze(self) -> None:
        """Stop the process."""
        self._world.note(self.name, "is frozen")
        self.frozen = True
        for socket in self._sockets:
            socket.end.pause()

    def thaw(self) -> None:
        """Let the process go on."""
        if not self.frozen:
            return
        self._world.note(self.name, "goes on")
        self.frozen = False
        thawing, self._thawing = self._thawing, []
        for act, arguments in thawing:
            act(*arguments)
        for socket in list(self._sockets):
            socket.end.resume()

    # Connections

    def _accept(self, end: End) -> NestSocket | None:
        if self.mode is Mode.REFUSING:
            return None
        socket = NestSocket(self._world, self._version, self._take, self._gone)
        socket.end = end
        if self.mode is Mode.SLAMMING:
            self._world.clock.after(self._world.network.latency + MILLISECOND, socket.destroy, "slammed")
            return socket
        self._sockets[socket] = None
        if self.frozen:
            end.pause()
        return socket

    def _gone(self, socket: NestSocket, _reason: str) -> None:
        self._sockets.pop(socket, None)

    # Messages

    def _take(self, socket: NestSocket, packet: bytes) -> None:
        if self.mode is not Mode.OPEN:
            return
        message = orjson.loads(packet)
        pattern, serial, found = message["pattern"], message["data"], message.get("id", _ABSENT)
        handler = _HANDLERS.get(pattern)
        if found is _ABSENT:
            if handler is not None:
                self._world.ledger.run(serial, self.name)
            return
        key = orjson.dumps(found)
        if handler is None:
            socket.send(frame(b'{"id":%b,"status":"error","err":"%b"}' % (key, _NO_HANDLER)))
            return
        self._world.ledger.run(serial, self.name)
        handler(self, socket, serial * VALUES, key)

    def _later(self, delay: int, act: Callable[..., None], *arguments: Any) -> None:
        self._world.clock.after(delay, self._now, self._process, act, arguments)

    def _now(self, process: int, act: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if process != self._process:
            return
        if self.frozen:
            self._thawing.append((act, arguments))
        else:
            act(*arguments)

    def _echo(self, socket: NestSocket, value: int, key: bytes) -> None:
        socket.send(frame(b'{"response":%d,"isDisposed":true,"id":%b}' % (value, key)))

    def _read(self, socket: NestSocket, value: int, key: bytes) -> None:
        self._later(self._random.randrange(50) * MILLISECOND, self._echo, socket, value, key)

    def _slow(self, socket: NestSocket, value: int, key: bytes) -> None:
        self._later(self._random.randrange(3_000) * MILLISECOND, self._echo, socket, value, key)

    def _stream(self, socket: NestSocket, value: int, key: bytes) -> None:
        left = self._random.randrange(5)
        self._later(self._random.randrange(20) * MILLISECOND, self._item, socket, value, key, left)

    def _item(self, socket: NestSocket, value: int, key: bytes, left: int) -> None:
        if not left:
            last = b'{"response":%d,"isDisposed":true,"id":%b}' % (value, key)
            socket.send(frame(last if value % 2 else b'{"response":%d,"id":%b}' % (value, key)))
            if not value % 2:
                socket.send(frame(b'{"isDisposed":true,"id":%b}' % key))
            return
        socket.send(frame(b'{"response":%d,"id":%b}' % (value, key)))
        self._later(self._random.randrange(200) * MILLISECOND, self._item, socket, value + 1, key, left - 1)

    def _subject(self, socket: NestSocket, value: int, key: bytes) -> None:
        socket.send(frame(b'{"response":%d,"id":%b}' % (value, key)))

    def _interval(self, socket: NestSocket, value: int, key: bytes) -> None:
        if socket.end.closed:
            return
        socket.send(frame(b'{"response":%d,"id":%b}' % (value, key)))
        value += 1 if (value + 1) % VALUES else 1 - VALUES
        self._later(_INTERVAL, self._interval, socket, value, key)

    def _never(self, socket: NestSocket, value: int, key: bytes) -> None:
        """Give no answer."""

    def _error(self, socket: NestSocket, value: int, key: bytes) -> None:
        socket.send(frame(b'{"err":{"status":"error","message":"%d"},"isDisposed":true,"id":%b}' % (value, key)))


_HANDLERS: Final[dict[str, Callable[[App, NestSocket, int, bytes], None]]] = {
    Pattern.ECHO: App._echo,
    Pattern.READ: App._read,
    Pattern.SLOW: App._slow,
    Pattern.STREAM: App._stream,
    Pattern.SUBJECT: App._subject,
    Pattern.INTERVAL: App._interval,
    Pattern.NEVER: App._never,
    Pattern.ERROR: App._error,
    Pattern.EVENT: App._never,
}
