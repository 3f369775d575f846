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
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Final, Self

from tcpservice_transport.addresses import check_host, is_port
from tcpservice_transport.answers import Serializer
from tcpservice_transport.errors import ListenError, PatternError
from tcpservice_transport.handlers import F, Handlers, declaring
from tcpservice_transport.options import Limits, is_number
from tcpservice_transport.parameters import MISSING
from tcpservice_transport.router import Router
from tcpservice_transport.serving import Deserializer, Manner, PeerListener, Serving

Lifespan = Callable[["Server"], AbstractAsyncContextManager[object]]

_LOGGER: Final = logging.getLogger("tcpservice_transport")


class Server:
    """Handlers, and the connections they serve.

    `port` 0 lets the system choose; `port` says which, once started. `serializer` gets each packet before it is
    written, `deserializer` each value as it was read, both as in NestJS. `handler_timeout` (seconds) ends handlers that
    take longer, and answers for them. `lifespan` makes an async context manager from the server: entered before
    the server listens, left after the last handler has ended.
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
        lifespan: Lifespan | None = None,
    ) -> None:
        check_host(host)
        if not is_port(port, 0):
            raise ValueError(f"port: expected a number from 0 to 65535, got {port!r}")
        if handler_timeout is not None and not (is_number(handler_timeout) and handler_timeout > 0):
            raise ValueError(f"handler_timeout: expected seconds above 0 or None, got {handler_timeout!r}")
        self.host = host
        self.port = port
        self._tls = tls
        self._handlers = Handlers()
        manner = Manner(
            limits=limits or Limits(), patience=handler_timeout, serializer=serializer, deserializer=deserializer
        )
        self._serving = Serving(self._handlers, manner)
        self._listening: asyncio.Server | None = None
        self._lifespan = lifespan
        self._lived = AsyncExitStack()

    # Declaring

    def message_pattern(self, pattern: object = MISSING, *, type: object = MISSING) -> Callable[[F], F]:  # noqa: A002
        """Declare who answers the requests of a pattern; a list declares several patterns at once.

        The function takes `()`, `(data)` or `(data, context)`. It is plain, a coroutine function, or a generator of
        either kind for a stream. `type` is what its data must be, as msgspec converts it; by default the annotation of
        its first parameter. A caller that sends other data is told so. Raises PatternError.
        """
        return declaring(self._handlers.declare_message, pattern, type)

    def event_pattern(self, pattern: object = MISSING, *, type: object = MISSING) -> Callable[[F], F]:  # noqa: A002
        """Declare who hears the events of a pattern; several may. Raises PatternError, as `message_pattern` does."""
        return declaring(self._handlers.declare_event, pattern, type)

    def include(self, router: Router, owner: object = None) -> None:
        """Take the declarations of a router; its methods are those of the object `owner`. Raises PatternError."""
        if not isinstance(router, Router):
            raise PatternError(f"include: expected a Router, got {router!r}")
        for event, pattern, function, wanted in router.bound(owner):
            declare = self._handlers.declare_event if event else self._handlers.declare_message
            declare(pattern, function, wanted)

    def on_connect(self, listener: PeerListener) -> PeerListener:
        """Call a function with the address of each peer that connects."""
        self._serving.on_connect.append(listener)
        return listener

    def on_disconnect(self, listener: PeerListener) -> PeerListener:
        """Call a function with the address of each peer that is gone."""
        self._serving.on_disconnect.append(listener)
        return listener

    # Running

    async def start(self) -> None:
        """Begin to listen. Raises ListenError, and what the lifespan raises."""
        loop = asyncio.get_running_loop()
        if self._lifespan is not None:
            lifespan = self._lifespan(self)
            if not isinstance(lifespan, AbstractAsyncContextManager):
                raise TypeError(
                    "lifespan: expected an async context manager; decorate the function with "
                    "contextlib.asynccontextmanager"
                )
            await self._lived.enter_async_context(lifespan)
        self._serving.begin()
        try:
            self._listening = await loop.create_server(self._serving.channel, self.host, self.port, ssl=self._tls)
        except BaseException as error:
            await self._lived.aclose()
            if isinstance(error, OSError | OverflowError | ValueError):  # ValueError: a host that can be none
                reason = getattr(error, "strerror", None) or error
                raise ListenError(f"cannot listen on {self.host}:{self.port}: {reason}") from error
            raise
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
        it. Peers that read slowly receive their replies, too. After `grace` seconds what still runs is cancelled, and
        its callers are told so; replies that a peer has not read by then are lost, with a warning in the log.
        """
        if self._listening is None:
            return
        self._listening.close()
        self._listening = None
        try:
            await self._serving.leave(grace)
        finally:
            await self._lived.aclose()

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
        return self._serving.in_flight

    @property
    def connections(self) -> int:
        """How many peers are connected."""
        return self._serving.connections
