"""The pod's own app, to which the mesh leads: whether it accepts messages.

Used by the `exchange`. A pod may be ready before its app listens, and an app may be restarted while its pod stays.
Other sidecars learn of both (`endpoint_health.announce`) and pick other pods meanwhile. Whether an app with a protocol
of its own accepts connections is not watched: each of its connections finds out.
"""

from __future__ import annotations

from tcpservice.exchange.endpoint_health import announce, changed
from tcpservice.exchange.pool import open_connection
from tcpservice.exchange.records import Reason, Upstream, UpstreamEndpoint
from tcpservice.exchange.state import State
from tcpservice.exchange.transitions import EndpointEvent, EndpointState
from tcpservice.snapshot import Protocol


def expect(state: State, app: Upstream, now: int) -> None:
    """Take the app for absent until it accepts a connection; the first is tried at once."""
    for endpoint in _endpoints(app):
        if endpoint.state is EndpointState.HEALTHY:
            state.move(endpoint, EndpointEvent.FAILURE)
        _connect(state, endpoint, now)
    changed(state, app, now)


def stop(state: State, app: Upstream, now: int) -> None:
    """Take the app for absent until it has stopped and is back.

    A connection that is established shows when it stops: it is lost then.
    """
    for endpoint in _endpoints(app):
        app.stopping = True
        _connect(state, endpoint, now)
        state.timers.set(app, Reason.APP_STOP, now + state.bounds.app_stop)
    announce(state, app)


def went_on(state: State, app: Upstream) -> None:
    """Note that the app did not stop: another container of the pod did."""
    app.stopping = False
    announce(state, app)


def _connect(state: State, endpoint: UpstreamEndpoint, now: int) -> None:
    if not endpoint.connections():
        open_connection(state, endpoint, 0, now)


def _endpoints(app: Upstream) -> list[UpstreamEndpoint]:
    return [] if app.service.protocol is Protocol.OPAQUE else list(app.endpoints.values())
