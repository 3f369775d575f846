"""Limits on idle connections of the operator's HTTPS port: how many may wait for a request, and for how long.

Used by `servers`. Any pod can connect. A connection with a request in progress does not count here: streams have their
own limit, and reviews have theirs (`inject.review_limits`). If too many connections are idle, the oldest is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

MOST_IDLE: Final = 256
IDLE_S: Final = 30.0
"""How long a connection may wait for its next request. The API server's HTTP client opens a new connection then."""

HANDSHAKE_S: Final = 5.0
SHUTDOWN_S: Final = 1.0

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Server(web.Server):
    """An HTTP server with a limit on idle connections. `routes` has the handlers by method and path."""

    def __init__(
        self, routes: dict[tuple[str, str], Handler], most_idle: int = MOST_IDLE, idle: float = IDLE_S, **more: Any
    ) -> None:
        super().__init__(self._serve, access_log=None, lingering_time=SHUTDOWN_S, auto_decompress=False, **more)
        self._routes = routes
        self._most_idle = most_idle
        self._idle_s = idle
        self._idle: dict[web.RequestHandler, asyncio.TimerHandle] = {}

    @property
    def idle(self) -> int:
        """The number of connections that wait for a request."""
        return len(self._idle)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Count a new connection as idle."""
        super().connection_made(handler, transport)
        self._begin_idle(handler)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Stop counting a closed connection."""
        self._end_idle(handler)
        super().connection_lost(handler, exc)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        self._end_idle(request.protocol)
        try:
            handler = self._routes.get((request.method, request.path))
            if handler is None:
                return web.Response(status=404, text="not found\n")
            return await handler(request)
        finally:
            if request.transport is not None:
                self._begin_idle(request.protocol)

    def _begin_idle(self, handler: web.RequestHandler) -> None:
        loop = asyncio.get_running_loop()
        self._idle[handler] = loop.call_later(self._idle_s, self._close, handler)
        if len(self._idle) > self._most_idle:
            self._close(next(iter(self._idle)))

    def _end_idle(self, handler: web.RequestHandler) -> None:
        timer = self._idle.pop(handler, None)
        if timer is not None:
            timer.cancel()

    def _close(self, handler: web.RequestHandler) -> None:
        """Close a connection without a TLS shutdown, during which a client that does not read would hold its memory."""
        self._end_idle(handler)
        transport = handler.transport
        if isinstance(transport, asyncio.Transport):
            transport.abort()
