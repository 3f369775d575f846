"""A new snapshot takes effect: services and endpoints that were added, changed or removed.

Used by the `exchange`. The new state is compared with the present one as a whole, never applied as a difference. New
endpoints get messages at once. Removed ones get no more, and keep their connections until what they were sent has
ended.
"""

from __future__ import annotations

from msgspec.structs import replace

from tcpservice.exchange.attempts import Outcome, drain_connection, end
from tcpservice.exchange.endings import close_upstream
from tcpservice.exchange.endpoint_health import became_ready, changed
from tcpservice.exchange.records import DownstreamConnection, Origin, Upstream, UpstreamEndpoint
from tcpservice.exchange.state import State
from tcpservice.exchange.transitions import ConnectionState, EndpointEvent
from tcpservice.snapshot import Endpoint, Retry, Service, Snapshot, Timeouts


def swap(state: State, snapshot: Snapshot, now: int) -> None:
    """Make the snapshot the one in force."""
    present = {service.key: service for service in snapshot.services}
    for key, upstream in state.upstreams.items():
        upstream.is_listed = key in present
        if not upstream.is_listed:
            _adopt(state, upstream, replace(upstream.service, endpoints=(), awaited=False), now)
    for key, service in present.items():
        _adopt(state, upstream_for(state, service), service, now)
        app = state.apps.get(key)
        if app is not None:
            _adopt(state, app, as_app(service, app.service.endpoints), now)
    for downstream in state.downstreams:
        if downstream.upstream is not None:
            if downstream.origin is Origin.INBOUND:
                _redirect(state, downstream)
            downstream.reader.limit = downstream.upstream.service.limits.max_frame_size
    state.freed = True


def upstream_for(state: State, service: Service) -> Upstream:
    """Return the upstream of a service; make it where there is none."""
    upstream = state.upstreams.get(service.key)
    if upstream is None:
        upstream = state.upstreams[service.key] = Upstream(service)
    return upstream


def inbound_upstream(state: State, service: Service) -> Upstream:
    """Return where messages of callers without a sidecar go: to all endpoints, or only to the pod's own app."""
    upstream, app = upstream_for(state, service), state.apps.get(service.key)
    return app if app is not None and upstream.service.inbound_to_app else upstream


def _redirect(state: State, downstream: DownstreamConnection) -> None:
    """Let the next messages of a caller without a sidecar go where they should; earlier ones end where they are."""
    before = downstream.upstream
    assert before is not None
    after = inbound_upstream(state, state.upstreams[before.key].service)
    if after is not before:
        before.callers -= 1
        after.callers += 1
        downstream.upstream = after


def add_app(state: State, service: Service, endpoint: Endpoint, now: int) -> None:
    """Let mesh connections reach the pod's own app under the service's name."""
    app = state.apps[service.key] = Upstream(as_app(service, ()), is_app=True)
    _adopt(state, app, as_app(service, (endpoint,)), now)


def as_app(service: Service, endpoints: tuple[Endpoint, ...]) -> Service:
    """Return what holds of a service at the app's side of the mesh.

    Timeouts and retries are up to the caller's sidecar; here a failure is reported at once, so that it can pick another
    endpoint. Routes remain for their names.
    """
    once = Retry(attempts=0)
    return Service(
        namespace=service.namespace,
        name=service.name,
        port=service.port,
        protocol=service.protocol,
        limits=service.limits,
        pool_size=service.pool_size,
        tracing=service.tracing,
        retry=once,
        routes=tuple(replace(each, idempotent=False, timeouts=Timeouts(), retry=once) for each in service.routes),
        endpoints=endpoints,
    )


def _adopt(state: State, upstream: Upstream, service: Service, now: int) -> None:
    if upstream.service != service:
        upstream.adopt(service)
    wanted = {address.key: address for address in service.endpoints}
    _keep_fallbacks(upstream, wanted)
    unwanted = [key for key in upstream.endpoints if key not in wanted]
    for key, address in wanted.items():
        endpoint = upstream.endpoints.get(key)
        if endpoint is None:
            upstream.endpoints[key] = UpstreamEndpoint(upstream, address)
        else:
            if address.ready and not endpoint.address.ready:
                became_ready(state, endpoint, now)
            endpoint.address, endpoint.name = address, address.name
    for key in unwanted:
        remove(state, upstream.endpoints.pop(key), now)
    for endpoint in upstream.endpoints.values():
        for connection in endpoint.connections():
            connection.reader.limit = service.limits.max_frame_size
    changed(state, upstream, now)


def _keep_fallbacks(upstream: Upstream, wanted: dict[tuple[str, int, bool], Endpoint]) -> None:
    """Keep a fallback as long as its sidecar is wanted. One that the snapshot lists itself is none any more."""
    for endpoint in upstream.endpoints.values():
        if endpoint.sidecar is None:
            continue
        if endpoint.address.key in wanted:
            endpoint.sidecar = None
            continue
        sidecar = wanted.get(endpoint.sidecar.address.key)
        app = sidecar.at_app() if sidecar is not None else None
        if app is not None and app.key == endpoint.address.key:
            wanted[app.key] = app


def remove(state: State, endpoint: UpstreamEndpoint, now: int) -> None:
    """Send an endpoint no more messages. Queued messages move to other endpoints; those in flight may still finish."""
    state.move(endpoint, EndpointEvent.REMOVE)
    state.timers.cancel_all(endpoint)
    endpoint.upstream.refresh()
    for connection in endpoint.connections():
        if connection.state is ConnectionState.READY:
            drain_connection(state, connection, now)
            continue
        queue = list(connection.queue)
        close_upstream(state, connection, abort=True)
        # The next attempt of an earlier message may end a later one as abandoned.
        for attempt in (each for each in queue if each.connection is connection):
            end(state, attempt, Outcome.NOT_SENT, now, reason="the endpoint was removed")
