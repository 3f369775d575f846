"""The port of a replica's own app, as the fallback for its sidecar.

Used by `upstream` and the `exchange`, as connections to sidecars fail and succeed. Callers may reach the app's port but
not the sidecar's: an egress policy names the app's port alone, or the sidecar has crashed. A sidecar to which no
connection can be made gets a second endpoint, at the app's port, with a circuit breaker of its own. That endpoint is
picked only while no sidecar of the service can be (`Upstream.refresh`). The sidecar is dialled on, as after any
failure. Once a connection to it is established, the fallback is removed, so that the way back costs no message.
"""

from __future__ import annotations

from tcpservice.exchange.records import UpstreamEndpoint
from tcpservice.exchange.state import State
from tcpservice.exchange.topology import remove


def begin(sidecar: UpstreamEndpoint) -> None:
    """Let messages go to the app behind a sidecar to which no connection can be made, where that is allowed.

    Endpoint health hears of the failure next, and finds the candidates anew.
    """
    app, endpoints = sidecar.address.at_app(), sidecar.upstream.endpoints
    if app is not None and app.key not in endpoints:
        endpoints[app.key] = UpstreamEndpoint(sidecar.upstream, app, sidecar)


def end(state: State, sidecar: UpstreamEndpoint, now: int) -> None:
    """Let messages go to a sidecar again, as a connection to it is established."""
    app, endpoints = sidecar.address.at_app(), sidecar.upstream.endpoints
    if app is not None and app.key in endpoints and endpoints[app.key].sidecar is sidecar:
        remove(state, endpoints.pop(app.key), now)
