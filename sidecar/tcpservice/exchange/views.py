"""What people may see of the exchange: each service with its endpoints, as plain data.

Made on demand for `/snapshot` and the metrics; nothing on the path of a message.
"""

from __future__ import annotations

from msgspec import Struct

from tcpservice.exchange.records import Upstream, UpstreamEndpoint
from tcpservice.exchange.transitions import ConnectionState, EndpointState

REMOVED = "removed"
_SHOWN = {
    EndpointState.LEAVING: "leaving",
    EndpointState.ABSENT: "absent",
    EndpointState.EJECTED: "ejected",
    EndpointState.PROBING: "probing",
    EndpointState.PROBATION: "probation",
    EndpointState.REMOVED: REMOVED,
}


class EndpointView(Struct, frozen=True, kw_only=True, rename="camel"):
    """One endpoint.

    `state` is idle, connecting or healthy while it may be picked; else leaving, absent, ejected, probing or probation.
    A replica whose sidecar is out is there twice while messages go to its app instead, which is then in state fallback.
    `connected` says whether a connection to it is established, `failures` counts its failures in a row.
    """

    name: str
    address: str
    mesh: bool
    state: str
    connected: bool
    failures: int
    in_flight: int


class ServiceView(Struct, frozen=True, kw_only=True, rename="camel"):
    """One service; `waiting` counts the messages that wait for an endpoint, `state` says whether one can be reached.

    A service that the snapshot does not list any more is removed; callers may still be connected.
    """

    service: str
    algorithm: str
    state: str
    waiting: int
    endpoints: tuple[EndpointView, ...]


def view(upstream: Upstream) -> ServiceView:
    """Describe one service."""
    return ServiceView(
        service=upstream.key,
        algorithm=upstream.service.algorithm.value,
        state=upstream.state.name.lower() if upstream.is_listed else REMOVED,
        waiting=upstream.waiting.count,
        endpoints=tuple(_view_endpoint(endpoint) for endpoint in upstream.endpoints.values() if _is_seen(endpoint)),
    )


def _is_seen(endpoint: UpstreamEndpoint) -> bool:
    return endpoint.sidecar is None or endpoint.in_flight > 0 or endpoint in endpoint.upstream.candidates


def _view_endpoint(endpoint: UpstreamEndpoint) -> EndpointView:
    address = endpoint.address
    return EndpointView(
        name=address.name,
        address=f"{address.host}:{address.port}",
        mesh=address.mesh,
        state=_state(endpoint),
        connected=any(each.state is ConnectionState.READY for each in endpoint.connections()),
        failures=endpoint.failures,
        in_flight=endpoint.in_flight,
    )


def _state(endpoint: UpstreamEndpoint) -> str:
    if endpoint.state is not EndpointState.HEALTHY:
        return _SHOWN[endpoint.state]
    if endpoint.sidecar is not None:
        return "fallback"
    if endpoint.address.terminating:
        return "leaving"
    connections = endpoint.connections()
    if not connections:
        return "idle"
    return "healthy" if any(each.state is ConnectionState.READY for each in connections) else "connecting"
