"""Endpoint health: a circuit breaker for each endpoint, and whether a service can be reached at all.

Used by `attempts` and `upstream`, which report what happened, by `topology` and `local_app`, which change what is
known, and by the `exchange` for timers. An endpoint that refuses, breaks the protocol, falls
silent or loses its connection is ejected: it is not picked, and after a backoff that doubles with each failure in a row
it is dialled again. Once connected it is probed, and picked again when it answers. So the way back risks no message of
a caller. An endpoint that accepts connections but answers no probe gets one request, whose outcome decides. Only an
answer resets the backoff. While a service has no endpoint that can be reached, its endpoints are dialled at least
twice a second, and after a grace its listeners refuse connections, as a closed port does.
"""

from __future__ import annotations

from typing import Final

from tcpservice.backoff import FIRST_BACKOFF, LONGEST_BACKOFF, backoff
from tcpservice.exchange.outputs import StartListening, StopListening
from tcpservice.exchange.pool import open_connection, probe
from tcpservice.exchange.records import (
    DownstreamConnection,
    Failure,
    Origin,
    Reason,
    Upstream,
    UpstreamConnection,
    UpstreamEndpoint,
)
from tcpservice.exchange.state import State
from tcpservice.exchange.transitions import (
    ConnectionState,
    DownstreamState,
    EndpointEvent,
    EndpointState,
    UpstreamEvent,
    UpstreamState,
)
from tcpservice.snapshot import MILLISECOND, SECOND, Protocol
from tcpservice.wire.mesh import BACK, encode_control

UNREACHABLE_BACKOFF: Final = 500 * MILLISECOND
"""The longest backoff while no endpoint of a service can be reached."""

_UNREACHABLE: Final = "no endpoint can be reached, so callers are refused, as by a closed port"
_BYPASSED: Final = (
    "no connection to the sidecar of any replica; messages go to the apps' own ports "
    "(callers must be able to connect to the sidecars' port, too: look at egress policies)"
)

POOL_PAUSE: Final = SECOND
"""How long a pool does not grow after a further connection could not be made."""

ASKED_AGAIN: Final = 5 * SECOND
"""How often a sidecar that asked to be left out is asked for a sign of life."""


# What is learned about an endpoint


def failed(state: State, endpoint: UpstreamEndpoint, failure: Failure, reason: str, now: int) -> None:
    """Eject an endpoint. One that was removed is of no more interest."""
    if endpoint.state is EndpointState.REMOVED:
        return
    if endpoint.failures == 0 and endpoint.state is not EndpointState.EJECTED:
        state.report("endpoint_ejected", reason, endpoint)
    endpoint.failures += 1
    endpoint.last_failure = failure
    state.timers.cancel(endpoint, Reason.PROBE_ANSWER)
    state.move(endpoint, EndpointEvent.FAILURE)
    endpoint.upstream.stopping = False
    changed(state, endpoint.upstream, now)
    expect_connection(state, endpoint.upstream, now)
    longest = LONGEST_BACKOFF if endpoint.upstream.candidates else UNREACHABLE_BACKOFF
    state.timers.set(endpoint, Reason.RECONNECT, now + backoff(endpoint.failures, state.rng, longest))


def keep_in_touch(state: State, endpoint: UpstreamEndpoint, now: int) -> None:
    """Connect again to an endpoint whose last connection was closed in good order, if it is watched for a change.

    A sidecar that asked to be left out says on its connection when it is back; the own app's connection shows when the
    app stops. An endpoint that was being probed on the connection is probed anew.
    """
    if endpoint.state is EndpointState.PROBING and not any(each.probed for each in endpoint.connections()):
        failed(state, endpoint, Failure.SILENCE, "its connection was replaced before it answered a probe", now)
        return
    watched = endpoint.state in (EndpointState.LEAVING, EndpointState.ABSENT) or endpoint.upstream.stopping
    if watched and not endpoint.connections():
        state.timers.set(endpoint, Reason.RECONNECT, now + FIRST_BACKOFF)


def connected(state: State, connection: UpstreamConnection, now: int) -> None:
    """Note that a connection is ready. An ejected endpoint is probed; for a sidecar its preface was the answer."""
    endpoint = connection.endpoint
    if endpoint.state in (EndpointState.LEAVING, EndpointState.ABSENT) and other_ready(connection) is None:
        asked_to_return(state, endpoint, now)  # its sidecar asks again right after its preface if it still has to
    if endpoint.state is not EndpointState.EJECTED:
        return
    state.timers.cancel(endpoint, Reason.RECONNECT)
    state.move(endpoint, EndpointEvent.CONNECTED)
    if endpoint.address.mesh or endpoint.last_failure is Failure.NONE:
        succeeded(state, endpoint, now)
        return
    probe(state, connection, now)
    state.timers.set(endpoint, Reason.PROBE_ANSWER, now + state.bounds.probe_answer)
    changed(state, endpoint.upstream, now)


def other_ready(connection: UpstreamConnection) -> UpstreamConnection | None:
    """Return another connection of the same endpoint that is ready."""
    others = [each for each in connection.endpoint.connections() if each is not connection]
    return next((each for each in others if each.state is ConnectionState.READY), None)


def pool_not_grown(state: State, connection: UpstreamConnection, now: int) -> None:
    """Handle that no further connection to an endpoint could be made, although this one is ready.

    The endpoint may be busy, or accept no more connections. It is probed, and its pool does not grow for a while:
    messages take the connections that are ready.
    """
    endpoint = connection.endpoint
    state.timers.set(endpoint, Reason.POOL, now + POOL_PAUSE)
    state.counts["failed_pool_connections"] += 1
    suspected(state, connection, now)


def suspected(state: State, connection: UpstreamConnection, now: int) -> None:
    """Probe an endpoint that let a request time out and has been silent since it was written.

    While other endpoints are there, it gets no message until it answers. A connection that is being replaced says
    nothing: what is silent there may answer on the next one.
    """
    endpoint = connection.endpoint
    if connection.state is not ConnectionState.READY:
        return
    if endpoint.state is EndpointState.HEALTHY:
        state.move(endpoint, EndpointEvent.SUSPECT)
        changed(state, endpoint.upstream, now)
    if not connection.probed:
        probe(state, connection, now)
        state.timers.set(connection, Reason.PROBE, now + state.bounds.probe_timeout)


def succeeded(state: State, endpoint: UpstreamEndpoint, now: int) -> None:
    """Note an answer of an endpoint."""
    if endpoint.state in (EndpointState.PROBING, EndpointState.PROBATION):
        state.timers.cancel(endpoint, Reason.PROBE_ANSWER)
        state.move(endpoint, EndpointEvent.SUCCESS)
        if endpoint.failures or endpoint.upstream.is_app:
            state.report("endpoint_recovered", "accepts messages again", endpoint)
        changed(state, endpoint.upstream, now)
    if endpoint.state is EndpointState.HEALTHY:
        endpoint.failures = 0
        endpoint.last_failure = Failure.NONE


def asked_to_leave(state: State, endpoint: UpstreamEndpoint, now: int, *, app_absent: bool) -> None:
    """Follow a sidecar that asks to be left out. Asking twice changes nothing."""
    goal = EndpointState.ABSENT if app_absent else EndpointState.LEAVING
    if endpoint.state is goal or endpoint.state is EndpointState.REMOVED:
        return
    state.timers.cancel(endpoint, Reason.PROBE_ANSWER)
    state.move(endpoint, EndpointEvent.APP_ABSENT if app_absent else EndpointEvent.GOAWAY)
    state.timers.set(endpoint, Reason.RECONNECT, now + ASKED_AGAIN)
    state.report("endpoint_leaving", "its app is absent" if app_absent else "asked to be left out", endpoint)
    changed(state, endpoint.upstream, now)


def asked_to_return(state: State, endpoint: UpstreamEndpoint, now: int) -> None:
    """Follow a sidecar whose app accepts messages again."""
    if endpoint.state not in (EndpointState.LEAVING, EndpointState.ABSENT, EndpointState.EJECTED):
        return
    state.timers.cancel(endpoint, Reason.RECONNECT)
    state.move(endpoint, EndpointEvent.BACK)
    endpoint.failures = 0
    state.report("endpoint_recovered", "asked to be picked again", endpoint)
    changed(state, endpoint.upstream, now)


def became_ready(state: State, endpoint: UpstreamEndpoint, now: int) -> None:
    """Dial an ejected endpoint at once: its pod is ready again, so that the rest of the backoff would be lost time."""
    if endpoint.state is EndpointState.EJECTED and not endpoint.connections():
        state.timers.set(endpoint, Reason.RECONNECT, now)


def probe_unanswered(state: State, endpoint: UpstreamEndpoint, now: int) -> UpstreamConnection | None:
    """Handle that an endpoint did not answer the probe in time; return the connection to give up, if any."""
    if endpoint.last_failure is Failure.SILENCE:
        return next(iter(endpoint.connections()), None)
    for connection in endpoint.connections():
        connection.probed = 0
    state.move(endpoint, EndpointEvent.NO_ANSWER)
    changed(state, endpoint.upstream, now)
    return None


def reconnect(state: State, endpoint: UpstreamEndpoint, now: int) -> UpstreamConnection | None:
    """Handle that the backoff is over: dial again, or trust a connection that is established.

    Return a connection to give up, since the sidecar that is to say on it when it is back does not answer.
    """
    connections = endpoint.connections()
    if not connections:
        open_connection(state, endpoint, 0, now)
        return None
    ready = next((each for each in connections if each.state is ConnectionState.READY), None)
    if ready is None:
        return None
    if endpoint.state in (EndpointState.LEAVING, EndpointState.ABSENT):
        return _ask_again(state, endpoint, ready, now)
    if endpoint.last_failure is Failure.REFUSAL:
        state.move(endpoint, EndpointEvent.CONNECTED)
        state.move(endpoint, EndpointEvent.NO_ANSWER)
        changed(state, endpoint.upstream, now)
    else:
        connected(state, ready, now)
    return None


def _ask_again(
    state: State, endpoint: UpstreamEndpoint, connection: UpstreamConnection, now: int
) -> UpstreamConnection | None:
    """Ping a sidecar that sent goaway: on a dead connection its announcement that it is back would be missed.

    A connection with requests in flight is watched like any other.
    """
    if connection.probed and not connection.live and not connection.throttling:
        return connection
    if not connection.probed:
        probe(state, connection, now)
    state.timers.set(endpoint, Reason.RECONNECT, now + ASKED_AGAIN)
    return None


# Whether the service can be reached


def changed(state: State, upstream: Upstream, now: int) -> None:
    """Follow a change of an endpoint's state: who may be picked, who waits, and whether the service can be reached."""
    bypassed = upstream.bypasses_sidecars()
    upstream.refresh()
    if not bypassed and upstream.bypasses_sidecars():
        state.report_rarely("sidecars_bypassed", _BYPASSED, upstream, now)
    if upstream.waiting.count:
        state.pump[upstream] = None
    if state.paused:
        state.freed = True
    if upstream.is_app:
        announce(state, upstream)
    elif upstream.candidates or upstream.service.awaited:
        _found(state, upstream, now)
    elif upstream.state is UpstreamState.REACHABLE:
        state.move(upstream, UpstreamEvent.LOST)
        state.timers.set(upstream, Reason.UNREACHABLE, now + state.bounds.unreachable_grace)
    if not upstream.candidates:
        _hurry(state, upstream, now)


def _found(state: State, upstream: Upstream, now: int) -> None:
    if upstream.state is UpstreamState.REACHABLE:
        return
    if upstream.state is UpstreamState.CLOSED:
        state.commands.append(StartListening(upstream.key))
        state.report_rarely("service_reachable", "an endpoint can be reached again", upstream, now)
    state.timers.cancel(upstream, Reason.UNREACHABLE)
    state.move(upstream, UpstreamEvent.FOUND)


def _hurry(state: State, upstream: Upstream, now: int) -> None:
    """Dial ejected endpoints soon: all are out, so that a long backoff would only prolong the outage."""
    soon = now + UNREACHABLE_BACKOFF
    for endpoint in upstream.endpoints.values():
        if endpoint.state is EndpointState.EJECTED and not endpoint.connections():
            timers = endpoint.timers
            if timers and Reason.RECONNECT in timers and state.timers.due(endpoint, Reason.RECONNECT) > soon:
                state.timers.set(endpoint, Reason.RECONNECT, soon)


def close_port(state: State, upstream: Upstream, now: int) -> list[DownstreamConnection]:
    """Refuse connections to a service that cannot be reached; return the callers' connections to close now.

    Those that still wait for replies stay until the next look, a second later.
    """
    if upstream.state is UpstreamState.UNREACHABLE:
        state.move(upstream, UpstreamEvent.GRACE_OVER)
        state.commands.append(StopListening(upstream.key))
        if upstream.is_listed:
            state.report_rarely("service_unreachable", _UNREACHABLE, upstream, now)
    connections = [
        each for each in state.downstreams if each.upstream is upstream and each.state is not DownstreamState.CLOSING
    ]
    if connections:
        state.timers.set(upstream, Reason.UNREACHABLE, now + UNREACHABLE_BACKOFF)
    return connections


def expect_connection(state: State, upstream: Upstream, now: int) -> None:
    """See to it that a service with callers has a connection soon, so that they learn whether it can be reached."""
    if upstream.callers and (not upstream.timers or Reason.PRECONNECT not in upstream.timers):
        state.timers.set(upstream, Reason.PRECONNECT, now + state.bounds.preconnect)


def preconnect(state: State, upstream: Upstream, now: int) -> None:
    """Find out whether a service can be reached that has a caller but no connection yet."""
    if upstream.service.protocol is Protocol.OPAQUE or not upstream.candidates:
        return
    if any(endpoint.connections() for endpoint in upstream.candidates):
        return
    open_connection(state, upstream.balancer.choose(upstream.candidates, state.rng), 0, now)


# The pod's own app


def announce(state: State, app: Upstream) -> None:
    """Tell other sidecars when the pod's own app becomes absent, and when it is back.

    An app that accepts connections may not answer: a process that was stopped. It is back once it has answered a probe,
    or is on probation.
    """
    absent = app.stopping or all(each.state is EndpointState.PROBING for each in app.candidates)
    if absent is app.announced:
        return
    app.announced = absent
    if state.leaves:
        return
    for downstream in state.downstreams:
        hop = downstream.hop
        if downstream.origin is Origin.MESH and downstream.upstream is app and hop is not None:
            state.write(downstream, hop.goaway(app_absent=True) if absent else encode_control(BACK))
