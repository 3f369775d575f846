"""The ports of the operator: HTTPS for sidecars and the API server, plain HTTP for kubelets and Prometheus.

Used by `app`.
"""

from __future__ import annotations

import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable, Iterator
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from tcpservice_operator import discovery as discovering
from tcpservice_operator import webhook as webhooks
from tcpservice_operator.discovery import Discovery
from tcpservice_operator.webhook import LARGEST, Webhook
from tcpservice_sockets import EVERYWHERE, bind_everywhere

SSLProtocol.max_size = 16 * 1024  # a TLS record; asyncio's own buffer of 256 KiB would be most of a stream's memory

_BACKLOG: Final = 1024

Figures = Callable[[], dict[str, float]]
"""What the operator counts, by the name of each metric; names that end in `_total` only grow."""

FIGURES: Final = {
    "tcpservice_operator_leading": "Whether this copy leads.",
    "tcpservice_operator_services": "TcpServices that were seen.",
    "tcpservice_operator_streams": "Sidecars that are told of changes.",
    "tcpservice_operator_looks_total": "How often a TcpService was looked at.",
    "tcpservice_operator_writes_total": "Objects written.",
}


class Serving:
    """The servers of one copy."""

    def __init__(self) -> None:
        self._runners: list[web.AppRunner] = []

    async def secure(
        self, host: str, port: int, context: ssl.SSLContext, discovery: Discovery, webhook: Webhook
    ) -> str:
        """Listen for sidecars, and for the API server's questions about pods; return the address. Raises OSError."""
        app = web.Application(client_max_size=LARGEST)
        app.add_routes([web.get(discovering.PATH, discovery.stream), web.post(webhooks.PATH, webhook.review)])
        return await self._listen(app, host, port, context)

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
        return await self._listen(app, host, port, None)

    async def stop(self) -> None:
        """Stop listening."""
        for runner in self._runners:
            await runner.cleanup()

    async def _listen(self, app: web.Application, host: str, port: int, context: ssl.SSLContext | None) -> str:
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=2.0)
        await runner.setup()
        self._runners.append(runner)
        if host == EVERYWHERE:
            sock = bind_everywhere(port, _BACKLOG)
            await web.SockSite(runner, sock, ssl_context=context, backlog=_BACKLOG).start()
            return f"{EVERYWHERE}:{sock.getsockname()[1]}"
        await web.TCPSite(runner, host, port, ssl_context=context, backlog=_BACKLOG).start()
        address = runner.addresses[0]
        return f"{address[0]}:{address[1]}"


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
