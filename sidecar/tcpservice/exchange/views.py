"""What people may see of the exchange: each service with its replicas, as plain data.

Made on demand for `/snapshot` and the metrics; nothing on the path of a message.
"""

from __future__ import annotations

from msgspec import Struct

from tcpservice.exchange.records import Backend, Replica


class ReplicaView(Struct, frozen=True, kw_only=True, rename="camel"):
    """One replica; `state` is idle, connecting, up, down or leaving, `connected` whether a connection stands."""

    name: str
    address: str
    mesh: bool
    state: str
    connected: bool
    failures: int
    in_flight: int


class ServiceView(Struct, frozen=True, kw_only=True, rename="camel"):
    """One service; `waiting` callers have messages for which no replica has room."""

    service: str
    algorithm: str
    waiting: int
    replicas: tuple[ReplicaView, ...]


def view(backend: Backend) -> ServiceView:
    """Describe one service."""
    return ServiceView(
        service=backend.service.key,
        algorithm=backend.service.algorithm.value,
        waiting=len(backend.waiting),
        replicas=tuple(_view_replica(replica) for replica in backend.replicas.values()),
    )


def _view_replica(replica: Replica) -> ReplicaView:
    endpoint = replica.endpoint
    return ReplicaView(
        name=endpoint.name,
        address=f"{endpoint.host}:{endpoint.port}",
        mesh=endpoint.mesh,
        state=_state(replica),
        connected=replica.link is not None and replica.link.up,
        failures=replica.failures,
        in_flight=replica.in_flight,
    )


def _state(replica: Replica) -> str:
    if replica.leaving or replica.endpoint.terminating:
        return "leaving"
    if replica.down:
        return "down"
    if replica.link is None:
        return "idle"
    return "up" if replica.link.up else "connecting"
