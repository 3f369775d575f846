"""A NestJS ClientTCP: one lazy socket for all calls, replies matched by id, no word to anybody when a call is given up.

Used by `fleet`. Beside what ClientTCP does, a client can half-close and stop in the middle of a frame, as other
programs do. A socket that is replaced keeps its open requests until it is closed.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from simulation.framing import frame
from simulation.ledger import Message
from simulation.nest_socket import NestSocket
from simulation.network import Dial, End
from simulation.scenario import Patience, Pattern
from simulation.world import World
from tcpservice.snapshot import MILLISECOND

_SHORT: Final = 300 * MILLISECOND
_SHARE_OF_LARGE: Final = 0.15
_RESPONSE: Final = b'{"response":'
_NO_HANDLER_FIRST: Final = b'{"id":'


class Session(NestSocket):
    """One socket of a client and the requests that it waits for, by their ids."""

    __slots__ = ("pending",)

    def __init__(
        self,
        world: World,
        version: int,
        take: Callable[[NestSocket, bytes], None],
        gone: Callable[[NestSocket, str], None],
    ) -> None:
        super().__init__(world, version, take, gone)
        self.pending: dict[bytes, Message] = {}


class Client:
    """One ClientTCP of a pod; `find` returns the address that it dials, `refused` is told when that refuses."""

    def __init__(
        self,
        world: World,
        name: str,
        *,
        find: Callable[[], str],
        refused: Callable[[str, int], None],
        version: int,
        ids: int,
        large: int,
        scopes: tuple[str, ...],
    ) -> None:
        self._world = world
        self._random = Random(world.random.randrange(1 << 30))
        self.name = name
        self._find = find
        self._refused = refused
        self._version = version
        self._ids = ids
        self._large = large
        self._scopes = (name, *scopes)
        self._text = f"{self._random.getrandbits(96):024x}"
        self._serial = 0
        self._dialling = False
        self._dialled = 0
        self._waiting: list[tuple[Message, Patience]] = []
        self._rest = b""
        self._blocked = False
        self.session: Session | None = None
        self.sessions: dict[Session, None] = {}

    # Calls

    def call(self, pattern: Pattern, patience: Patience) -> Message:
        """Send a request, or an event."""
        session = self.session
        message = self._world.ledger.open(pattern, self.name, self._scopes, session.end if session else None)
        if session is None or self._blocked:
            self._waiting.append((message, patience))
            if session is None:
                self._dial()
        else:
            session.send(self._packet(session, message, patience))
        return message

    def _packet(self, session: Session, message: Message, patience: Patience) -> bytes:
        message.end = session.end
        message.sent = self._world.clock.now
        if message.pattern is Pattern.EVENT:
            return frame(b'{"pattern":"created","data":%d%b}' % (message.serial, self._padding()))
        key = self._new_id()
        session.pending[key] = message
        if patience is Patience.SHORT:
            self._world.clock.after(_SHORT, self._give_up, message)
        elif patience is Patience.FIRST:
            message.abandoned = True
        pattern = message.pattern.value.encode()
        return frame(b'{"pattern":"%b","data":%d,%b"id":%b}' % (pattern, message.serial, self._padding(), key))

    def _padding(self) -> bytes:
        """Return space that makes some messages large, where the scenario has large ones."""
        if not self._large or self._random.random() > _SHARE_OF_LARGE:
            return b""
        return b" " * self._random.randrange(self._large, 6 * self._large)

    def _new_id(self) -> bytes:
        """Write an id: as NestJS does, one that other clients use too, a number, or one that JavaScript rewrites."""
        self._serial += 1
        if self._ids == 0:
            return b'"%b"' % f"{self._text[self._serial % 8 :]}{self._serial:x}".encode()
        if self._ids == 1:
            return b'"%d"' % self._serial
        return b"%d" % self._serial if self._ids == 2 else b"%d.0" % self._serial

    def _give_up(self, message: Message) -> None:
        if not message.outcome:
            message.abandoned = True

    # The connection

    def _dial(self) -> None:
        if not self._dialling:
            self._dialling = True
            self._dialled = self._world.clock.now
            session = Session(self._world, self._version, self._take, self._gone)
            self._world.network.dial(
                self._find(),
                session,
                self.name,
                ("downstream", *self._scopes),
                lambda _, end: self._connected(session, end),
                self._failed,
            )

    def _connected(self, session: Session, end: End) -> None:
        self._dialling = False
        session.end = end
        self.session = session
        self.sessions[session] = None
        self._flush(session)

    def _flush(self, session: Session) -> None:
        waiting, self._waiting = self._waiting, []
        for message, patience in waiting:
            session.send(self._packet(session, message, patience))

    def _failed(self, _dial: Dial, _reason: str) -> None:
        self._dialling = False
        self._refused(self.name, self._dialled)
        waiting, self._waiting = self._waiting, []
        for message, _ in waiting:
            self._world.ledger.finish(message, "refused")

    def _gone(self, socket: NestSocket, _reason: str) -> None:
        assert isinstance(socket, Session)
        self.sessions.pop(socket, None)
        pending, socket.pending = socket.pending, {}
        for message in pending.values():
            self._world.ledger.finish(message, "Connection closed")
        if socket is self.session:
            self._leave_session()

    def _leave_session(self) -> None:
        self.session = None
        self._blocked = False
        if self._waiting:
            self._dial()

    # Replies

    def _take(self, socket: NestSocket, packet: bytes) -> None:
        assert isinstance(socket, Session)
        ledger = self._world.ledger
        if packet.startswith(_NO_HANDLER_FIRST):
            key, kind = packet[len(_NO_HANDLER_FIRST) : packet.find(b',"status"')], "no handler"
        else:
            at = packet.rfind(b',"id":')
            key = packet[at + 6 : -1]
            kind = "" if packet.startswith((_RESPONSE, b'{"isDisposed"')) else "error"
        message = socket.pending.get(key)
        if message is None:
            ledger.violate("a reply belongs to an open request of its connection", f"{self.name} got {packet.decode()}")
            return
        if not kind and packet.startswith(_RESPONSE):
            ledger.value(message, int(packet[len(_RESPONSE) : packet.find(b",", len(_RESPONSE))]))
        if kind or b'"isDisposed":true' in packet:
            del socket.pending[key]
            ledger.finish(message, _code(packet) if kind == "error" else kind or "ok")

    # What clients do

    def disconnect(self) -> None:
        """Close, as `client.close()` does."""
        if self.session is not None:
            self._world.note(self.name, "disconnects")
            self.session.destroy("disconnected")

    def half_close(self) -> None:
        """Send FIN, and read on; the next call opens another socket."""
        if self.session is not None and not self._blocked:
            self._world.note(self.name, "half-closes")
            self.session.end.finish()
            self._leave_session()

    def stop_in_frame(self, lasts: int) -> None:
        """Send one half of a request, and the other one later."""
        session = self.session
        if session is None or self._blocked:
            return
        self._world.note(self.name, "stops inside a frame")
        message = self._world.ledger.open(Pattern.ECHO, self.name, self._scopes, session.end)
        packet = self._packet(session, message, Patience.ENDLESS)
        cut = self._random.randrange(1, len(packet))
        self._blocked = True
        session.end.cause = self._world.clock.now + lasts
        session.send(packet[:cut])
        self._world.clock.after(lasts, self._go_on, session, packet[cut:])

    def _go_on(self, session: Session, rest: bytes) -> None:
        if session is self.session:
            self._blocked = False
            session.send(rest)
            self._flush(session)

    def stop_reading(self, lasts: int) -> None:
        """Read nothing for a time."""
        session = self.session
        if session is not None:
            self._world.note(self.name, "stops reading")
            session.end.cause = self._world.clock.now + lasts
            session.silenced = True
            session.end.pause()
            self._world.clock.after(lasts, self._read_on, session)

    def _read_on(self, session: Session) -> None:
        session.silenced = False
        session.end.resume()


def _code(packet: bytes) -> str:
    at = packet.find(b'"code":"')
    return packet[at + 8 : packet.find(b'"', at + 8)].decode() if at >= 0 else "rpc_exception"
