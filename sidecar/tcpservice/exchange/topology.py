"""Taking a snapshot in: services and replicas that came, changed or went.

Used by the `exchange`. The new state is compared with what is there as a whole, never applied as a diff. New replicas
get messages at once; those that are gone get no more, and keep their connection until what is in flight has ended.
"""

from __future__ import annotations

from msgspec.structs import replace

from tcpservice.exchange.endings import retire
from tcpservice.exchange.records import Backend, Caller, Replica
from tcpservice.exchange.state import State
from tcpservice.snapshot import Endpoint, Retry, Service, Snapshot, Timeouts


def swap(state: State, snapshot: Snapshot) -> None:
    """Make the snapshot the one in force."""
    present = {service.key: service for service in snapshot.services}
    for key, backend in state.backends.items():
        if key not in present:
            _adopt(state, backend, replace(backend.service, endpoints=(), awaited=False))
    for key, service in present.items():
        _adopt(state, backend_for(state, service), service)
        app = state.apps.get(key)
        if app is not None:
            _adopt(state, app, as_app(service, app.service.endpoints))
    for caller in state.callers:
        _update_limit(caller)
    state.room = True


def backend_for(state: State, service: Service) -> Backend:
    """Find the backend of a service, or make it."""
    backend = state.backends.get(service.key)
    if backend is None:
        backend = state.backends[service.key] = Backend(service)
    return backend


def add_app(state: State, service: Service, endpoint: Endpoint) -> None:
    """Let callers on the mesh reach the pod's own app under the service's name."""
    app = state.apps[service.key] = Backend(as_app(service, ()))
    _adopt(state, app, as_app(service, (endpoint,)))


def as_app(service: Service, endpoints: tuple[Endpoint, ...]) -> Service:
    """Keep of a service what holds at the app's side of the mesh.

    Times and retries are the caller's sidecar's to keep; here a failure is told at once, so that it can choose another.
    Routes remain for their names.
    """
    once = Retry(attempts=0)
    return Service(
        namespace=service.namespace,
        name=service.name,
        port=service.port,
        protocol=service.protocol,
        limits=service.limits,
        tracing=service.tracing,
        retry=once,
        routes=tuple(replace(each, idempotent=False, timeouts=Timeouts(), retry=once) for each in service.routes),
        endpoints=endpoints,
    )


def _adopt(state: State, backend: Backend, service: Service) -> None:
    if backend.service != service:
        backend.adopt(service)
    wanted = {(e.host, e.port, e.mesh): e for e in service.endpoints}
    for key in [key for key in backend.replicas if key not in wanted]:
        _remove(state, backend.replicas.pop(key))
    for key, endpoint in wanted.items():
        replica = backend.replicas.get(key)
        if replica is None:
            backend.replicas[key] = Replica(backend, endpoint)
        else:
            replica.endpoint = endpoint
    backend.refresh()


def _remove(state: State, replica: Replica) -> None:
    replica.removed = True
    state.wheel.cancel(replica)
    if replica.link is not None:
        retire(state, replica.link)


def _update_limit(caller: Caller) -> None:
    if caller.backend is not None:
        caller.reader.limit = caller.backend.service.limits.max_frame_size
