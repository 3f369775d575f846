"""Replicas named on the command line, for compose files and process managers: a snapshot without manifests.

Used by `app`. Host names are resolved again every few seconds; each address of a name is a replica. A name that does
not resolve (yet) is one line, and its last addresses stay in force.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tcpservice.snapshot import Endpoint, Service, Snapshot
from tcpservice_flags import Address
from tcpservice_sidecar.addresses import Upstream
from tcpservice_sidecar.logs import Log
from tcpservice_sidecar.names import Names, is_address
from tcpservice_sidecar.polling import PollWait

DEFAULT_NAMESPACE: Final = "default"
_RESOLVE_S: Final = 5.0


def service_of(name: str, port: int) -> Service:
    """Make a service with the defaults of a manifest; `name` may be `namespace/name`."""
    namespace, slash, short = name.rpartition("/")
    return Service(namespace=namespace if slash else DEFAULT_NAMESPACE, name=short, port=port)


class UpstreamSource:
    """The snapshot that `--upstream` flags describe."""

    def __init__(self, upstreams: tuple[Upstream, ...], names: Names, log: Log) -> None:
        self._upstreams = upstreams
        self._log = log
        self._names = names
        self._resolved: dict[Address, tuple[str, ...]] = {}
        self._failed: set[Address] = set()
        self._pause = PollWait(_RESOLVE_S)
        self._last = Snapshot()

    def look(self) -> None:
        """Resolve the names anew now."""
        self._pause.cut()

    async def load(self) -> Snapshot:
        """Resolve all names once."""
        services = []
        for upstream in self._upstreams:
            endpoints: dict[tuple[str, int], Endpoint] = {}
            for address in upstream.addresses:
                for host in await self._hosts(upstream.name, address):
                    endpoints[host, address.port] = _endpoint(host, address)
            base = service_of(upstream.name, upstream.addresses[0].port)
            services.append(
                Service(namespace=base.namespace, name=base.name, port=base.port, endpoints=tuple(endpoints.values()))
            )
        self._last = Snapshot(services=tuple(services))
        return self._last

    async def watch(self, swap: Callable[[Snapshot], None]) -> None:
        """Give each snapshot that differs from the one that `load` returned last to `swap`, for ever."""
        while True:
            last, snapshot = self._last, await self.load()
            if snapshot != last:
                swap(snapshot)
            await self._pause.wait()

    async def _hosts(self, name: str, address: Address) -> tuple[str, ...]:
        if address.host == "localhost" or is_address(address.host):
            return (address.host,)
        try:
            found = await self._names.addresses(address.host)
        except OSError as error:
            if address not in self._failed:
                self._failed.add(address)
                why = error.strerror or str(error)
                text = f"--upstream {name}: the host {address.host} does not resolve ({why}); tried again every 5 s"
                self._log.warn("unresolved", text, service=name)
            return self._resolved.get(address, ())
        self._failed.discard(address)
        self._resolved[address] = tuple(found)
        return self._resolved[address]


def _endpoint(host: str, address: Address) -> Endpoint:
    shown = str(Address(host, address.port))
    return Endpoint(host=host, port=address.port, name=shown if host == address.host else f"{address.host}/{shown}")
