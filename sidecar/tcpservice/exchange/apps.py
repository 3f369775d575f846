"""The pod's own app, towards which the mesh leads: whether it takes messages, so that nobody is sent to a closed door.

Used by the `exchange`, and by `losses`. A pod may be ready before its app listens, and an app may be made anew while
its pod stays. Other sidecars are told of both, and choose other pods meanwhile; a message that comes all the same is
tried. Whether an app of a protocol of its own takes connections, is left to whoever connects.
"""

from __future__ import annotations

from tcpservice.exchange.links import open_link
from tcpservice.exchange.records import Backend, Replica
from tcpservice.exchange.state import State
from tcpservice.snapshot import Protocol
from tcpservice.wire.mesh import BACK, GOAWAY, encode_control


def expect(state: State, app: Backend, now: int) -> None:
    """Take the app for absent until a connection to it stands; the first is tried at once."""
    for replica in _replicas(app):
        replica.down = True
        _connect(state, replica, now)
    app.refresh()
    announce(state, app)


def stop(state: State, app: Backend, now: int) -> None:
    """Take the app for absent until it has stopped and come back, which a connection shows that stands until then."""
    for replica in _replicas(app):
        app.stopping = True
        _connect(state, replica, now)
        state.wheel.set(replica, now + state.bounds.app_stop)
    announce(state, app)


def went_on(state: State, app: Backend) -> None:
    """Note that the app did not stop after all: it was another one of the pod's."""
    app.stopping = False
    announce(state, app)


def announce(state: State, backend: Backend) -> None:
    """Tell other sidecars where the pod's own app has gone, or is back; nothing for other backends."""
    if state.apps.get(backend.service.key) is not backend:
        return
    away = backend.stopping or all(replica.down for replica in backend.replicas.values())
    if away is backend.away:
        return
    backend.away = away
    if state.leaves:
        return
    for caller in state.callers:
        if caller.mesh and caller.backend is backend:
            state.write(caller.conn, encode_control(GOAWAY if away else BACK))


def _connect(state: State, replica: Replica, now: int) -> None:
    if replica.link is None:
        open_link(state, replica, now)


def _replicas(app: Backend) -> list[Replica]:
    return [] if app.service.protocol is Protocol.OPAQUE else list(app.replicas.values())
