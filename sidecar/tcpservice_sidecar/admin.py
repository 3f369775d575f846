"""The admin port: health, metrics, the state in force, and the word to leave.

Used by `app`. Plain HTTP for kubelets, collectors and people. In a cluster any pod can reach it. So what changes the
state needs a key, which the kubelet has from the pod's manifest, and /snapshot needs the key, too, or comes from this
pod. The kubelet's probes and Prometheus have no key: /livez, /readyz, /app/readyz and /metrics are open. Without a key
(on a laptop), what changes the state needs POST, which no web page may send.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

import orjson
from aiohttp import web
from msgspec import to_builtins

from tcpservice.exchange import Exchange
from tcpservice_flags import Address, SettingsError, bind_error
from tcpservice_sidecar.appcheck import AppCheck
from tcpservice_sidecar.gate import Gate
from tcpservice_sidecar.leaving import Leaving
from tcpservice_sidecar.prometheus import Exposition
from tcpservice_sockets import EVERYWHERE, bind_everywhere

KEY_HEADER: Final = "X-TcpService-Key"
_BACKLOG: Final = 128
_HOOKS: Final = ("/leave", "/gate", "/drain")
_SHOWN: Final = "/snapshot"


class Admin:
    """The HTTP server of one sidecar."""

    def __init__(
        self,
        exchange: Exchange,
        metrics: Exposition,
        *,
        app: AppCheck,
        why_not_ready: Callable[[], str | None],
        leaving: Leaving,
        gate: Gate,
        hook_key: str = "",
    ) -> None:
        self._exchange = exchange
        self._metrics = metrics
        self._app = app
        self._why_not_ready = why_not_ready
        self._leaving = leaving
        self._gate_of_app = gate
        self._hook_key = hook_key.encode()
        self._runner: web.AppRunner | None = None

    async def start(self, address: Address) -> Address:
        """Listen; return the address that was bound. Raises SettingsError."""
        app = web.Application(middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/livez", self._live),
                web.get("/readyz", self._ready),
                web.get("/app/readyz", self._app_ready),
                web.get("/metrics", self._show_metrics),
                web.get("/snapshot", self._show_snapshot),
                *(
                    make(path, handler)
                    for path, handler in (("/leave", self._leave), ("/gate", self._gate), ("/drain", self._drain))
                    for make in (web.get, web.post)
                ),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        everywhere = address.host == EVERYWHERE
        try:
            if everywhere:
                await web.SockSite(self._runner, bind_everywhere(address.port, _BACKLOG)).start()
            else:
                await web.TCPSite(self._runner, address.host, address.port, backlog=_BACKLOG).start()
        except OSError as error:
            raise SettingsError(f"--admin: cannot listen on {address}: {bind_error(error)}") from error
        host, port = self._runner.addresses[0][:2]
        return Address(EVERYWHERE if everywhere else host, port)

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Refuse what changes or shows the state to those who may not have that."""
        refused = self._refusal(request)
        return web.Response(status=403, text=f"{refused}\n") if refused else await handler(request)

    def _refusal(self, request: web.Request) -> str | None:
        if request.path not in _HOOKS and request.path != _SHOWN:
            return None
        if self._hook_key:
            given = request.headers.get(KEY_HEADER, "").encode("utf-8", "surrogateescape")
            here = request.path == _SHOWN and _is_loopback(request.remote)
            known = here or secrets.compare_digest(given, self._hook_key)
            return None if known else f"this needs the key of --hook-key as the header {KEY_HEADER}"
        if request.path in _HOOKS and (request.method != "POST" or "Origin" in request.headers):
            return "this changes the state: it needs POST, not from a web page"
        return None

    async def _live(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _ready(self, _: web.Request) -> web.Response:
        return _verdict(self._why_not_ready())

    async def _app_ready(self, _: web.Request) -> web.Response:
        if not self._app.apps:
            return web.Response(status=404, text="no --app was given to this sidecar\n")
        return _verdict(await self._app.why_not_ready())

    async def _show_metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def _show_snapshot(self, _: web.Request) -> web.Response:
        body = {
            "services": [to_builtins(service) for service in self._exchange.services()],
            "apps": [to_builtins(app) for app in self._exchange.apps()],
            "callers": self._exchange.connections(),
            "inFlight": self._exchange.in_flight(),
        }
        return web.Response(body=orjson.dumps(body, option=orjson.OPT_INDENT_2), content_type="application/json")

    async def _leave(self, _: web.Request) -> web.Response:
        self._leaving.withdraw()
        return web.Response(text="leaving\n")

    async def _gate(self, _: web.Request) -> web.Response:
        return web.Response(text=f"{await self._gate_of_app.hold()}\n")

    async def _drain(self, _: web.Request) -> web.Response:
        drained = await self._leaving.leave()
        left = self._exchange.in_flight()
        body = orjson.dumps({"drained": drained, "inFlight": left})
        return web.Response(status=200 if drained else 503, body=body, content_type="application/json")


def _is_loopback(host: str | None) -> bool:
    try:
        address = ipaddress.ip_address((host or "").removeprefix("::ffff:"))
    except ValueError:
        return False
    return address.is_loopback


def _verdict(reason: str | None) -> web.Response:
    if reason is None:
        return web.Response(text="ok\n")
    return web.Response(status=503, text=reason + "\n")
