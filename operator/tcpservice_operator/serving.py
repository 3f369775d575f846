"""The ports of the operator: HTTPS for sidecars and the API server, plain HTTP for kubelets and Prometheus.

Used by `app`.
"""

from __future__ import annotations

import asyncio
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from tcpservice_operator import discovery as discovering
from tcpservice_operator import webhook as webhooks
from tcpservice_operator.connections import HANDSHAKE_S, SHUTDOWN_S, Server
from tcpservice_operator.discovery import Discovery
from tcpservice_operator.webhook import Webhook
from tcpservice_sockets import EVERYWHERE, bind_everywhere

SSLProtocol.max_size = 16 * 1024  # a TLS record; asyncio's own buffer of 256 KiB would be most of a stream's memory

_BACKLOG: Final = 1024
_SHUTDOWN_S: Final = 2.0

Figures = Callable[[], dict[str, float]]
"""What the operator counts, by the name of each metric; names that end in `_total` only grow."""

FIGURES: Final = {
    "tcpservice_operator_leading": "Whether this copy leads.",
    "tcpservice_operator_services": "TcpServices that were seen.",
    "tcpservice_operator_streams": "Sidecars that are told of changes.",
    "tcpservice_operator_looks_total": "How often a TcpService was looked at.",
    "tcpservice_operator_writes_total": "Objects written.",
    "tcpservice_operator_reviews_refused_total": "Reviews that were too slow, or more than there was room for.",
}


class Serving:
    """The servers of one copy."""

    def __init__(self, handshake: float = HANDSHAKE_S) -> None:
        self._handshake_s = handshake
        self._runners: list[web.BaseRunner] = []
        self._listeners: list[asyncio.Server] = []

    async def secure(
        self, host: str, port: int, context: ssl.SSLContext, discovery: Discovery, webhook: Webhook
    ) -> str:
        """Listen for sidecars, and for the API server's questions about pods; return the address. Raises OSError."""
        server = Server({("GET", discovering.PATH): discovery.stream, ("POST", webhooks.PATH): webhook.review})
        return await self._listen(web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_S), host, port, context)

    async def plain(self, host: str, port: int, why_not_ready: Callable[[], str], figures: Figures) -> str:
        """Listen for kubelets and Prometheus; return the address. Raises OSError."""

        async def live(_: web.Request) -> web.Response:
            return web.Response(text="ok\n")

        async def ready(_: web.Request) -> web.Response:
            reason = why_not_ready()
            return web.Response(status=503 if reason else 200, text=f"{reason or 'ok'}\n")

        async def metrics(_: web.Request) -> web.Response:
            return web.Response(body=_exposition(figures), headers={"Content-Type": "text/plain; version=0.0.4"})

        app = web.Application()
        app.add_routes([web.get("/livez", live), web.get("/readyz", ready), web.get("/metrics", metrics)])
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_SHUTDOWN_S)
        return await self._listen(runner, host, port, None)

    async def stop(self) -> None:
        """Stop listening."""
        for listener in self._listeners:
            listener.close()
        for runner in self._runners:
            await runner.cleanup()

    async def _listen(self, runner: web.BaseRunner, host: str, port: int, context: ssl.SSLContext | None) -> str:
        await runner.setup()
        self._runners.append(runner)
        assert runner.server is not None
        limits: dict[str, Any] = {"ssl_handshake_timeout": self._handshake_s, "ssl_shutdown_timeout": SHUTDOWN_S}
        listening = partial(
            asyncio.get_running_loop().create_server, runner.server, backlog=_BACKLOG, ssl=context,
            **(limits if context is not None else {}),
        )  # fmt: skip
        if host == EVERYWHERE:
            listener = await listening(sock=bind_everywhere(port, _BACKLOG))
        else:
            listener = await listening(host=host, port=port)
        self._listeners.append(listener)
        address = listener.sockets[0].getsockname()
        return f"{EVERYWHERE if host == EVERYWHERE else address[0]}:{address[1]}"


class _Figures:
    """What Prometheus asks for, in its own terms."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """Give each figure."""
        for name, value in self._figures().items():
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            yield kind(name, FIGURES[name], value=value)


def _exposition(figures: Figures) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(figures))
    return generate_latest(registry)
