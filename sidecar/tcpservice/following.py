"""What a sidecar makes of the operator's stream: the snapshot that is in force, whatever comes or fails to come.

Used by the sidecar's `discovery`. A line that is malformed, or older than what is in force, never replaces a good
snapshot; services that are gone from the stream stay as they were last, for the callers that still dial them; and what
a name server tells while the operator is silent holds until the operator speaks of that service again. Replicas of
which nobody has told yet are awaited: until the operator speaks of them, or a name server was asked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from msgspec.structs import replace

from tcpservice.snapshot import SECOND, Endpoint, Service, Snapshot
from tcpservice.updates import OutOfStep, Update, apply, decode

PATIENCE: Final = 60 * SECOND
"""How long a snapshot that is older than the one in force waits for its operator to catch up.

A copy of the operator that lags catches up in seconds; one that stays behind has the truth, as the cluster's own store
was set back.
"""


SIDECAR_PORTS: Final = range(15800, 15900)
"""Ports that sidecars take in pods. Where a Service gives its target port by name, the sidecar's inbound listener has
that name: slices and SRV records list its number for pods with a sidecar, which is no port of other pods' apps."""


class Following:
    """The state of one stream; times are nanoseconds of a monotonic clock."""

    def __init__(self, bootstrap: Snapshot) -> None:
        self._bootstrap = Snapshot(
            services=tuple(replace(service, awaited=not service.endpoints) for service in bootstrap.services)
        )
        self._kept = {service.key for service in bootstrap.services}
        self._told: Snapshot | None = None
        self._believed: Snapshot | None = None
        self._lost: dict[str, frozenset[Endpoint]] = {}
        self._version = 0
        self._revisions: Mapping[str, int] = {}
        self._behind_since: int | None = None
        self._resolved: dict[str, tuple[bool, tuple[Endpoint, ...]]] = {}
        self.in_force = self._bootstrap
        self.heard: int | None = None

    def begin(self) -> None:
        """Note that a stream begins anew: its first line has to be whole."""
        self._told = None

    def take(self, line: bytes, now: int) -> bool:
        """Take a line in; return whether another snapshot is in force now. Raises Malformed and OutOfStep."""
        update = decode(line)
        if update.base is not None and (self._told is None or update.base != self._version):
            raise OutOfStep(f"a change of version {update.base}, where version {self._version} was told")
        self._told = apply(self._told or Snapshot(), update)
        self._version = update.version
        self.heard = now
        was_behind = self._behind_since is not None
        if self._is_older(update, now):
            return False
        self._revisions = update.revisions
        self._believed = self._told
        self._behind_since = None
        self._forget_resolved(update, everything=was_behind)
        return self._enforce()

    def resolve(self, key: str, endpoints: Iterable[Endpoint], *, instead: bool = True) -> bool:
        """Let these endpoints of a service hold until the operator speaks of it; return whether that is a change.

        None: the name server knows none, so that nothing is to be awaited. `instead`: the operator is silent, so that
        what it told last counts no more. Else it only may be wrong, as none of its endpoints works: those remain.
        """
        self._resolved[key] = instead, tuple(sorted(endpoints, key=lambda endpoint: endpoint.name))
        return self._enforce()

    def kept(self) -> list[Service]:
        """Return the services whose last endpoints are kept because the operator lists none."""
        told = self._believed.services if self._believed else ()
        empty = {service.key for service in told if not service.endpoints and service.key not in self._resolved}
        return [service for service in self.in_force.services if service.key in empty and service.endpoints]

    def lose(self, key: str, endpoints: Iterable[Endpoint]) -> bool:
        """Keep these endpoints of a service no longer, as they do not answer; return whether that is a change."""
        self._lost[key] = self._lost.get(key, frozenset()).union(endpoints)
        return self._enforce()

    def to_ask_for(self) -> set[str]:
        """Return the services to resolve by DNS even while the operator's stream is connected.

        The operator does not speak of them and no replica is known; or the name server's word was added to the
        operator's, and may be out of date by now: an address may have become another pod's.
        """
        told = {service.key for service in self._believed.services} if self._believed else set()
        untold = {each.key for each in self.in_force.services if not each.endpoints} - told
        return untold | {key for key, (instead, _) in self._resolved.items() if not instead}

    def _is_older(self, update: Update, now: int) -> bool:
        if all(update.revisions.get(kind, 0) >= revision for kind, revision in self._revisions.items()):
            self._behind_since = None
            return False
        if self._behind_since is None:
            self._behind_since = now
        return now - self._behind_since < PATIENCE

    def _forget_resolved(self, update: Update, *, everything: bool) -> None:
        """Discard DNS results for the services in an update.

        `everything`: discard the results for all services, because the sidecar ignored earlier updates.
        """
        if update.base is None or everything:
            self._resolved.clear()
        for key in (*(service.key for service in update.services), *(change.service for change in update.changes)):
            self._resolved.pop(key, None)

    def _enforce(self) -> bool:
        before = {service.key: service for service in self.in_force.services}
        services = {key: service for key, service in before.items() if key in self._kept}
        for service in (self._believed or self._bootstrap).services:
            services[service.key] = self._with_last(service, before.get(service.key))
        for key, (instead, endpoints) in self._resolved.items():
            if key in services:
                told = () if instead else services[key].endpoints
                services[key] = replace(services[key], endpoints=_joined(told, endpoints), awaited=False)
        self.in_force = Snapshot(services=tuple(services[key] for key in sorted(services)))
        return list(before.values()) != list(self.in_force.services)

    def _with_last(self, service: Service, before: Service | None) -> Service:
        """Give a service without endpoints those that it had last, except for pods that end and those that are lost."""
        if service.endpoints or before is None:
            self._lost.pop(service.key, None)
            return service
        last = [replace(each, ready=False) for each in before.endpoints if not each.terminating]
        lost = self._lost.get(service.key, frozenset())
        kept = tuple(each for each in last if each not in lost)
        return replace(service, endpoints=kept, awaited=False) if kept else service


def _joined(told: tuple[Endpoint, ...], resolved: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    """Add the resolved endpoints whose hosts the operator did not list; return all, sorted by name."""
    hosts = {endpoint.host for endpoint in told}
    others = [endpoint for endpoint in resolved if endpoint.host not in hosts]
    return tuple(sorted((*told, *others), key=lambda endpoint: endpoint.name))


def endpoints_at(service: Service, hosts: Iterable[str], meshed: Collection[str], mesh_port: int) -> list[Endpoint]:
    """Return the endpoints at addresses that a name server told: known ones as they were, others by who answers there.

    `meshed` are the addresses where a sidecar answers at `mesh_port`; elsewhere the app is dialled, at the port where
    other apps of this service were, or the one that its manifest gives.
    """
    known = {endpoint.host: endpoint for endpoint in service.endpoints}
    ports = (each.app_port if each.mesh else each.port for each in service.endpoints)
    apps = (port for port in ports if port and port not in SIDECAR_PORTS)
    app_port = next(apps, None) or service.app_port or service.port
    found = []
    for host in hosts:
        if host in known and known[host].ready:
            found.append(known[host])
        else:
            app = Endpoint(host=host, port=app_port, name=f"{service.name}/{host}")
            found.append(replace(app, port=mesh_port, mesh=True, app_port=app_port) if host in meshed else app)
    return found
