"""The servers of the operator: HTTPS for sidecars and the API server, plain HTTP for kubelets and Prometheus.

Used by `main`.
"""

from __future__ import annotations

import asyncio
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from tcpservice_operator.api.operator_metrics import OperatorMetrics
from tcpservice_operator.discovery.streams import PATH as DISCOVERY_PATH
from tcpservice_operator.discovery.streams import Discovery
from tcpservice_operator.http.connection_limits import HANDSHAKE_S, SHUTDOWN_S, Handler, Server
from tcpservice_operator.inject.webhook import PATH as WEBHOOK_PATH
from tcpservice_operator.inject.webhook import Webhook
from tcpservice_sockets import EVERYWHERE, bind

SSLProtocol.max_size = 16 * 1024  # a TLS record; asyncio's own buffer of 256 KiB would be most of a stream's memory

_BACKLOG: Final = 1024
_ACCEPTED_AT_ONCE: Final = 4
"""How many connections are accepted in one turn of the event loop. The others wait in the kernel's accept queue.

If a thousand sidecars connect at the same time and all are accepted, all their handshakes run into the timeout.
"""

_SHUTDOWN_S: Final = 2.0


class Servers:
    """The servers of one replica of the operator."""

    def __init__(self, handshake: float = HANDSHAKE_S) -> None:
        self._handshake_s = handshake
        self._runners: list[web.BaseRunner] = []
        self._listeners: list[asyncio.Server] = []

    async def secure(
        self, host: str, port: int, context: ssl.SSLContext, discovery: Discovery | None, webhook: Webhook | None
    ) -> str:
        """Serve discovery streams and admission reviews over HTTPS; return the address. Raises OSError."""
        routes: dict[tuple[str, str], Handler] = {}
        if discovery is not None:
            routes["GET", DISCOVERY_PATH] = discovery.stream
        if webhook is not None:
            routes["POST", WEBHOOK_PATH] = webhook.review
        server = Server(routes)
        return await self._listen(web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_S), host, port, context)

    async def plain(self, host: str, port: int, why_not_ready: Callable[[], str], operator: OperatorMetrics) -> str:
        """Serve health and metrics over plain HTTP; return the address. Raises OSError."""

        async def live(_: web.Request) -> web.Response:
            return web.Response(text="ok\n")

        async def ready(_: web.Request) -> web.Response:
            reason = why_not_ready()
            return web.Response(status=503 if reason else 200, text=f"{reason or 'ok'}\n")

        async def metrics(_: web.Request) -> web.Response:
            return web.Response(body=operator.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})

        app = web.Application()
        app.add_routes([web.get("/livez", live), web.get("/readyz", ready), web.get("/metrics", metrics)])
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_SHUTDOWN_S)
        return await self._listen(runner, host, port, None)

    async def stop(self) -> None:
        """Close all listeners and connections."""
        for listener in self._listeners:
            listener.close()
        for runner in self._runners:
            await runner.cleanup()

    async def _listen(self, runner: web.BaseRunner, host: str, port: int, context: ssl.SSLContext | None) -> str:
        await runner.setup()
        self._runners.append(runner)
        assert runner.server is not None
        limits: dict[str, Any] = {"ssl_handshake_timeout": self._handshake_s, "ssl_shutdown_timeout": SHUTDOWN_S}
        sockets = await bind(host, port)
        for sock in sockets:
            # asyncio accepts as many connections in a row as its backlog has.
            listener = await asyncio.get_running_loop().create_server(
                runner.server, sock=sock, backlog=_ACCEPTED_AT_ONCE, ssl=context,
                **(limits if context is not None else {}),
            )  # fmt: skip
            sock.listen(_BACKLOG)
            self._listeners.append(listener)
        address = sockets[0].getsockname()
        return f"{EVERYWHERE if host == EVERYWHERE else address[0]}:{address[1]}"
