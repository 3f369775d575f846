"""The connections of a server, and what is done with their messages.

Used by `server`, which listens. It takes what connections tell, finds the handlers of each message, runs them, and
knows when nothing is left to do.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context as Variables
from functools import partial
from typing import Any, Final

from msgspec import Struct

from tcpservice.errors import Code
from tcpservice.wire.frames import Oversized
from tcpservice.wire.nesting import MAX_NESTING
from tcpservice.wire.requests import oversized_id
from tcpservice.wire.scan import Frame
from tcpservice_sockets.acknowledging import DelayedAcknowledgement
from tcpservice_sockets.channel import PlainChannel
from tcpservice_transport.answers import Replies, Serializer, answer_in_turn, begin, finish, hear, hear_in_turn
from tcpservice_transport.connection import Connection
from tcpservice_transport.errors import NoHandlerError
from tcpservice_transport.handlers import Handler, Handlers, Kind, Said
from tcpservice_transport.options import Limits
from tcpservice_transport.packets import (
    GOAWAY_ID,
    Packet,
    TooDeep,
    Unreadable,
    completion,
    decode,
    encode,
    members,
    outline,
    own_error,
)
from tcpservice_transport.parameters import Context
from tcpservice_transport.peer import Peer
from tcpservice_transport.tracing import incoming
from tcpservice_transport.unread import Unread
from tcpservice_transport.values import as_written, from_json

Deserializer = Callable[[object], Packet]
PeerListener = Callable[[str], object]

_LOGGER: Final = logging.getLogger("tcpservice_transport")
_LINGER_S: Final = 0.25
_PARTING_S: Final = 1.0
_FLUSH_S: Final = 2.0
_UNHEARD_TOLD: Final = 100


class Manner(Struct, frozen=True, kw_only=True):
    """How messages are served: what bounds them, how long a handler may take (seconds), and the app's own envelope."""

    limits: Limits
    patience: float | None
    serializer: Serializer | None
    deserializer: Deserializer | None


class Serving:
    """All peers of one server; `on_connect` and `on_disconnect` are told their addresses."""

    def __init__(self, handlers: Handlers, manner: Manner) -> None:
        self._handlers = handlers
        self._manner = manner
        self._limits = manner.limits
        self._peers: dict[Connection, Peer] = {}
        self._orphans: dict[asyncio.Task[None], Handler] = {}
        self._unheard: set[str] = set()
        self._loop: asyncio.AbstractEventLoop
        self._changed: asyncio.Event
        self._acknowledgement: DelayedAcknowledgement
        self._unread: Unread
        self.on_connect: list[PeerListener] = []
        self.on_disconnect: list[PeerListener] = []

    def begin(self) -> None:
        """Serve in the event loop that runs now."""
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._acknowledgement = DelayedAcknowledgement(self._loop)
        self._unread = Unread(self._limits)

    def channel(self) -> PlainChannel:
        """Make the protocol of a socket that is accepted."""
        return PlainChannel(Connection(self, self._limits, self._acknowledgement, self._unread))

    @property
    def in_flight(self) -> int:
        """How many handlers run."""
        return len(self._orphans) + sum(len(peer.running) for peer in self._peers.values())

    @property
    def connections(self) -> int:
        """How many peers are connected."""
        return len(self._peers)

    async def leave(self, grace: float) -> None:
        """Ask peers to go elsewhere, serve what still comes, and close; what runs after `grace` seconds is cancelled.

        A peer that does not go, as NestJS's clients do not, is read no more after a moment, and closed once it has
        received all its replies.
        """
        farewell = encode(completion(GOAWAY_ID))
        for peer in self._peers.values():
            peer.connection.send(farewell)
        try:
            async with asyncio.timeout(grace):
                with suppress(TimeoutError):
                    async with asyncio.timeout(_PARTING_S):
                        await self._quiet()
                for peer in list(self._peers.values()):
                    peer.finish()
                await self._until_gone()
        except TimeoutError:
            await self._cut_off(grace)

    async def _quiet(self) -> None:
        """Wait until nothing runs, and nothing has come for a moment in which a message may have been on its way."""
        while self._peers or self._orphans:
            self._changed.clear()
            if self.in_flight:
                await self._changed.wait()
                continue
            try:
                async with asyncio.timeout(_LINGER_S):  # wait_for may lose a cancellation, up to Python 3.11
                    await self._changed.wait()
            except TimeoutError:
                return

    async def _until_gone(self) -> None:
        while self._peers or self._orphans:
            self._changed.clear()
            await self._changed.wait()

    async def _cut_off(self, grace: float) -> None:
        """Cancel what still runs, tell its callers, and close."""
        running = dict(self._orphans)
        for peer in self._peers.values():
            running |= peer.running
        names = Counter(handler.name for handler in running.values())
        ran = ", ".join(f"{name} ({count} times)" if count > 1 else name for name, count in names.items())
        if ran:
            _LOGGER.warning("cancelled handlers that were still running after %g s: %s", grace, ran)
        for task in running:
            task.cancel()
        for peer in list(self._peers.values()):
            peer.finish()
        try:
            async with asyncio.timeout(_FLUSH_S):
                await self._until_gone()
        except TimeoutError:
            for peer in list(self._peers.values()):
                undelivered = peer.connection.undelivered
                if undelivered:
                    _LOGGER.warning(
                        "%s did not read %d bytes in time, which are lost", peer.connection.peer, undelivered
                    )
                peer.connection.abort("the server closes")
            await self._until_gone()

    # What connections tell

    def opened(self, connection: Connection) -> None:
        """Take a peer."""
        self._peers[connection] = Peer(connection)
        _tell(self.on_connect, connection.peer)

    def frame(self, connection: Connection, frame: Frame) -> None:
        """Take one message."""
        try:
            value = decode(frame)
        except TooDeep as error:
            _LOGGER.warning("%s sent a frame that is dropped: %s", connection.peer, error)
            self._refuse(connection, outline(frame), f"The JSON is nested deeper than {MAX_NESTING}")
            return
        except Unreadable as error:
            connection.refuse(frame, str(error))
            return
        if self._manner.deserializer is not None:
            try:
                value = self._manner.deserializer(value)
            except Exception:
                _LOGGER.exception("the deserializer failed on a message of %s, which is dropped", connection.peer)
                return
        peer, packet = self._peers[connection], members(value)
        try:
            self._take(peer, packet)
        except Exception as error:  # one message costs no other, whatever the app's OpenTelemetry makes of it
            if "id" in packet:
                self._replies(peer, packet["id"], f"a message of {connection.peer}").fail(error)
            else:
                _LOGGER.exception("an event of %s failed", connection.peer)

    def oversized(self, connection: Connection, item: Oversized) -> None:
        """Answer what was too large to be taken, where it is a request."""
        _LOGGER.warning("%s sent a frame above %d bytes, which is dropped", connection.peer, self._limits.frame)
        self._refuse(connection, item, f"The frame is larger than {self._limits.frame} bytes")

    def _refuse(self, connection: Connection, item: Oversized, message: str) -> None:
        """Answer a request that is not read; its id is all that is known of it."""
        text = oversized_id(item)
        if text is not None:
            replies = self._replies(self._peers[connection], from_json(memoryview(text)), "")
            replies.fail(own_error(message, Code.FRAME_TOO_LARGE.value))

    def malformed(self, connection: Connection, reason: str) -> None:
        """Close a connection that cannot be read any further, once what it is owed is written."""
        _LOGGER.warning("%s: %s; the connection is closed", connection.peer, reason)
        self._peers[connection].finish()

    def ended(self, connection: Connection) -> bool:
        """Answer what is still to be answered, then close."""
        peer = self._peers[connection]
        peer.ended = True
        return bool(peer.running)

    def closed(self, connection: Connection, reason: str) -> None:
        """Forget a peer; nobody takes its streams any more, while other handlers come to their end."""
        peer = self._peers.pop(connection)
        for task in peer.streams:
            task.cancel()
        self._orphans.update(peer.running)
        _LOGGER.debug("%s: %s", connection.peer, reason)
        self._changed.set()
        _tell(self.on_disconnect, connection.peer)

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
        replies = self._replies(peer, packet["id"], "" if handler is None else handler.name)
        if handler is None:
            replies.fail(NoHandlerError())
            return
        self._answer(peer, handler, (data, context), replies, variables)
        for other in found.events[1:] if found.message is None else ():
            self._hear(peer, other, (data, context), variables)

    def _replies(self, peer: Peer, request_id: object, name: str) -> Replies:
        if not isinstance(request_id, str):
            request_id = as_written(request_id)
        return Replies(peer, request_id, name, self._manner.serializer)

    def _answer(self, peer: Peer, handler: Handler, said: Said, replies: Replies, variables: Variables | None) -> None:
        if peer.starting and handler.kind is Kind.PLAIN:
            self._run(peer, handler, answer_in_turn(handler, said, replies, self._manner.patience), variables)
            return
        running = begin(handler, said, replies, variables)
        if running is not None:
            self._run(peer, handler, finish(running, replies, self._manner.patience), variables)

    def _hear(self, peer: Peer, handler: Handler, said: Said, variables: Variables | None) -> None:
        if peer.starting and handler.kind is Kind.PLAIN:
            self._run(peer, handler, hear_in_turn(handler, said), variables)
            return
        hearing = hear(handler, said, variables)
        if hearing is not None:
            self._run(peer, handler, hearing, variables)

    def _run(
        self, peer: Peer, handler: Handler, running: Coroutine[Any, Any, None], variables: Variables | None
    ) -> None:
        """Let a handler go on beside all others.

        Handlers of one peer begin in the order of their messages, as in NestJS: a task begins in the next turn of the
        event loop, so until then a plain function becomes a task, too.
        """
        task = self._loop.create_task(running, context=variables)
        if not peer.starting:
            peer.starting = True
            self._loop.call_soon(peer.started)
        peer.add(task, handler, self._limits.in_flight)
        task.add_done_callback(partial(self._ran, peer))

    def _ran(self, peer: Peer, task: asyncio.Task[None]) -> None:
        peer.remove(task, self._limits.in_flight)
        self._orphans.pop(task, None)
        self._changed.set()

    def _unheard_of(self, pattern: object) -> None:
        """Log, once for each pattern, that nobody hears its events."""
        text = f"{pattern}"[:200]
        text = text if text.isprintable() else ascii(text)
        if text not in self._unheard and len(self._unheard) < _UNHEARD_TOLD:
            self._unheard.add(text)
            _LOGGER.warning("no event handler has the pattern %s", text)


def _tell(listeners: list[PeerListener], peer: str) -> None:
    for listener in listeners:
        try:
            listener(peer)
        except Exception:
            _LOGGER.exception("a listener failed on the connection of %s", peer)
