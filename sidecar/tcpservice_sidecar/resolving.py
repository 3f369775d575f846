"""Replicas by the cluster's name server, for when the operator does not tell of them.

Used by `discovery`. The headless Service of a TcpService resolves to its ready pods; whether a sidecar or only the app
waits there is found out by connecting. If that name does not exist any more (the TcpService was deleted), the last
resort is the Service of its own name, which balances per connection. That one may lead to another sidecar's inbound
listener. So that no message goes round in circles, a sidecar whose pod serves the TcpService gives to its own app.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterable, Mapping
from statistics import mode
from typing import Final

from msgspec.structs import replace

from tcpservice.following import SIDECAR_PORTS, endpoints_at
from tcpservice.snapshot import Endpoint, Service
from tcpservice.spec.replicas import APP_PORT
from tcpservice_sidecar.connector import Connector
from tcpservice_sidecar.settings import Discovery
from tcpservice_sidecar.stream import Stream

REPLICAS_SUFFIX: Final = "-replicas"
_CONNECT_S: Final = 1.0
_AT_ONCE: Final = 32


class Resolving:
    """Asks the name server: for addresses, and for the port of the apps where only pods know it."""

    def __init__(self, settings: Discovery, connector: Connector, apps: Mapping[str, Endpoint]) -> None:
        self._settings = settings
        self._connector = connector
        self._apps = apps
        self._connecting = asyncio.Semaphore(_AT_ONCE)

    async def endpoints_of(self, service: Service, *, last_resort: bool) -> list[Endpoint]:
        """Return the endpoints of a service, none where nothing resolves.

        `last_resort`: no other endpoint of the service works.
        """
        domain = f"{service.namespace}.svc.{self._settings.domain}."
        hosts = await self._addresses(f"{service.name}{REPLICAS_SUFFIX}.{domain}")
        if hosts:
            meshed = await self._meshed(service, hosts)
            known = await self._with_app_port(service, f"_{APP_PORT}._tcp.{service.name}{REPLICAS_SUFFIX}.{domain}")
            return endpoints_at(known, hosts, meshed, self._settings.mesh_port)
        if not last_resort:
            return []
        if service.key in self._apps:
            return [self._apps[service.key]]
        return [
            Endpoint(host=host, port=service.port, name=f"{service.name}/{host}")
            for host in await self._addresses(f"{service.name}.{domain}")
        ]

    async def _with_app_port(self, service: Service, name: str) -> Service:
        """Find out where the apps listen if the manifest gives the port by its name, which each pod may number."""
        if service.app_port is not None:
            return service
        try:
            ports = [port for port in await self._connector.names.ports(name) if port not in SIDECAR_PORTS]
        except OSError:
            return service
        return replace(service, app_port=mode(ports)) if ports else service

    async def _addresses(self, name: str) -> list[str]:
        """Resolve a name; none where that fails. A loopback address is the alias of the own sidecar, not a replica."""
        try:
            found = await self._connector.names.addresses(name)
        except OSError:
            return []
        return [host for host in found if not ipaddress.ip_address(host).is_loopback]

    async def silent(self, endpoints: Iterable[Endpoint]) -> list[Endpoint]:
        """Return those of the endpoints that take no connection."""
        asked = list(endpoints)
        answers = await asyncio.gather(*(self._answers(endpoint) for endpoint in asked))
        return [endpoint for endpoint, answered in zip(asked, answers, strict=True) if not answered]

    async def _meshed(self, service: Service, hosts: list[str]) -> set[str]:
        """Return the addresses where a sidecar takes connections; what is known already is not tried."""
        known = {each.host for each in service.endpoints if each.ready}
        asked = [host for host in hosts if host not in known]
        answers = await asyncio.gather(*(self._answers(self._sidecar_at(host)) for host in asked))
        return {host for host, answered in zip(asked, answers, strict=True) if answered}

    def _sidecar_at(self, host: str) -> Endpoint:
        return Endpoint(host=host, port=self._settings.mesh_port, name=host, mesh=True)

    async def _answers(self, endpoint: Endpoint) -> bool:
        async with self._connecting:
            try:
                async with asyncio.timeout(_CONNECT_S):
                    channel = await self._connector.connect(endpoint, Stream())
            except (OSError, TimeoutError):
                return False
            channel.close()
            return True
