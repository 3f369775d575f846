"""The face of the exchange: what a shell calls."""

from __future__ import annotations

from tcpservice.deadlines import Waiting
from tcpservice.errors import Code
from tcpservice.exchange import answers, apps, callers, intake, losses, relays, retries, topology
from tcpservice.exchange.bounds import Bounds
from tcpservice.exchange.endings import close_link, fail
from tcpservice.exchange.outputs import Command, Finished, Notice, Span
from tcpservice.exchange.records import Call, Caller, Link, Relay, Replica
from tcpservice.exchange.state import State
from tcpservice.exchange.views import ServiceView, view
from tcpservice.snapshot import Endpoint, Service, Snapshot

PREFACE_LIMIT = 1 << 20


class Exchange:
    """All connections, replicas and messages of one sidecar."""

    def __init__(self, bounds: Bounds | None = None, *, seed: int = 1, tracing: bool = False) -> None:
        self._state = State(bounds or Bounds(), seed, tracing=tracing)
        self._drain_since: int | None = None

    # What is there

    def swap(self, snapshot: Snapshot, now: int) -> None:
        """Make a snapshot the one in force; messages in flight keep their place."""
        topology.swap(self._state, snapshot)
        self._settle(now)

    def add_app(self, service: Service, endpoint: Endpoint) -> None:
        """Let callers on the mesh reach the pod's own app as this service."""
        topology.add_app(self._state, service, endpoint)

    # Callers

    def accept(self, service: Service, now: int, *, front: bool = False) -> int:
        """Take in a plain connection to a service; return its number. `front`: the caller has no sidecar."""
        backend = topology.backend_for(self._state, service)
        limit = backend.service.limits.max_frame_size
        caller = callers.accept(self._state, backend, mesh=False, limit=limit, now=now)
        caller.front = front
        callers.watch(self._state, caller)
        return caller.conn

    def accept_mesh(self, now: int) -> int:
        """Take in another sidecar's connection, which will name its service; return its number."""
        caller = callers.accept(self._state, None, mesh=True, limit=PREFACE_LIMIT, now=now)
        callers.watch(self._state, caller)
        return caller.conn

    # Events of connections

    def receive(self, conn: int, data: bytes, now: int) -> None:
        """Take what one read returned."""
        peer = self._state.peers.get(conn)
        if type(peer) is Caller:
            intake.receive(self._state, peer, data, now)
        elif type(peer) is Link:
            answers.receive(self._state, peer, data, now)
        self._settle(now)

    def end_of_stream(self, conn: int, now: int) -> None:
        """Note that the peer has sent its last byte, but may still read."""
        peer = self._state.peers.get(conn)
        if type(peer) is Caller:
            intake.end_of_stream(self._state, peer, now)
        else:
            self.closed(conn, "closed the connection", now)

    def closed(self, conn: int, reason: str, now: int) -> None:
        """Note that a connection is no more, or could not be made."""
        peer = self._state.peers.get(conn)
        if type(peer) is Caller:
            callers.gone(self._state, peer, now)
        elif type(peer) is Link:
            losses.lose(self._state, peer, reason, now)
        elif type(peer) is Relay:
            relays.ended(self._state, peer)
        self._settle(now)

    def connected(self, conn: int, now: int) -> bool:
        """Note that a commanded connection stands; False when nobody wants it any more."""
        peer = self._state.peers.get(conn)
        if type(peer) is not Link:
            return False
        losses.connected(self._state, peer, now)
        self._settle(now)
        return True

    def backlog(self, conn: int, size: int, now: int) -> None:
        """Note how many bytes the shell holds that the peer has not taken yet."""
        peer = self._state.peers.get(conn)
        if type(peer) is Caller:
            callers.backlog(self._state, peer, size, now)
        elif type(peer) is Link:
            self._state.room = self._state.room or size < peer.backlog
            peer.backlog = size
        self._settle(now)

    # Opaque services

    def relay(self, service: Service, tried: frozenset[Endpoint]) -> tuple[int, Endpoint] | None:
        """Choose a replica for one whole connection; return the connection's number and where to dial.

        `tried` are the endpoints that just refused. None where there is no replica.
        """
        backend = topology.backend_for(self._state, service)
        return relays.choose(self._state, backend, tried)

    def awaits(self, key: str) -> bool:
        """Whether nobody has told yet which replicas a service has."""
        backend = self._state.backends.get(key)
        return backend is not None and backend.service.awaited

    def relay_app(self, key: str) -> tuple[int, Endpoint] | None:
        """Do the same towards the pod's own app, for another sidecar's connection."""
        backend = self._state.apps.get(key)
        return relays.choose(self._state, backend, frozenset()) if backend else None

    def relay_refused(self, conn: int, reason: str, now: int) -> None:
        """Note that the chosen replica could not be reached."""
        peer = self._state.peers.get(conn)
        if type(peer) is Relay:
            relays.ended(self._state, peer)
            losses.mark(self._state, peer.replica, reason, now)

    # Time

    def next_due(self) -> int | None:
        """Return when `tick` should be called (ns); None while nothing waits."""
        return self._state.wheel.next_due()

    def tick(self, now: int) -> None:
        """Do what has become due."""
        while (waiting := self._state.wheel.pop(now)) is not None:
            self._due(waiting, now)
        self._settle(now)

    def _due(self, waiting: Waiting, now: int) -> None:
        state = self._state
        if isinstance(waiting, Call):
            retries.call_due(state, waiting, now)
        elif isinstance(waiting, Link):
            losses.link_due(state, waiting, now)
        elif isinstance(waiting, Replica):
            losses.replica_due(state, waiting, now)
        else:
            assert isinstance(waiting, Caller)
            if waiting.held:
                intake.held_due(state, waiting, now)
            else:
                callers.caller_due(state, waiting, now)

    def _settle(self, now: int) -> None:
        if self._state.crowded and self._state.room:
            intake.admit_waiting(self._state, now)

    # The own app

    def expect_apps(self, now: int) -> None:
        """Find out whether the pod's own apps take messages; until they do, other sidecars choose other pods."""
        for app in self._state.apps.values():
            apps.expect(self._state, app, now)

    def stop_apps(self, now: int) -> None:
        """Note that the pod's own apps will stop, and be made anew: until then, other sidecars choose other pods."""
        for app in self._state.apps.values():
            apps.stop(self._state, app, now)

    # Leaving

    def withdraw(self) -> None:
        """Let nobody choose this pod any more; what comes all the same is served, and the own app may go on calling."""
        if not self._state.withdrawn:
            self._state.withdrawn = True
            callers.say_goodbye(self._state)

    def owes(self, before: int) -> bool:
        """Whether others wait here for the end of what they sent before a time."""
        return any(call.started < before for caller in self._others() for call in caller.calls)

    def streams(self) -> bool:
        """Whether others have been answered in part, and wait for the rest."""
        return any(call.responses for caller in self._others() for call in caller.calls)

    def quiet(self, since: int, now: int) -> bool:
        """Whether others have nothing in flight here, and nothing came or went for a while, at least since a time."""
        others = self._others()
        if any(caller.calls for caller in others):
            return False
        heard = max((caller.heard for caller in others), default=since)
        return not others or now - max(since, heard) >= self._state.bounds.drain_quiet

    def _others(self) -> list[Caller]:
        return [caller for caller in self._state.callers if caller.mesh or caller.front]

    def has_own_callers(self) -> bool:
        """Whether the pod's own app is connected, and so still there."""
        return any(not (caller.mesh or caller.front) for caller in self._state.callers)

    def drain(self, now: int) -> None:
        """Begin to leave: other sidecars are told, plain callers are let go when idle; what comes is still served."""
        if self._drain_since is None:
            self._drain_since = now
            self._state.draining = True
            callers.say_goodbye(self._state)

    def drained(self, now: int) -> bool:
        """Whether nothing is in flight, and nobody who could still send has been heard for a while."""
        if self._drain_since is None or self.in_flight():
            return False
        if not self._state.callers:
            return True
        return now - max(self._drain_since, self._state.heard) >= self._state.bounds.drain_quiet

    def end(self, now: int, *, streams: bool) -> None:
        """End what is still in flight; `streams` false spares requests that have been answered in part."""
        for caller in list(self._state.callers):
            for call in list(caller.calls):
                if streams or not call.responses:
                    fail(self._state, call, Code.DRAINING, "the sidecar is leaving", now)

    def shut(self, now: int) -> None:
        """Close every connection; what is still in flight is for nobody."""
        for caller in list(self._state.callers):
            callers.gone(self._state, caller, now, abort=False)
        for peer in list(self._state.peers.values()):
            if isinstance(peer, Link):
                close_link(self._state, peer)

    # Outputs, taken once a turn

    def writes(self) -> dict[int, list[bytes]]:
        """Take the bytes to be written, by connection."""
        taken, self._state.writes = self._state.writes, {}
        return taken

    def commands(self) -> list[Command]:
        """Take the commands, to be obeyed in order after the writes."""
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
        """Count the messages on their way."""
        return sum(len(caller.calls) for caller in self._state.callers)

    def connections(self) -> int:
        """Count the callers."""
        return len(self._state.callers)

    def counts(self) -> dict[str, int]:
        """Count what was dropped, by reason."""
        return dict(self._state.counts)

    def services(self) -> list[ServiceView]:
        """Describe the services and how their replicas fare."""
        return [view(backend) for backend in self._state.backends.values()]

    def apps(self) -> list[ServiceView]:
        """Describe the pod's own apps, to which other sidecars' messages go, and the services that they serve."""
        return [view(backend) for backend in self._state.apps.values()]
