"""Where callers connect: plain listeners that balance, and the mesh listener that delivers to the own app.

Used by `app`. A port that cannot be had is one line that names the flag.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tcpservice.snapshot import Protocol, Service
from tcpservice_flags import Address, SettingsError, bind_error
from tcpservice_sidecar.plane import Connection, Plane, now_ns
from tcpservice_sidecar.relay import Relays
from tcpservice_sidecar.security import Plain
from tcpservice_sockets import EVERYWHERE, bind_everywhere

_BACKLOG = 1024


class Listeners:
    """The listening sockets of one sidecar."""

    def __init__(self, plane: Plane, relays: Relays, security: Plain) -> None:
        self._plane = plane
        self._relays = relays
        self._security = security
        self._own: list[asyncio.Server] = []
        self._others: list[asyncio.Server] = []

    async def listen(self, service: Service, address: Address, *, front: bool = False) -> Address:
        """Accept callers of a service; return the address that was bound. `front`: they have no sidecar."""
        flag = "--front" if front else "--listen"
        if service.protocol is Protocol.OPAQUE:
            return await self._start(
                flag,
                address,
                lambda where: asyncio.start_server(
                    lambda reader, writer: self._relays.serve(service, reader, writer), **where
                ),
            )
        exchange = self._plane.exchange
        return await self._serve(flag, address, lambda: exchange.accept(service, now_ns(), front=front), mesh=False)

    async def listen_mesh(self, address: Address) -> Address:
        """Accept other sidecars; return the address that was bound."""
        exchange = self._plane.exchange
        return await self._serve("--mesh", address, lambda: exchange.accept_mesh(now_ns()), mesh=True)

    def close_to_others(self) -> None:
        """Accept only the pod's own app any more; the connections that stand stay."""
        while self._others:
            self._others.pop().close()

    def close(self) -> None:
        """Accept nobody any more; the connections that stand stay."""
        self.close_to_others()
        while self._own:
            self._own.pop().close()

    async def _serve(self, flag: str, address: Address, accept: Callable[[], int], *, mesh: bool) -> Address:
        context = self._security.for_mesh_listener() if mesh else None
        return await self._start(
            flag,
            address,
            lambda where: self._plane.loop.create_server(
                lambda: Connection(self._plane, None, upstream=False, accept=accept), ssl=context, **where
            ),
        )

    async def _start(
        self, flag: str, address: Address, start: Callable[[dict[str, Any]], Awaitable[asyncio.Server]]
    ) -> Address:
        try:
            server = await start(_where(address))
        except OSError as error:
            raise SettingsError(f"{flag}: cannot listen on {address}: {bind_error(error)}") from error
        (self._own if flag == "--listen" else self._others).append(server)
        host, port = server.sockets[0].getsockname()[:2]
        return Address(EVERYWHERE if address.host == EVERYWHERE else host, port)


def _where(address: Address) -> dict[str, Any]:
    if address.host == EVERYWHERE:
        return {"sock": bind_everywhere(address.port, _BACKLOG), "backlog": _BACKLOG}
    return {"host": address.host, "port": address.port, "backlog": _BACKLOG}
