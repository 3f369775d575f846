"""A client of NestJS microservices, and of Python's `Server`.

    async with Client("orders", 3001) as client:
        total = await client.send({"cmd": "sum"}, [1, 2])
        async for row in client.stream("report", {"year": 2026}): ...
        await client.emit("order.created", {"id": 7})

Like NestJS's it connects with the first message, and has any number of messages under way on one connection. Unlike
NestJS's it dials again by itself, waits no longer than it was told, repeats what surely did not run, and spreads its
messages over several addresses where it has them.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from enum import Enum
from threading import get_ident
from typing import Any, Final, Literal, NamedTuple, Self, TypeVar, overload

from tcpservice.addresses import Address
from tcpservice.timers import TimerOwner
from tcpservice_transport.addresses import read_addresses
from tcpservice_transport.calls import END, Call, Single, Stream
from tcpservice_transport.clock import Clock
from tcpservice_transport.errors import (
    ClientClosed,
    ConnectionLost,
    NoHandlerError,
    ProtocolError,
    RequestTimeout,
)
from tcpservice_transport.messages import Messages, Question, Serializer
from tcpservice_transport.options import Limits, Retry, Timeouts, is_number
from tcpservice_transport.pool import Pool, Status
from tcpservice_transport.session import Deserializer, Session
from tcpservice_transport.upstream import Dialing
from tcpservice_transport.values import as_type

T = TypeVar("T")
C = TypeVar("C", bound=Call)

_LOGGER: Final = logging.getLogger("tcpservice_transport")


class Default(Enum):
    """Arguments that mean: use the client's own setting."""

    TIMEOUT = "Timeouts.request"

    def __repr__(self) -> str:
        return self.value


AS_SET: Final = Default.TIMEOUT


class Message(NamedTuple):
    """A request, how many seconds it may take in all, and whether it may run twice."""

    question: Question
    patience: float | None
    idempotent: bool


class Client:
    """Connections to one server at `host` and `port`, or to several at `addresses`, `connections` to each.

    `serializer` gets each packet before it is written, `deserializer` each value as it was read, both as in NestJS.
    `on_status` is called when a connection opens or closes. Raises ValueError for settings that
    are invalid.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 3000,
        *,
        addresses: Iterable[str | tuple[str, int]] | None = None,
        connections: int = 1,
        timeouts: Timeouts | None = None,
        retry: Retry | None = None,
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
        serializer: Serializer | None = None,
        deserializer: Deserializer | None = None,
        on_status: Callable[[Status], object] | None = None,
    ) -> None:
        if not is_number(connections) or connections < 1:
            raise ValueError(f"connections: expected at least 1, got {connections!r}")
        for name, given, kind in (
            ("timeouts", timeouts, Timeouts),
            ("retry", retry, Retry),
            ("limits", limits, Limits),
        ):
            if given is not None and not isinstance(given, kind):
                raise ValueError(f"{name}: expected {kind.__name__}(...), got {given!r}")
        if tls is not None and not isinstance(tls, ssl.SSLContext):
            raise ValueError(f"tls: expected an ssl.SSLContext, got {tls!r}")
        self._addresses = read_addresses([(host, port)] if addresses is None else addresses)
        self._dialing = Dialing(connections=connections, tls=tls, limits=limits or Limits(), deserializer=deserializer)
        self._timeouts = timeouts or Timeouts()
        self._attempts = 1 + (retry or Retry()).attempts
        self._messages = Messages(serializer)
        self._on_status = on_status or (lambda _: None)
        self._begun = False
        self._thread = 0
        self._loop: asyncio.AbstractEventLoop
        self._pool: Pool
        self._clock: Clock
        self._closed = False

    # Messages

    @overload
    async def send(
        self, pattern: object, data: object = ..., *, type: type[T],
        timeout: float | Default | None = ..., metadata: object = ..., idempotent: bool = ...,
    ) -> T: ...  # fmt: skip

    @overload
    async def send(
        self, pattern: object, data: object = ..., *, type: object,
        timeout: float | Default | None = ..., metadata: object = ..., idempotent: bool = ...,
    ) -> Any: ...  # fmt: skip

    @overload
    async def send(
        self, pattern: object, data: object = ..., *,
        timeout: float | Default | None = ..., metadata: object = ..., idempotent: bool = ...,
    ) -> Any: ...  # fmt: skip

    async def send(
        self,
        pattern: object,
        data: object = None,
        *,
        type: Any = object,  # noqa: A002 - the word that people expect
        timeout: float | Default | None = AS_SET,
        metadata: object = None,
        idempotent: bool = False,
    ) -> Any:
        """Ask; return the answer, the last value of a stream, None where there was none.

        `type`: what the answer must be, as msgspec converts it (`Order`, `list[int]`, `Order | None`).
        `timeout`: seconds in all, None for ever.
        `idempotent`: it may be repeated where its connection was lost, though it may have run.
        Raises RpcError, NoHandlerError, RequestTimeout, Unreachable, ConnectionLost, ProtocolError, FrameTooLarge,
        Overloaded, NotJson, PatternError, UnexpectedValue, ClientClosed.
        """
        message = self._message(pattern, data, metadata, timeout, idempotent=idempotent)
        _, value = await self._first_word(message, lambda: Single(message.question.id, self._loop), _only_value)
        return as_type(value, type)

    @overload
    def stream(
        self, pattern: object, data: object = ..., *, type: type[T],
        timeout: float | Default | None = ..., metadata: object = ..., idempotent: bool = ...,
    ) -> AsyncGenerator[T]: ...  # fmt: skip

    @overload
    def stream(
        self, pattern: object, data: object = ..., *, type: object,
        timeout: float | Default | None = ..., metadata: object = ..., idempotent: bool = ...,
    ) -> AsyncGenerator[Any]: ...  # fmt: skip

    @overload
    def stream(
        self, pattern: object, data: object = ..., *,
        timeout: float | Default | None = ..., metadata: object = ..., idempotent: bool = ...,
    ) -> AsyncGenerator[Any]: ...  # fmt: skip

    async def stream(
        self,
        pattern: object,
        data: object = None,
        *,
        type: Any = object,  # noqa: A002 - as above
        timeout: float | Default | None = AS_SET,
        metadata: object = None,
        idempotent: bool = False,
    ) -> AsyncGenerator[Any]:
        """Ask, and give each value of the answer as it comes; `timeout` is for each. Else as `send`.

        Leaving the iteration early is safe; the server is not told, as NestJS has no word for it.
        """
        message = self._message(pattern, data, metadata, timeout, idempotent=idempotent)
        unread = self._dialing.limits.unread
        call, value = await self._first_word(message, lambda: Stream(message.question.id, unread), Stream.next)
        try:
            self._clock.cancel(call)
            while value is not END:
                yield as_type(value, type)
                if message.patience is not None and not call.ready:
                    self._clock.set(call, message.patience)
                value = await call.next()
                self._clock.cancel(call)
        finally:
            self._forget(call)

    async def emit(self, pattern: object, data: object = None, *, metadata: object = None) -> None:
        """Tell; return once it was handed to the system. NestJS acknowledges no event, so it may be lost after that.

        Raises Unreachable, Overloaded, NotJson, PatternError, RequestTimeout, ClientClosed.
        """
        self._begin()
        frame = self._messages.event(pattern, data, metadata)
        session = await self._session((), self._timeouts.request)
        session.connection.send(frame)

    # The client itself

    @property
    def status(self) -> Literal["connected", "disconnected"]:
        """Whether a connection stands that can be used; a client that has sent nothing has none."""
        return "connected" if self._begun and self._pool.connected else "disconnected"

    @property
    def in_flight(self) -> int:
        """How many requests wait for an answer."""
        return self._pool.in_flight if self._begun else 0

    async def connect(self) -> None:
        """Connect now, not with the first message. Raises Unreachable, ClientClosed."""
        self._begin()
        await self._session((), None)

    async def close(self, grace: float = 10.0) -> None:
        """Close for good; what is still awaited ends with ClientClosed.

        What was sent before is delivered first: the servers get `grace` seconds for it, as long as they take it.
        """
        self._closed = True
        if self._begun:
            self._clock.stop()
            await self._pool.close(grace)

    async def __aenter__(self) -> Self:
        """Give the client itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.close()

    # Sending

    async def _first_word(
        self, message: Message, make: Callable[[], C], word: Callable[[C], Awaitable[object]]
    ) -> tuple[C, object]:
        """Begin a call, again where that may be; return it, and the first that it gives."""
        tried: list[Address] = []
        left = message.patience
        until = 0.0 if left is None else self._loop.time() + left
        while True:
            session = self._pool.choose(tried)
            if session is None or session.connection.full:
                session = await self._session(tried, left)
            call = make()
            session.begin(call, message.question.frame)
            if left is not None:
                assert message.patience is not None
                call.patience = message.patience
                self._clock.set(call, left)
            try:
                return call, await word(call)
            except (NoHandlerError, ConnectionLost) as error:
                tried.append(session.address)
                if not self._may_repeat(error, tried, idempotent=message.idempotent):
                    raise
            except asyncio.CancelledError:
                self._forget(call)
                raise
            left = None if left is None else max(0.0, until - self._loop.time())

    def _message(
        self, pattern: object, data: object, metadata: object, timeout: float | Default | None, *, idempotent: bool
    ) -> Message:
        self._begin()
        question = self._messages.request(pattern, data, metadata)
        patience = self._timeouts.request if isinstance(timeout, Default) else timeout
        if patience is not None and not is_number(patience):
            raise ValueError(f"timeout: expected seconds or None, got {timeout!r}")
        if patience is not None and patience <= 0:
            raise RequestTimeout(f"no time is left: timeout={patience!r}")
        return Message(question, patience, idempotent)

    def _may_repeat(self, error: NoHandlerError | ConnectionLost, tried: list[Address], *, idempotent: bool) -> bool:
        """Whether a message may be sent again: nothing ran and another server may know better, or it does no harm."""
        if len(tried) >= self._attempts or self._closed:
            return False
        if isinstance(error, NoHandlerError):
            return self._pool.others(tried)
        return idempotent and not isinstance(error, ProtocolError)

    async def _session(self, tried: Sequence[Address], left: float | None) -> Session:
        """Return a connection that takes more; one to another address than those tried, where there is one."""
        pool = self._pool
        session = pool.choose(tried) or (pool.choose() if tried else None)
        if session is not None and not session.connection.full:
            return session
        connect = self._timeouts.connect
        try:
            async with asyncio.timeout(left):
                while session is None or session.connection.full or not session.usable:
                    if session is not None and session.usable:
                        await session.connection.drained()
                    session = await pool.wait(connect if left is None else min(connect, left))
        except TimeoutError:
            raise RequestTimeout(f"no connection took the message within {left:g} s: {pool.trouble}") from pool.error
        return session

    def _forget(self, call: Call) -> None:
        self._clock.cancel(call)
        call.session.forget(call)

    def _expired(self, call: TimerOwner) -> None:
        assert isinstance(call, Call)
        call.session.forget(call)
        call.fail(RequestTimeout(f"{call.session.address} did not answer within {call.patience:g} s"))

    def _begin(self) -> None:
        """Bind to the event loop with the first message. Raises ClientClosed."""
        if self._closed:
            raise ClientClosed("the client was closed")
        if not self._begun:
            self._begun = True
            self._thread = get_ident()
            self._loop = asyncio.get_running_loop()
            self._clock = Clock(self._expired)
            self._pool = Pool(self._addresses, self._dialing, self._clock.cancel, self._told)
        elif self._thread != get_ident() or self._loop.is_closed():
            raise RuntimeError("this client belongs to another event loop: make one for each")

    def _told(self, status: Status) -> None:
        try:
            self._on_status(status)
        except Exception:
            _LOGGER.exception("on_status failed")


def _only_value(call: Single) -> Awaitable[object]:
    return call.done
