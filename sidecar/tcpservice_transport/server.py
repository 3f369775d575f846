"""A server with handlers by pattern, which NestJS clients take for one of their own.

    server = Server(port=3001)

    @server.message_pattern({"cmd": "sum"})
    def add(numbers: list[int]) -> int:
        return sum(numbers)

    asyncio.run(server.serve())

It closes without loss, where NestJS destroys its sockets: see `close`.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine
from contextvars import Context as Variables
from functools import partial
from typing import Any, Final, Self

from tcpservice.errors import Code
from tcpservice.wire.frames import Frame, Oversized
from tcpservice.wire.requests import oversized_id
from tcpservice_transport.answers import Replies, Serializer, begin, finish, hear
from tcpservice_transport.connection import Connection
from tcpservice_transport.errors import ListenError, NoHandlerError
from tcpservice_transport.handlers import MISSING, Context, Function, Handler, Handlers, Said, declaring
from tcpservice_transport.options import Limits
from tcpservice_transport.packets import GOAWAY_ID, Packet, Unreadable, completion, decode, encode, members, own_error
from tcpservice_transport.peer import Peer
from tcpservice_transport.tracing import incoming
from tcpservice_transport.values import from_json

Deserializer = Callable[[object], Packet]
PeerListener = Callable[[str], object]

_LOGGER: Final = logging.getLogger("tcpservice_transport")
_LINGER_S: Final = 0.25
_FLUSH_S: Final = 2.0
_UNHEARD_TOLD: Final = 100


class Server:
    """Handlers, and the connections they serve.

    `port` 0 lets the system choose; `port` says which, once started. `serializer` gets each packet before it is
    written, `deserializer` each value as it was read, both as in NestJS. `handler_timeout` (seconds) ends handlers that
    take longer, and answers for them.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 3000,
        *,
        tls: ssl.SSLContext | None = None,
        limits: Limits | None = None,
        handler_timeout: float | None = None,
        serializer: Serializer | None = None,
        deserializer: Deserializer | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self._tls = tls
        self._limits = limits or Limits()
        self._patience = handler_timeout
        self._serializer = serializer
        self._deserializer = deserializer
        self._handlers = Handlers()
        self._peers: dict[Connection, Peer] = {}
        self._orphans: dict[asyncio.Task[None], Handler] = {}
        self._unheard: set[str] = set()
        self._listening: asyncio.Server | None = None
        self._on_connect: list[PeerListener] = []
        self._on_disconnect: list[PeerListener] = []
        self._changed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop

    # Declaring

    def message_pattern(self, pattern: object = MISSING, *, type: type = object) -> Callable[[Function], Function]:  # noqa: A002
        """Declare who answers the requests of a pattern; a list declares several patterns at once.

        The function takes `(data)` or `(data, context)`. It is plain, a coroutine function, or a generator of either
        kind for a stream. `type` is what its data must be, as msgspec converts it. Raises PatternError.
        """
        return declaring(self._handlers.declare_message, pattern, type)

    def event_pattern(self, pattern: object = MISSING, *, type: type = object) -> Callable[[Function], Function]:  # noqa: A002
        """Declare who hears the events of a pattern; several may. Raises PatternError, as `message_pattern` does."""
        return declaring(self._handlers.declare_event, pattern, type)

    def on_connect(self, listener: PeerListener) -> PeerListener:
        """Call a function with the address of each peer that connects."""
        self._on_connect.append(listener)
        return listener

    def on_disconnect(self, listener: PeerListener) -> PeerListener:
        """Call a function with the address of each peer that is gone."""
        self._on_disconnect.append(listener)
        return listener

    # Running

    async def start(self) -> None:
        """Begin to listen. Raises ListenError."""
        self._loop = asyncio.get_running_loop()
        try:
            self._listening = await self._loop.create_server(self._connection, self.host, self.port, ssl=self._tls)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ListenError(f"cannot listen on {self.host}:{self.port}: {reason}") from error
        self.port = self._listening.sockets[0].getsockname()[1]
        _LOGGER.info("listens on %s:%d", self.host, self.port)

    async def serve(self) -> None:
        """Listen until the process is told to end (SIGINT, SIGTERM), then close. Raises ListenError."""
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        async with self:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, ended.set)
            try:
                await ended.wait()
            finally:
                for number in (signal.SIGINT, signal.SIGTERM):
                    loop.remove_signal_handler(number)

    async def close(self, grace: float = 10.0) -> None:
        """Leave without loss: accept no connection, ask clients to go elsewhere, serve what still comes, then close.

        Python clients leave as asked. A NestJS client stays, so its connection is closed once nothing is in flight on
        it. After `grace` seconds what still runs is cancelled, and its callers are told so.
        """
        if self._listening is None:
            return
        self._listening.close()
        self._listening = None
        farewell = encode(completion(GOAWAY_ID))
        for peer in self._peers.values():
            peer.connection.send(farewell)
        try:
            async with asyncio.timeout(grace):
                await self._quiet()
        except TimeoutError:
            await self._cut_off(grace)
        await self._close_connections()

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

    @property
    def in_flight(self) -> int:
        """How many handlers run."""
        return len(self._orphans) + sum(len(peer.running) for peer in self._peers.values())

    @property
    def connections(self) -> int:
        """How many peers are connected."""
        return len(self._peers)

    async def _quiet(self) -> None:
        """Wait until nothing runs, and nothing has come for a moment in which a message may have been on its way."""
        while self._peers or self._orphans:
            self._changed.clear()
            if self.in_flight:
                await self._changed.wait()
                continue
            try:
                await asyncio.wait_for(self._changed.wait(), _LINGER_S)
            except TimeoutError:
                return

    async def _cut_off(self, grace: float) -> None:
        running = dict(self._orphans)
        for peer in self._peers.values():
            running |= peer.running
        names = Counter(handler.name for handler in running.values())
        ran = ", ".join(f"{name} ({count} times)" if count > 1 else name for name, count in names.items())
        _LOGGER.warning("handlers that still ran after %g s are cancelled: %s", grace, ran)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=_FLUSH_S)

    async def _close_connections(self) -> None:
        for peer in list(self._peers.values()):
            peer.connection.close()
        try:
            async with asyncio.timeout(_FLUSH_S):
                while self._peers:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            for peer in list(self._peers.values()):
                peer.connection.abort("the server closes")

    # What connections tell

    def _connection(self) -> Connection:
        return Connection(self, self._limits)

    def opened(self, connection: Connection) -> None:
        """Take a peer."""
        self._peers[connection] = Peer(connection)
        self._tell(self._on_connect, connection.peer)

    def frame(self, connection: Connection, frame: Frame) -> None:
        """Take one message."""
        try:
            value = decode(frame)
        except Unreadable as error:
            connection.refuse(frame, str(error))
            return
        if self._deserializer is not None:
            try:
                value = self._deserializer(value)
            except Exception:
                _LOGGER.exception("the deserializer failed on a message of %s, which is dropped", connection.peer)
                return
        self._take(self._peers[connection], members(value))

    def oversized(self, connection: Connection, item: Oversized) -> None:
        """Answer what was too large to be taken, where it is a request."""
        _LOGGER.warning("%s sent a frame above %d bytes, which is dropped", connection.peer, self._limits.frame)
        text = oversized_id(item)
        if text is not None:
            error = own_error(f"The frame is larger than {self._limits.frame} bytes", Code.FRAME_TOO_LARGE.value)
            Replies(self._peers[connection], from_json(memoryview(text)), "", self._serializer).fail(error)

    def malformed(self, connection: Connection, reason: str) -> None:
        """Close a connection that cannot be read any further, once what it is owed is written."""
        _LOGGER.warning("%s: %s; the connection is closed", connection.peer, reason)
        self.ended(connection)

    def ended(self, connection: Connection) -> bool:
        """Answer what is still to be answered, then close."""
        peer = self._peers.get(connection)
        if peer is None or not peer.running:
            connection.close()
            return False
        peer.ended = True
        return True

    def closed(self, connection: Connection, reason: str) -> None:
        """Forget a peer; nobody takes its streams any more, while other handlers come to their end."""
        peer = self._peers.pop(connection)
        for task in peer.streams:
            task.cancel()
        self._orphans.update(peer.running)
        _LOGGER.debug("%s: %s", connection.peer, reason)
        self._changed.set()
        self._tell(self._on_disconnect, connection.peer)

    # Handling

    def _take(self, peer: Peer, packet: Packet) -> None:
        if "pattern" not in packet and "data" not in packet:
            packet = {}
        metadata = packet.get("metadata")
        context = Context(packet.get("pattern"), metadata, peer.connection.peer)
        found = self._handlers.find(context.pattern)
        variables = incoming(metadata)
        data = packet.get("data")
        if "id" not in packet:
            hearing = found.events or ((found.message,) if found.message is not None else ())
            for one in hearing:
                self._hear(peer, one, (data, context), variables)
            if not hearing:
                self._unheard_of(context.pattern)
            return
        handler = found.message if found.message is not None else next(iter(found.events), None)
        replies = Replies(peer, packet["id"], "" if handler is None else handler.name, self._serializer)
        if handler is None:
            replies.fail(NoHandlerError())
            return
        self._answer(peer, handler, (data, context), replies, variables)
        for other in found.events[1:] if found.message is None else ():
            self._hear(peer, other, (data, context), variables)

    def _answer(self, peer: Peer, handler: Handler, said: Said, replies: Replies, variables: Variables | None) -> None:
        running = begin(handler, said, replies, variables)
        if running is not None:
            self._run(peer, handler, finish(running, replies, self._patience), variables)

    def _hear(self, peer: Peer, handler: Handler, said: Said, variables: Variables | None) -> None:
        hearing = hear(handler, said, variables)
        if hearing is not None:
            self._run(peer, handler, hearing, variables)

    def _run(
        self, peer: Peer, handler: Handler, running: Coroutine[Any, Any, None], variables: Variables | None
    ) -> None:
        """Let a handler go on beside all others."""
        task = self._loop.create_task(running, context=variables)
        peer.add(task, handler, self._limits.in_flight)
        task.add_done_callback(partial(self._ran, peer))

    def _ran(self, peer: Peer, task: asyncio.Task[None]) -> None:
        peer.remove(task, self._limits.in_flight)
        self._orphans.pop(task, None)
        self._changed.set()

    def _unheard_of(self, pattern: object) -> None:
        """Log, once for each pattern, that nobody hears its events."""
        text = f"{pattern}"[:200]
        if text not in self._unheard and len(self._unheard) < _UNHEARD_TOLD:
            self._unheard.add(text)
            _LOGGER.warning("no handler hears events of the pattern %s", text)

    def _tell(self, listeners: list[PeerListener], peer: str) -> None:
        for listener in listeners:
            try:
                listener(peer)
            except Exception:
                _LOGGER.exception("a listener failed on the connection of %s", peer)
