"""One connection of a client, and the calls that wait on it.

Used by `pool`, which dials it, and by `client`, which begins calls on it. Replies are matched by id, in whatever order
they come; what belongs to no call (an ended one, one that nobody waits for) is dropped, as NestJS does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tcpservice.addresses import Address
from tcpservice.balancer import Loaded
from tcpservice.javascript import truthy
from tcpservice.wire.frames import Oversized
from tcpservice.wire.requests import oversized_id
from tcpservice.wire.scan import Frame
from tcpservice_transport.calls import Call
from tcpservice_transport.connection import Connection
from tcpservice_transport.errors import ConnectionLost, FrameTooLarge, Overloaded, ProtocolError, TransportError
from tcpservice_transport.options import Limits
from tcpservice_transport.packets import GOAWAY_ID, Packet, TooDeep, Unreadable, decode, error_of, members, outline
from tcpservice_transport.values import from_json

Deserializer = Callable[[object], Packet]


class Owner(Protocol):
    """What a session tells its pool."""

    def up(self, session: Session) -> None:
        """Take it in use."""

    def leaving(self, session: Session) -> None:
        """Use it no more, as the server asks to go elsewhere."""

    def down(self, session: Session, reason: str) -> None:
        """Forget it, as it is gone."""

    def ended(self, call: Call) -> None:
        """Take note that a call has got its last word."""


class Session(Loaded):
    """A connection, from the time it stands; `load` calls wait on it."""

    __slots__ = (
        "_calls",
        "_deserializer",
        "_limits",
        "_lost",
        "_owner",
        "address",
        "connection",
        "usable",
    )

    connection: Connection

    def __init__(self, owner: Owner, address: Address, limits: Limits, deserializer: Deserializer | None) -> None:
        self.address = address
        self._owner = owner
        self._limits = limits
        self._deserializer = deserializer
        self._calls: dict[str, Call] = {}
        self._lost: ConnectionLost | None = None
        self.load = 0
        self.usable = False

    def begin(self, call: Call, data: bytes) -> None:
        """Send a request, whose replies the call gets. Raises Overloaded where too many wait already."""
        if self.load >= self._limits.in_flight:
            raise Overloaded(f"{self.load} requests wait for {self.address} already (Limits.in_flight)")
        call.session = self
        self._calls[call.id] = call
        self.load += 1
        self.connection.send(data)
        if self.load == 1:
            self.connection.flush()

    def forget(self, call: Call) -> None:
        """Let a call wait no more; NestJS has no word to cancel it."""
        if self._calls.pop(call.id, None) is not None:
            self._left()

    def close(self, lost: ConnectionLost) -> None:
        """Close; what waits ends with this error."""
        self.usable = False
        self._lost = self._lost or lost
        self._fail_all()
        self.connection.close()

    # What the connection tells

    def opened(self, connection: Connection) -> None:
        """Take it in use."""
        self.connection = connection
        self.usable = True
        self._owner.up(self)

    def frame(self, connection: Connection, frame: Frame) -> None:
        """Take one reply."""
        try:
            value = decode(frame)
        except TooDeep as error:
            self._refuse(outline(frame), f"{error}")
            return
        except Unreadable as error:
            connection.refuse(frame, str(error))
            return
        if self._deserializer is not None:
            try:
                value = self._deserializer(value)
            except Exception as error:
                connection.refuse(frame, f"the deserializer failed: {error!r}")
                return
        packet = members(value)
        request_id = packet.get("id")
        if isinstance(request_id, str):
            call = self._calls.get(request_id)
            if call is not None:
                self._reply(call, packet, len(frame.raw))
            elif request_id == GOAWAY_ID:
                self._leave()

    def oversized(self, connection: Connection, item: Oversized) -> None:  # noqa: ARG002 - the face of Events
        """End the call whose reply was too large."""
        self._refuse(item, f"the reply is larger than {self._limits.frame} bytes (Limits.frame)")

    def _refuse(self, item: Oversized, message: str) -> None:
        """End the call whose reply is not read; its id is all that is known of it."""
        text = oversized_id(item)
        request_id = from_json(memoryview(text)) if text is not None else None
        call = self._calls.get(request_id) if isinstance(request_id, str) else None
        if call is not None:
            self._end(call, FrameTooLarge(message))

    def malformed(self, connection: Connection, reason: str) -> None:
        """End what waits, and close."""
        self._lost = ProtocolError(f"{connection.peer} does not speak the NestJS TCP transport: {reason}")
        connection.abort(reason)

    def ended(self, connection: Connection) -> bool:  # noqa: ARG002 - the face of Events
        """Close, as the server sends nothing more."""
        return False

    def closed(self, connection: Connection, reason: str) -> None:  # noqa: ARG002 - the face of Events
        """End what waits."""
        self.usable = False
        self._lost = self._lost or ConnectionLost(reason)
        self._owner.down(self, str(self._lost))
        self._fail_all()

    # Replies

    def _reply(self, call: Call, packet: Packet, size: int) -> None:
        """Do what NestJS's client does with a reply: an error that JavaScript finds true ends it, whatever else."""
        err = packet.get("err")
        if err is not None and truthy(err):
            self._end(call, error_of(err, packet))
            return
        disposed = truthy(packet.get("isDisposed"))
        if "response" in packet or not disposed:
            try:
                call.respond(packet.get("response"), size)
            except Overloaded as error:
                self._end(call, error)
                return
        if disposed:
            self._end(call, None)

    def _end(self, call: Call, error: TransportError | None) -> None:
        del self._calls[call.id]
        self._owner.ended(call)
        if error is None:
            call.complete()
        else:
            call.fail(error)
        self._left()

    def _left(self) -> None:
        self.load -= 1
        if not self.load and not self.usable and self._lost is None:
            self.connection.close()

    def _leave(self) -> None:
        """Take no new call; close once those that wait have ended."""
        if self.usable:
            self.usable = False
            self._owner.leaving(self)
            if not self.load:
                self.connection.close()

    def _fail_all(self) -> None:
        assert self._lost is not None
        calls, self._calls = self._calls, {}
        self.load = 0
        for call in calls.values():
            self._owner.ended(call)
            call.fail(type(self._lost)(str(self._lost)))
