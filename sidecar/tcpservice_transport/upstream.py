"""One address of a client: its connections, dialled when they are needed, and left alone for a while after a failure.

Used by `pool`. Nothing happens here by itself: a client that sends nothing dials nothing, and an address that was lost
is dialled again when a message wants a connection and its time has come. That is why the sidecar's circuit breaker is
not used here: it dials and probes by itself, so that the way back risks no message. Dialling is the event loop's own,
because the sidecar's needs aiodns and aiohappyeyeballs, and `pip install tcpservice` pulls in neither.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from msgspec import Struct

from tcpservice.addresses import Address
from tcpservice.backoff import backoff
from tcpservice.rng import Rng
from tcpservice.snapshot import MILLISECOND, SECOND
from tcpservice_sockets.acknowledging import DelayedAcknowledgement
from tcpservice_sockets.channel import PlainChannel
from tcpservice_sockets.connecting import common_error, connect_error
from tcpservice_transport.calls import Call
from tcpservice_transport.connection import Connection
from tcpservice_transport.errors import ConnectionLost
from tcpservice_transport.options import Limits
from tcpservice_transport.session import Deserializer, Session

_DIAL_S: Final = 3.0
_FIRST_BACKOFF: Final = 50 * MILLISECOND
_LONGEST_BACKOFF: Final = SECOND
_SHORT_LIFE_S: Final = 1.0

State = Literal["connected", "leaving", "disconnected"]


class Status(NamedTuple):
    """What became of a client's connection: to which address, what, and why."""

    address: str
    state: State
    reason: str


class Dialing(Struct, frozen=True, kw_only=True):
    """How connections are made."""

    connections: int
    tls: ssl.SSLContext | None
    limits: Limits
    deserializer: Deserializer | None


class Watcher(NamedTuple):
    """Who hears of it: that the pool has other connections than before, of a call's end, of the state."""

    changed: Callable[[], None]
    ended: Callable[[Call], None]
    told: Callable[[Status], object]


class Upstream:
    """One address and its `sessions` in use; `reason` says why there is none, `error` is that of the last dial."""

    def __init__(self, address: Address, dialing: Dialing, watcher: Watcher, rng: Rng) -> None:
        self.address = address
        self.sessions: list[Session] = []
        self.reason = "not dialled yet"
        self.error: Exception | None = None
        self.failed_at = float("-inf")
        self._dialing = dialing
        self._watcher = watcher
        self._rng = rng
        self._loop = asyncio.get_running_loop()
        self._acknowledgement = DelayedAcknowledgement(self._loop)
        self._dials: dict[asyncio.Task[None], Session] = {}
        self._all: dict[Session, float] = {}
        self._failures = 0
        self._retry_at = float("-inf")
        self._closed = False

    @property
    def wants(self) -> bool:
        """Whether connections are missing that nobody dials."""
        return len(self.sessions) + len(self._dials) < self._dialing.connections

    @property
    def gone(self) -> bool:
        """Whether nothing is left of its connections."""
        return not self._all and not self._dials

    @property
    def undelivered(self) -> int:
        """How many bytes the server has not taken yet."""
        return sum(session.connection.undelivered for session in self._all)

    @property
    def trouble(self) -> str:
        """Why it takes no message; a failed dial in the words of Node, which NestJS's client uses."""
        if self.sessions:
            return f"{self.address} reads no more for now"
        return f"{self.address}: {self.reason}" if self.error is None else _as_node_says(self.error, self.address)

    def refill(self) -> float:
        """Dial what is missing, if its time has come; return in how many seconds that will be, 0 where it is now."""
        left = self._retry_at - self._loop.time()
        if left > 0:
            return left
        while self.wants:
            session = Session(self, self.address, self._dialing.limits, self._dialing.deserializer)
            task = self._loop.create_task(self._dial(session))
            self._dials[task] = session
            task.add_done_callback(self._dialled)
        return 0.0

    def close(self, lost: ConnectionLost) -> None:
        """Close all, and dial no more.

        A dial whose connection is up already is not cancelled: uvloop would drop what was sent on it.
        """
        self._closed = True
        for task, session in self._dials.items():
            if session not in self._all:
                task.cancel()
        for session in list(self._all):
            session.close(lost)

    def abort(self) -> None:
        """End what has not closed in time."""
        for session in list(self._all):
            session.connection.abort("the client closes")

    # What sessions tell

    def up(self, session: Session) -> None:
        """Use it."""
        self._all[session] = self._loop.time()
        self.sessions.append(session)
        self.error = None
        if len(self.sessions) == 1:
            self._tell("connected", "")
        self._watcher.changed()

    def leaving(self, session: Session) -> None:
        """Use it no more; who leaves does not take a new connection at once."""
        self.sessions.remove(session)
        self._back_off("the server is leaving")
        self._tell("leaving", self.reason)
        self._watcher.changed()

    def down(self, session: Session, reason: str) -> None:
        """Forget it; one that did not live long counts as a dial that failed, and one that did ends the backoff."""
        lived = self._loop.time() - self._all.pop(session)
        if session in self.sessions:
            self.sessions.remove(session)
            self.reason = reason
        if lived < _SHORT_LIFE_S:
            self._back_off(reason)
        else:
            self._failures = 0
        if not self._all:
            self._tell("disconnected", reason)
        self._watcher.changed()

    def ended(self, call: Call) -> None:
        """Pass on that a call has ended."""
        self._watcher.ended(call)

    # Dialling

    async def _dial(self, session: Session) -> None:
        dialing, address = self._dialing, self.address
        connection = Connection(session, dialing.limits, self._acknowledgement)
        try:
            async with asyncio.timeout(_DIAL_S):
                await self._loop.create_connection(
                    lambda: PlainChannel(connection), address.host, address.port, ssl=dialing.tls
                )
        except Exception as error:  # whatever it is, the next dial waits for its time
            if not self._closed:
                self._failed(common_error(error) if isinstance(error, OSError) else error)
        else:
            if self._closed:
                session.close(ConnectionLost("the client was closed"))

    def _dialled(self, task: asyncio.Task[None]) -> None:
        del self._dials[task]
        self._watcher.changed()

    def _failed(self, error: Exception) -> None:
        self.failed_at = self._loop.time()
        self._back_off(_reason(error))
        self.error = error
        self._tell("disconnected", self.reason)

    def _back_off(self, reason: str) -> None:
        self.reason = reason
        self._failures += 1
        wait = backoff(self._failures, self._rng, _LONGEST_BACKOFF, _FIRST_BACKOFF)
        self._retry_at = self._loop.time() + wait / SECOND

    def _tell(self, state: State, reason: str) -> None:
        self._watcher.told(Status(str(self.address), state, reason))


def _reason(error: Exception) -> str:
    """Say why a dial failed; asyncio puts its own words around the system's."""
    if not isinstance(error, OSError):
        return f"{type(error).__name__}: {error}"
    if isinstance(error, TimeoutError) and error.errno is None:
        return f"no answer within {_DIAL_S:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    if isinstance(error, ConnectionResetError) and not error.args:
        return "it closed the connection in the TLS handshake; is it a server with TLS?"
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error) or type(error).__name__


def _as_node_says(error: Exception, address: Address) -> str:
    if isinstance(error, socket.gaierror):
        code = "EAI_AGAIN" if error.errno == socket.EAI_AGAIN else "ENOTFOUND"
        return f"getaddrinfo {code} {address.host}"
    if isinstance(error, TimeoutError):
        return connect_error(OSError(errno.ETIMEDOUT, ""), *address)
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) and error.errno is not None:
        return connect_error(error, *address)
    return f"{address}: {_reason(error)}"
