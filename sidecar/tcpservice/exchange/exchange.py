"""The interface of the exchange: what a shell calls.

Every method takes the time in integer nanoseconds of a monotonic clock where it needs one. After any call the shell
takes the outputs, once a turn of its event loop.
"""

from __future__ import annotations

from typing import Final

from tcpservice.exchange import (
    admission,
    attempts,
    downstream,
    draining,
    endpoint_health,
    fallback,
    local_app,
    opaque,
    topology,
    upstream,
)
from tcpservice.exchange.admission import partials_exceed
from tcpservice.exchange.attempts import pump as pump_waiting
from tcpservice.exchange.bounds import Bounds
from tcpservice.exchange.downstream import receive as receive_downstream
from tcpservice.exchange.endings import close_upstream
from tcpservice.exchange.outputs import Command, Finished, Notice, Span
from tcpservice.exchange.records import (
    DownstreamConnection,
    Failure,
    Message,
    OpaqueConnection,
    Origin,
    Reason,
    Upstream,
    UpstreamConnection,
    UpstreamEndpoint,
)
from tcpservice.exchange.state import State
from tcpservice.exchange.transitions import ConnectionState, DownstreamState
from tcpservice.exchange.upstream import receive as receive_upstream
from tcpservice.exchange.views import ServiceView, view
from tcpservice.snapshot import Endpoint, Service, Snapshot
from tcpservice.timers import TimerOwner

# CPython 3.11 looks up a member of an enum slowly; this name is as quick as any (docs/decisions.md).
_PAUSED: Final = DownstreamState.PAUSED

PREFACE_LIMIT = 1 << 20


class Exchange:
    """All connections, endpoints and messages of one sidecar.

    `seed` is the seed of all random choices. `strict` raises on errors of the sidecar's own, as tests want it; else
    they are counted, logged once, and cost at most the connection on which they occur.
    """

    def __init__(
        self, bounds: Bounds | None = None, *, seed: int = 1, tracing: bool = False, strict: bool = True
    ) -> None:
        self._state = State(bounds or Bounds(), seed, tracing=tracing, strict=strict)
        self._drain_since: int | None = None

    # Services and endpoints

    def swap(self, snapshot: Snapshot, now: int) -> None:
        """Make a snapshot the one in force; messages in flight are not disturbed."""
        topology.swap(self._state, snapshot, now)
        self._settle(now)

    def add_app(self, service: Service, endpoint: Endpoint, now: int) -> None:
        """Let mesh connections reach the pod's own app as this service."""
        topology.add_app(self._state, service, endpoint, now)

    # Callers

    def accept(self, service: Service, now: int, *, inbound: bool = False) -> int | None:
        """Take a plain connection to a service; return its number, None to refuse it. `inbound`: from another pod."""
        find = topology.inbound_upstream if inbound else topology.upstream_for
        target = find(self._state, service)
        limit = target.service.limits.max_frame_size
        origin = Origin.INBOUND if inbound else Origin.LOCAL
        accepted = downstream.accept(self._state, target, origin, limit, now)
        return accepted.conn if accepted else None

    def accept_mesh(self, now: int) -> int | None:
        """Take another sidecar's connection, which will name its service; return its number, None to refuse it."""
        accepted = downstream.accept(self._state, None, Origin.MESH, PREFACE_LIMIT, now)
        return accepted.conn if accepted else None

    # Events of connections

    def receive(self, conn: int, data: bytes, now: int) -> bool:
        """Handle what one read returned; return whether the connection may be read again before the commands are taken.

        An event loop may read one connection many times in a turn, megabytes in all.
        """
        connection = self._state.connections.get(conn)
        if type(connection) is UpstreamConnection:
            self._read_upstream(connection, data, now)
        elif type(connection) is DownstreamConnection:
            receive_downstream(self._state, connection, data, now)
            if partials_exceed(self._state):
                self._close_largest(now)
        self._settle(now)
        if type(connection) is UpstreamConnection:
            return connection not in self._state.unparsed and not connection.throttling
        return type(connection) is not DownstreamConnection or connection.state is not _PAUSED

    def _close_largest(self, now: int) -> None:
        """Close connections that hold the most of too many unfinished frames, as pausing was not enough."""
        while (largest := admission.largest_partial(self._state)) is not None:
            self._state.report("memory_short", "closed: it held the most of too many unfinished frames", largest)
            downstream.close(self._state, largest, now)

    def _read_upstream(self, connection: UpstreamConnection, data: bytes | None, now: int) -> None:
        """Read from an endpoint; without data, go on with frames that were left for this turn.

        An error of the sidecar's own costs this connection, and no other.
        """
        try:
            if data is None:
                upstream.continue_reading(self._state, connection, now)
            else:
                receive_upstream(self._state, connection, data, now)
        except Exception as error:
            if self._state.strict:
                raise
            self._state.counts["internal_errors"] += 1
            text = f"internal error: {type(error).__name__}: {error}; please report this"
            if connection.state is not ConnectionState.CLOSED:
                upstream.lost(self._state, connection, Failure.PROTOCOL, text, now)

    def end_of_stream(self, conn: int, now: int) -> None:
        """Handle that the peer has sent its last byte, but may still read."""
        connection = self._state.connections.get(conn)
        if type(connection) is DownstreamConnection:
            downstream.end_of_stream(self._state, connection, now)
        else:
            self.closed(conn, "closed the connection", now)

    def closed(self, conn: int, reason: str, now: int) -> None:
        """Handle that a connection was closed, or could not be made."""
        connection = self._state.connections.get(conn)
        if type(connection) is DownstreamConnection:
            downstream.close(self._state, connection, now)
        elif type(connection) is UpstreamConnection:
            upstream.lost(self._state, connection, Failure.CONNECTION, reason, now)
        elif type(connection) is OpaqueConnection:
            opaque.ended(self._state, connection)
        else:
            self._state.opaque.discard(conn)
        self._settle(now)

    def connected(self, conn: int, now: int) -> bool:
        """Handle that a commanded connection is established; False when it is not wanted any more."""
        connection = self._state.connections.get(conn)
        if type(connection) is not UpstreamConnection:
            return False
        upstream.connection_made(self._state, connection, now)
        self._settle(now)
        return True

    def backlog(self, conn: int, size: int, now: int) -> None:
        """Note how many bytes the shell holds that the peer has not taken yet."""
        connection = self._state.connections.get(conn)
        if type(connection) is DownstreamConnection:
            downstream.unsent(self._state, connection, size, now)
        elif type(connection) is UpstreamConnection:
            target = connection.endpoint.upstream
            if target.waiting.count and size != connection.backlog:
                self._state.pump[target] = None  # a longer one, too: small messages then take another connection
            connection.backlog = size
        self._settle(now)

    # Opaque services

    def accept_opaque(self) -> int | None:
        """Take a connection to an Opaque service; return its number, None to refuse it. `closed` ends it.

        A connection of another sidecar that was handed over keeps the number of its `HandOver`.
        """
        return opaque.accept(self._state)

    def relay(self, service: Service, tried: frozenset[Endpoint]) -> tuple[int, Endpoint] | None:
        """Pick an endpoint for one whole connection; return the connection's number and where to dial.

        `tried` are the endpoints that just refused. None where there is no other endpoint.
        """
        return opaque.pick(self._state, topology.upstream_for(self._state, service), tried)

    def awaits(self, key: str) -> bool:
        """Whether the endpoints of a service are not known yet."""
        target = self._state.upstreams.get(key)
        return target is not None and target.service.awaited

    def relay_app(self, key: str) -> tuple[int, Endpoint] | None:
        """Do the same towards the pod's own app, for another sidecar's connection."""
        app = self._state.apps.get(key)
        return opaque.pick(self._state, app, frozenset()) if app else None

    def relay_refused(self, conn: int, reason: str, now: int) -> None:
        """Handle that the picked endpoint could not be reached."""
        connection = self._state.connections.get(conn)
        if type(connection) is OpaqueConnection:
            opaque.ended(self._state, connection)
            fallback.begin(connection.endpoint)
            endpoint_health.failed(self._state, connection.endpoint, Failure.CONNECTION, reason, now)

    # Time

    def next_due(self) -> int | None:
        """Return when `tick` should be called (ns): 0 for the next turn, None without anything to wait for."""
        return 0 if self._state.unparsed else self._state.timers.next_due()

    def tick(self, now: int) -> None:
        """Do what is due: frames that were left for this turn, then timers."""
        for connection in list(self._state.unparsed):
            if isinstance(connection, DownstreamConnection):
                del self._state.unparsed[connection]
                downstream.continue_reading(self._state, connection, now)
            else:
                self._read_upstream(connection, None, now)
        while (fired := self._state.timers.pop(now)) is not None:
            self._fire(*fired, now)
        self._settle(now)

    def _fire(self, owner: TimerOwner, reason: int, now: int) -> None:
        state = self._state
        if isinstance(owner, Message):
            attempts.on_timer(state, owner, reason, now)
        elif isinstance(owner, UpstreamConnection):
            upstream.on_timer(state, owner, reason, now)
        elif isinstance(owner, DownstreamConnection):
            downstream.on_timer(state, owner, reason, now)
        elif isinstance(owner, UpstreamEndpoint):
            self._fire_endpoint(owner, reason, now)
        elif isinstance(owner, Upstream):
            self._fire_upstream(owner, reason, now)
        elif state.paused or any(each.waiting.count for each in state.upstreams.values()):
            admission.expire_places(state, now)

    def _fire_endpoint(self, endpoint: UpstreamEndpoint, reason: int, now: int) -> None:
        if reason == Reason.POOL:
            self._state.pump[endpoint.upstream] = None
            return
        if reason == Reason.RECONNECT:
            silent = endpoint_health.reconnect(self._state, endpoint, now)
        else:
            silent = endpoint_health.probe_unanswered(self._state, endpoint, now)
        if silent is not None:
            upstream.lost(self._state, silent, Failure.SILENCE, "did not answer a probe", now)

    def _fire_upstream(self, target: Upstream, reason: int, now: int) -> None:
        if reason == Reason.PRECONNECT:
            endpoint_health.preconnect(self._state, target, now)
        elif reason == Reason.PUMP:
            attempts.pump_on(self._state, target, now)
        elif reason == Reason.APP_STOP:
            local_app.went_on(self._state, target)
        else:
            for connection in endpoint_health.close_port(self._state, target, now):
                downstream.unreachable(self._state, connection, now)

    def _settle(self, now: int) -> None:
        """Let those go on that waited for what has become free."""
        state = self._state
        while state.pump or state.freed:
            pump, state.pump = state.pump, {}
            for target in pump:
                pump_waiting(state, target, now)
            if state.freed:
                state.freed = False
                self._resume(now)

    def _resume(self, now: int) -> None:
        state = self._state
        for connection in list(state.paused):
            if connection in state.paused and admission.may_read(state, connection):
                del state.paused[connection]
                downstream.continue_reading(state, connection, now)
        for connection in list(state.large):
            if (
                connection.state is DownstreamState.PAUSED
                and connection not in state.paused
                and connection not in state.unparsed
                and admission.may_continue_frame(state, connection)
            ):
                downstream.continue_reading(state, connection, now)

    # The own app

    def expect_apps(self, now: int) -> None:
        """Find out whether the pod's own apps accept messages; until they do, other sidecars pick other pods."""
        for app in self._state.apps.values():
            local_app.expect(self._state, app, now)

    def stop_apps(self, now: int) -> None:
        """Note that the pod's own apps are about to restart; until they are back, other sidecars pick other pods."""
        for app in self._state.apps.values():
            local_app.stop(self._state, app, now)

    # Draining

    def withdraw(self) -> None:
        """Ask other sidecars to pick other pods. What arrives is still served, and the own app may still send."""
        if not self._state.withdrawn:
            self._state.withdrawn = True
            draining.announce(self._state)

    def owes(self, before: int) -> bool:
        """Whether other callers wait here for the end of what arrived before a time."""
        return any(each.arrived < before for other in draining.others(self._state) for each in other.messages)

    def streams(self) -> bool:
        """Whether other callers have had a response and wait for more."""
        return any(each.responses for other in draining.others(self._state) for each in other.messages)

    def quiet(self, since: int, now: int) -> bool:
        """Whether other callers wait for nothing here, and nothing came or went for a while after `since`."""
        return draining.is_quiet(self._state, since, now)

    def has_own_callers(self) -> bool:
        """Whether the pod's own app is connected, and so still running."""
        return any(each.origin is Origin.LOCAL for each in self._state.downstreams)

    def drain(self, now: int) -> None:
        """Begin to stop: other sidecars are asked to pick other pods, idle plain connections are closed."""
        if self._drain_since is None:
            self._drain_since = now
            self._state.draining = True
            draining.announce(self._state)

    def stop_reading(self, now: int) -> None:
        """Read no more messages: connections close once they have the replies they are owed."""
        draining.stop_reading(self._state, now)
        self._settle(now)

    def drained(self, now: int) -> bool:
        """Whether every message has ended, callers have taken their replies, and have been silent for a while."""
        if self._drain_since is None or not draining.holds_nothing(self._state):
            return False
        if not self._state.downstreams:
            return True
        return now - max(self._drain_since, self._state.heard) >= self._state.bounds.drain_quiet

    def end(self, now: int, *, streams: bool) -> None:
        """End messages with the code `draining`; `streams` false spares requests that have had a response."""
        draining.end_messages(self._state, now, streams=streams)
        self._settle(now)

    def shut(self, now: int) -> None:
        """Close every connection; what is still in flight is cancelled."""
        for connection in list(self._state.downstreams):
            downstream.close(self._state, connection, now, abort=False)
        for each in list(self._state.connections.values()):
            if isinstance(each, UpstreamConnection):
                close_upstream(self._state, each, abort=False)

    # Outputs, taken once a turn

    def writes(self) -> dict[int, list[bytes]]:
        """Take the bytes to be written, by connection."""
        return self._state.take_writes()

    def commands(self) -> list[Command]:
        """Take the commands, to be carried out in order after the writes."""
        taken, self._state.commands = self._state.commands, []
        return taken

    def notices(self) -> list[Notice]:
        """Take what should be logged."""
        taken, self._state.notices = self._state.notices, []
        return taken

    def finished(self) -> list[Finished]:
        """Take the rows of the messages that have ended."""
        taken, self._state.rows = self._state.rows, []
        return taken

    def spans(self) -> list[Span]:
        """Take the spans that are to be exported."""
        taken, self._state.spans = self._state.spans, []
        return taken

    # Views

    def in_flight(self) -> int:
        """Count the messages that have not ended."""
        return sum(len(connection.messages) for connection in self._state.downstreams)

    def connections(self) -> int:
        """Count the connections of callers."""
        return len(self._state.downstreams) + len(self._state.opaque)

    def counts(self) -> dict[str, int]:
        """Count what was dropped or went wrong, by reason."""
        return dict(self._state.counts)

    def services(self) -> list[ServiceView]:
        """Describe the services and the state of their endpoints."""
        return [view(each) for each in self._state.upstreams.values()]

    def apps(self) -> list[ServiceView]:
        """Describe the pod's own apps, to which the mesh leads, and the services that they serve."""
        return [view(each) for each in self._state.apps.values()]
