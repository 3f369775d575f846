"""One sidecar of the simulated fleet: a real Exchange, and a stand-in for the shell around it.

This and `recount` are the only modules of the simulation that know the names of the Exchange's methods, commands and
private state, and of the discovery client. When the core changes its interface, they change, and nothing else does.

The stand-in does what `tcpservice_sidecar` does: it gives reads to the exchange as they come, and takes writes and
commands once a turn; it reports what a peer has not taken, at once and every half second; it ticks at `next_due`. It
tells `watching` what the exchange does, and recounts the exchange's counters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from simulation.network import Dial, End
from simulation.recount import Recount, Transition, transitions_taken
from simulation.watching import Watch
from simulation.world import World
from tcpservice.errors import Code
from tcpservice.exchange import Bounds, Close, Connect, Exchange, Pause, Resume
from tcpservice.following import Following, endpoints_at
from tcpservice.snapshot import MILLISECOND, SECOND, Drain, Endpoint, Service, Snapshot

_BACKLOG_CHECK: Final = SECOND // 2
_LOOK: Final = 100 * MILLISECOND
_GATE_LEAST: Final = 2 * SECOND
_GATE_NOTICE: Final = SECOND
_FLUSH: Final = SECOND // 2
_LINGER: Final = 2 * SECOND
_LAST_READ: Final = SECOND

_DISTURBING: Final = re.compile(rb"#(?:refused|lost|goaway|back)")
_MESH: Final = "mesh"
_FAILING_STATES: Final = ("ejected", "absent", "leaving")


class Sidecar:
    """One sidecar process, from its start to its end."""

    def __init__(
        self,
        world: World,
        name: str,
        *,
        bounds: Mapping[str, int],
        seed: int,
        tracing: bool,
        services: tuple[Service, ...],
    ) -> None:
        self._world = world
        self.name = name
        self.bounds = make_bounds(bounds)
        self.exchange: Any = Exchange(self.bounds, seed=seed, tracing=tracing)
        self.following = Following(Snapshot(services=services))
        self.alive = True
        self.leaving = False
        self._withdrawn = False
        self._addresses: list[str] = []
        self.watch = Watch(world, name)
        self._ends: dict[int, End] = {}
        self._downstream: dict[int, str] = {}
        self._greeted: dict[int, None] = {}
        self._dials: dict[int, tuple[Dial, str]] = {}
        self._unread: dict[int, End] = {}
        self._backlog_checked = False
        self._turn_set = False
        self._timer: int | None = None
        self._stopped: dict[str, None] = {}
        self.codes: Counter[str] = Counter()
        self._limited = {each.key for each in services if each.limits.max_requests_per_replica}
        self.exchange.swap(self.following.in_force, world.clock.now)

    # Its surroundings

    def listen(self, service: Service, address: str, *, front: bool = False) -> None:
        """Accept plain connections to a service."""
        self._addresses.append(address)
        self._world.network.listeners[address] = lambda end: self._accept(end, service, front=front)

    def listen_mesh(self, address: str) -> None:
        """Accept other sidecars."""
        self._addresses.append(address)
        self._world.network.listeners[address] = self._accept_mesh

    def add_app(self, service: Service, host: str, port: int) -> None:
        """Let other sidecars reach the pod's app."""
        self.watch.app = f"{host}:{port}"
        exchange, now = self.exchange, self._world.clock.now
        app = Endpoint(host=host, port=port, name=f"app at {host}:{port}")
        exchange.add_app(service, app, now)
        exchange.expect_apps(now)
        self._touch()

    def _accept(self, end: End, service: Service, *, front: bool) -> Sidecar | None:
        if service.key in self._stopped:
            return None
        return self._enter(end, self.exchange.accept(service, self._world.clock.now, inbound=front), service.key)

    def _accept_mesh(self, end: End) -> Sidecar | None:
        return self._enter(end, self.exchange.accept_mesh(self._world.clock.now), _MESH)

    def _enter(self, end: End, conn: int | None, service: str) -> Sidecar | None:
        self._touch()
        if conn is None:
            return None
        end.conn = conn
        self._ends[conn] = end
        self._downstream[conn] = service
        return self

    # Connections

    def data(self, end: End, data: bytes) -> None:
        """Take a read."""
        conn = end.conn
        if conn not in self._ends:
            return
        if conn not in self._downstream:
            self.watch.answered(end.remote)
            if b"!" in data and _DISTURBING.search(data):
                self.watch.disturb()
        self.exchange.receive(conn, data, self._world.clock.now)
        self._touch()

    def finished(self, end: End) -> None:
        """Take a FIN."""
        if end.conn not in self._ends:
            end.close()
            return
        self._note_disturbed(end)
        self.exchange.end_of_stream(end.conn, self._world.clock.now)
        self._touch()

    def lost(self, end: End, reason: str) -> None:
        """Take the loss of a connection."""
        if self._ends.pop(end.conn, None) is None:
            return
        self._note_disturbed(end)
        self._forget(end.conn)
        self.exchange.closed(end.conn, reason, self._world.clock.now)
        self._touch()

    def drained(self, end: End) -> None:
        """Report that a peer has taken all."""
        self._report(end)

    def _note_disturbed(self, end: End) -> None:
        if end.conn not in self._downstream:
            self.watch.disturb()

    def _forget(self, conn: int) -> None:
        self._downstream.pop(conn, None)
        self._greeted.pop(conn, None)
        self._unread.pop(conn, None)

    def _report(self, end: End) -> None:
        conn = end.conn
        if conn not in self._ends:
            return
        size = end.backlog
        if size:
            self._unread[conn] = end
            if not self._backlog_checked:
                self._backlog_checked = True
                self._world.clock.after(_BACKLOG_CHECK, self._check_backlogs)
        else:
            self._unread.pop(conn, None)
        self.exchange.backlog(conn, size, self._world.clock.now)
        self._touch()

    def _check_backlogs(self) -> None:
        self._backlog_checked = False
        if self.alive:
            for end in list(self._unread.values()):
                self._report(end)

    # Turns

    def _touch(self) -> None:
        if not self._turn_set:
            self._turn_set = True
            self._world.clock.soon(self._end_turn)

    def _end_turn(self) -> None:
        self._turn_set = False
        if not self.alive:
            return
        exchange, journal = self.exchange, self._world.journal
        writes, commands = exchange.writes(), exchange.commands()
        if any(isinstance(each, Close) and each.conn not in self._downstream for each in commands):
            self.watch.disturb()
        for conn, parts in writes.items():
            if (end := self._ends.get(conn)) is not None:
                self.write(end, parts[0] if len(parts) == 1 else b"".join(parts))
        for notice in exchange.notices():
            self.codes[f"notice {notice.key}"] += 1
            if journal is not None:
                journal.note(self.name, f"log: {notice.key} {notice[-1] or ''} {notice.text}")
        for command in commands:
            self._obey(command)
        for row in exchange.finished():
            self.codes[row.code] += 1
            if row.kind == "event" and row.code is Code.OVERLOADED and row.service in self._limited:
                self._world.ledger.expire(row.service)
        exchange.spans()
        self._set_timer()

    def say(self, word: bytes) -> None:
        """Say a word to all callers' sidecars, whether it is true or not."""
        if self.alive and not self.leaving and not self._withdrawn:
            for conn in self._greeted:
                self._ends[conn].write(word)

    def write(self, end: End, data: bytes) -> None:
        """Write what the exchange wants written on a connection in this turn."""
        upstream = end.conn not in self._downstream
        if self._downstream.get(end.conn) == _MESH:
            self._greeted[end.conn] = None  # what is written first is the preface
        if self._world.journal is not None:
            self._world.journal.sent(end.name if upstream else self.name, end.remote, data)
        if upstream:
            self.watch.written(end, data, self._is_only_endpoint)
        end.write(data)
        if end.backlogged:
            self._report(end)

    def _set_timer(self) -> None:
        due = self.exchange.next_due()
        if due is not None and (self._timer is None or due < self._timer):
            self._timer = due
            self._world.clock.at(due, self._tick, due)

    def _tick(self, due: int) -> None:
        if self.alive and self._timer == due:
            self._timer = None
            self.exchange.tick(self._world.clock.now)
            self._touch()

    # Commands

    def _obey(self, command: Any) -> None:
        if isinstance(command, Connect):
            self._dial(command.conn, command.endpoint)
        elif isinstance(command, Close):
            self._close(command.conn, abort=command.abort)
        elif isinstance(command, Pause):
            if (end := self._ends.get(command.conn)) is not None:
                end.pause()
        elif isinstance(command, Resume):
            if (end := self._ends.get(command.conn)) is not None:
                end.resume()
        elif type(command).__name__ == "StopListening":
            self._stopped[command.service] = None
        elif type(command).__name__ == "StartListening":
            self._stopped.pop(command.service, None)
        else:
            raise AssertionError(f"the simulation does not know the command {command}")

    def _dial(self, conn: int, endpoint: Endpoint) -> None:
        address = f"{endpoint.host}:{endpoint.port}"
        self._world.note(self.name, f"dials {address}")
        self.watch.dialled(address)
        dial = self._world.network.dial(
            address, self, self.name, ("upstream", self.name, address), self._connected, self._refused, conn
        )
        self._dials[conn] = dial, address

    def _connected(self, dial: Dial, end: End) -> None:
        self._dials.pop(dial.conn, None)
        if not self.alive:
            end.abort()
            return
        end.conn = dial.conn
        self._ends[dial.conn] = end
        if not self.exchange.connected(dial.conn, self._world.clock.now):
            del self._ends[dial.conn]
            end.abort()
        self._touch()

    def _refused(self, dial: Dial, reason: str) -> None:
        found = self._dials.pop(dial.conn, None)
        if found is None or not self.alive:
            return
        self._world.note(self.name, f"is refused by {found[1]}")
        self.watch.disturb()
        self.exchange.closed(dial.conn, f"{reason} {found[1]}", self._world.clock.now)
        self._touch()

    def _close(self, conn: int, *, abort: bool) -> None:
        found = self._dials.pop(conn, None)
        if found is not None:
            found[0].cancelled = True
            self.watch.disturb()
            return
        end = self._ends.pop(conn, None)
        if end is None:
            return
        self._world.note(self.name, f"{'aborts' if abort else 'closes'} its connection with {end.remote}")
        service = self._downstream.get(end.conn)
        if not (service is None or self.leaving or self._withdrawn or service in self._stopped):
            self.watch.closed(end, self.bounds.stall)
        self._note_disturbed(end)
        self._forget(conn)
        if abort:
            end.abort()
        else:
            end.close(linger=_LINGER if service is not None else 0)

    # What is checked now and then

    def audit(self) -> Iterator[tuple[str, str]]:
        """Recount what the exchange counts; yield the rules that are broken."""
        recounted = Recount(self.exchange)
        yield from (("counters equal a recount", f"{self.name}: {text}") for text in recounted.differences())
        yield from (("nothing grows without a bound", f"{self.name}: {text}") for text in recounted.excess(self.bounds))
        known = len(self._downstream) + sum(1 for _ in self._dials) + len(self._ends)
        if recounted.connections > known:
            yield (
                "nothing grows without a bound",
                f"{self.name}: the exchange knows {recounted.connections} connections, the shell {known}",
            )

    def _is_only_endpoint(self, address: str) -> bool:
        """Whether a service has had this endpoint, and no other, since the start."""
        return any(
            [f"{each.host}:{each.port}" for each in service.endpoints] == [address]
            and service.key in self._world.single_services
            for service in self.following.in_force.services
        )

    def transitions(self) -> set[Transition]:
        """Return the transitions that the exchange has taken."""
        return transitions_taken(self.exchange)

    def in_flight(self) -> int:
        """Count the messages that the exchange has on their way."""
        return int(self.exchange.in_flight())

    # Discovery

    def begin_stream(self) -> None:
        """Connect to an operator replica."""
        self.following.begin()

    def take_line(self, line: bytes) -> None:
        """Take a line of the operator's stream."""
        if self.alive and self.following.take(line, self._world.clock.now):
            self._swap()

    def unresolved(self, *, silent: bool) -> list[str]:
        """Return the services whose names are to be resolved, by the rule of the real discovery."""
        if silent:
            return [service.key for service in self.following.in_force.services]
        failing = {
            view.service
            for view in self.exchange.services()
            if view.endpoints and all(each.state in _FAILING_STATES for each in view.endpoints)
        }
        return sorted(failing | (self.following.to_ask_for() if self.following.heard else set()))

    def resolve(self, key: str, hosts: Iterable[str], meshed: Iterable[str], mesh_port: int, *, silent: bool) -> None:
        """Take what a name server says; `silent`: the operator says nothing."""
        found = next((each for each in self.following.in_force.services if each.key == key), None)
        if found is None:
            return
        endpoints = endpoints_at(found, list(hosts), list(meshed), mesh_port)
        if (endpoints or found.awaited) and self.following.resolve(key, endpoints, instead=silent):
            self._swap()

    def _swap(self) -> None:
        self.watch.disturb()
        if self._world.journal is not None:
            names = {s.key: [_written(e) for e in s.endpoints] for s in self.following.in_force.services}
            self._world.journal.note(self.name, f"takes the snapshot {names}")
        self.exchange.swap(self.following.in_force, self._world.clock.now)
        self._touch()

    def endpoints_in_force(self, key: str) -> tuple[Endpoint, ...]:
        """Return the endpoints of a service that are in force."""
        return next((each.endpoints for each in self.following.in_force.services if each.key == key), ())

    # Its end

    def crash(self) -> None:
        """End at once; the kernel resets the connections."""
        self._world.note(self.name, "crashes")
        self._close_listeners()
        self.alive = False
        for dial, _ in self._dials.values():
            dial.cancelled = True
        for end in list(self._ends.values()):
            end.abort()
        self._ends.clear()

    def withdraw(self) -> None:
        """Take the word that the pod ends."""
        self._withdrawn = True
        self._world.note(self.name, "is told that the pod ends")
        self.exchange.withdraw()
        self._touch()

    def hold_app(self, drain: Drain, then: Any, *, pod_ends: bool) -> None:
        """Hold an app that is to end at the gate, and call `then` when it may."""
        self._world.clock.after(0 if pod_ends else _GATE_NOTICE, self._begin_gate, drain, then, pod_ends)

    def _begin_gate(self, drain: Drain, then: Any, pod_ends: bool) -> None:
        if not self.alive:
            then()
            return
        begun = self._world.clock.now
        if not pod_ends:
            self._world.note(self.name, "is told that the app restarts")
            self.exchange.stop_apps(begun)
            self._touch()
        self._gate(begun, drain, then, pod_ends)

    def _gate(self, begun: int, drain: Drain, then: Any, pod_ends: bool) -> None:
        now, exchange = self._world.clock.now, self.exchange
        passed = now - begun
        heard_of = passed >= _GATE_LEAST
        quiet = exchange.quiet(begun, now) if pod_ends else not exchange.owes(begun + _GATE_LEAST)
        late = passed >= drain.stream_timeout or (passed >= drain.timeout and not exchange.streams())
        if (heard_of and quiet) or late or not self.alive:
            then()
        else:
            self._world.clock.after(_LOOK, self._gate, begun, drain, then, pod_ends)

    def leave(self, drain: Drain, then: Any) -> None:
        """Leave as on SIGTERM, and call `then` at the end."""
        self.leaving = True
        if not self.alive:
            then()
            return
        self._close_listeners()
        begun = self._world.clock.now
        self.exchange.drain(begun)
        self._touch()
        self._leave(begun, drain, then)

    def _leave(self, begun: int, drain: Drain, then: Any) -> None:
        now = self._world.clock.now
        if not self.alive:
            then()
            return
        passed = now - begun
        if passed >= drain.timeout - _LAST_READ:
            self.exchange.stop_reading(now)
            self._touch()
        if passed >= drain.timeout:
            self.exchange.end(now, streams=passed >= drain.stream_timeout)
            self._touch()
        if self.exchange.drained(now) or passed >= drain.stream_timeout:
            self.exchange.shut(now)
            self._touch()
            self._world.clock.after(_FLUSH, self._finish, then)
        else:
            self._world.clock.after(_LOOK, self._leave, begun, drain, then)

    def _finish(self, then: Any) -> None:
        if self.alive:
            self.crash()
        then()

    def _close_listeners(self) -> None:
        for address in self._addresses:
            self._world.network.listeners.pop(address, None)
        self._addresses.clear()


def make_bounds(values: Mapping[str, int]) -> Bounds:
    """Make the core's Bounds from values by field name; 0 keeps the default."""
    return Bounds(**{name: value for name, value in values.items() if value})


def _written(endpoint: Endpoint) -> str:
    flags = [name for name in ("mesh", "terminating") if getattr(endpoint, name)]
    flags += [f"not {name}" for name in ("ready", "serving") if not getattr(endpoint, name)]
    return f"{endpoint.host}:{endpoint.port}{' ' if flags else ''}{', '.join(flags)}"
