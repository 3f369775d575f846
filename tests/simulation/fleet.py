"""A whole fleet in one process: callers' pods, replicas' pods, the operator, the network, and two phases of a run.

Used by the command and the tests. In the *safety phase* traffic and faults run as the scenario says; the ledger and the
sidecars check what must always hold. Then the faults stop. In the *liveness phase* light traffic goes on for 30
simulated seconds, within which everything must become healthy again; then each client proves it, and everybody leaves.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random
from traceback import format_exception
from typing import Final

from simulation import faults, liveness
from simulation.clock import START, Clock
from simulation.journal import Journal
from simulation.ledger import Ledger, Violation
from simulation.nest_client import Client
from simulation.network import Network
from simulation.operator_model import Operator
from simulation.pods import FRONT_PORT, Pod
from simulation.recount import Transition
from simulation.scenario import IDEMPOTENT, Burst, Scenario, ServiceShape
from simulation.sidecar_model import Sidecar
from simulation.watchdog import limited
from simulation.world import World
from tcpservice.snapshot import (
    SECOND,
    Algorithm,
    Drain,
    Endpoint,
    Limits,
    MatchType,
    Route,
    Service,
    Timeouts,
)

_ALGORITHMS: Final = tuple(Algorithm)
_AUDIT: Final = 2 * SECOND

MESSAGE_BYTES: Final = 1024
"""What the core counts for the records of a message; half of the memory for messages is for those that wait."""


@dataclass(frozen=True)
class Outcome:
    """What a run has to tell."""

    violations: tuple[Violation, ...]
    messages: int
    steps: int
    outcomes: Counter[str]
    codes: Counter[str]
    transitions: frozenset[Transition]
    lines: tuple[str, ...]


class Caller:
    """A caller's pod: a sidecar and the app's clients behind it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sidecar: Sidecar
        self.clients: list[Client] = []


class Fleet:
    """Everything that exists in one run."""

    def __init__(self, scenario: Scenario, *, journal: bool) -> None:
        self.scenario = scenario
        clock, random = Clock(), Random(scenario.seed)
        network = Network(
            clock,
            Random(random.randrange(1 << 30)),
            latency=scenario.latency,
            jitter=scenario.jitter,
            splits=scenario.splits,
            capacity=scenario.capacity,
        )
        self.world = World(clock, network, Ledger(clock), random, Journal(clock) if journal else None)
        self.services = tuple(_service(number, shape) for number, shape in enumerate(scenario.services))
        self.operator = Operator(self.world, self.services)
        self.pods: dict[str, list[Pod]] = {service.key: [] for service in self.services}
        self.codes: Counter[str] = Counter()
        self.transitions: set[Transition] = set()
        self._replicas = 0
        for number, (service, shape) in enumerate(zip(self.services, scenario.services, strict=True)):
            for meshed in shape.meshed:
                self.add_pod(number, meshed=meshed).start(at_once=True)
            if shape.replicas == 1:
                self.world.single_services[service.key] = None
        self.callers = [Caller(f"caller-{number}") for number in range(scenario.pods)]
        for caller in self.callers:
            self.start_caller(caller)
        self.clients = [self._make_client(number) for number in range(len(scenario.clients))]
        self.publish()
        self.healed: int | None = None
        if scenario.times.queue_timeout:  # events that wait longer for a place are lost
            self.world.ledger.taint("*", scenario.length)

    # What exists

    def add_pod(self, service: int, *, meshed: bool) -> Pod:
        """Make a pod of a service; it is not started."""
        found, shape = self.services[service], self.scenario.services[service]
        pods = self.pods[found.key]
        self._replicas += 1
        pod = Pod(
            self.world,
            found,
            self._replicas,
            host=f"10.0.{service}.{self._replicas}",
            version=shape.version,
            make=self._make_sidecar if meshed else None,
            changed=self.publish,
            sidecar_gone=self._forget_sidecar,
        )
        if len(pods) == 1:
            self.world.single_services.pop(found.key, None)
        pods.append(pod)
        return pod

    def _make_sidecar(self, name: str) -> Sidecar:
        times = self.scenario.times
        sidecar = Sidecar(
            self.world,
            name,
            bounds={
                "stall": times.stall,
                "connection_idle": times.link_idle,
                "probe_after": times.probe_after,
                "probe_timeout": times.probe_timeout,
                "request_bytes": times.total_bytes,
                "queue_timeout": times.queue_timeout,
                "large": times.large,
                "pending": times.total_bytes // (2 * MESSAGE_BYTES),
                "app_stop": 15 * SECOND,
                "place_expiry": 10 * SECOND,
            },
            seed=self.world.random.randrange(1, 1 << 30),
            tracing=self.scenario.tracing,
            services=self.services,
        )
        self.operator.connect(sidecar, self.world.random.randrange(2))
        return sidecar

    def _forget_sidecar(self, sidecar: Sidecar) -> None:
        self.operator.forget(sidecar)
        self._add_coverage(sidecar)

    def _add_coverage(self, sidecar: Sidecar) -> None:
        self.codes.update(sidecar.codes)
        self.transitions |= sidecar.transitions()

    def start_caller(self, caller: Caller) -> None:
        """Start the sidecar of a caller's pod."""
        caller.sidecar = self._make_sidecar(caller.name)
        for service in self.services:
            caller.sidecar.listen(service, f"{caller.name}:{service.name}")

    def crash_caller(self, caller: Caller, lasts: int) -> None:
        """Kill the sidecar of a caller's pod; it is started again."""
        if caller.sidecar.alive:
            caller.sidecar.crash()
            self._forget_sidecar(caller.sidecar)
            self.world.clock.after(lasts, self.start_caller, caller)

    def _make_client(self, number: int) -> Client:
        shape = self.scenario.clients[number]
        service = self.services[shape.service]
        caller = self.callers[shape.pod]
        front = shape.front and all(self.scenario.services[shape.service].meshed)

        def find() -> str:
            pods = [pod for pod in self.pods[service.key] if pod.ready and not pod.terminating]
            if not front or not pods:
                return f"{caller.name}:{service.name}" if not front else "nowhere"
            return f"{pods[self.world.random.randrange(len(pods))].host}:{FRONT_PORT}"

        scopes = (service.key, f"inbound {service.key}") if front else (caller.name, service.key)
        client = Client(
            self.world,
            f"client-{number}",
            find=find,
            refused=lambda name, dialled: liveness.check_refusal(self, name, service.key, dialled),
            version=shape.version,
            ids=shape.ids,
            large=self.scenario.times.large,
            scopes=scopes,
        )
        caller.clients.append(client)
        return client

    def sidecars(self) -> list[Sidecar]:
        """Return the sidecars that live."""
        pods = [pod.sidecar for pods in self.pods.values() for pod in pods if pod.sidecar is not None and not pod.gone]
        return [each for each in (*(caller.sidecar for caller in self.callers), *pods) if each.alive]

    def live_pods(self, key: str | None = None) -> list[Pod]:
        """Return the pods of a service, or of all, that are there to stay."""
        return [
            pod
            for service, pods in self.pods.items()
            if key in (None, service)
            for pod in pods
            if not (pod.gone or pod.terminating)
        ]

    def endpoints(self, key: str) -> tuple[Endpoint, ...]:
        """Return what the EndpointSlices say of a service."""
        found = [pod.endpoint for pod in self.pods[key] if not pod.gone]
        return tuple(sorted(found, key=lambda endpoint: endpoint.name))

    def publish(self) -> None:
        """Tell the operator what the EndpointSlices say."""
        self.operator.publish({service.key: self.endpoints(service.key) for service in self.services})

    # The run

    def run(self) -> Outcome:
        """Run both phases."""
        clock = self.world.clock
        for burst in self.scenario.bursts:
            clock.at(START + burst.at, self._send, burst, burst.count)
        for fault in self.scenario.faults:
            clock.at(START + fault.at, faults.apply, self, fault)
        clock.after(_AUDIT, self._audit)
        try:
            clock.run(START + self.scenario.length)
            faults.heal(self)
            liveness.prove(self)
        except Exception as error:  # whatever it is, it is what the run has to tell
            self.world.note("EXCEPTION", "".join(format_exception(error)[-3:]))
            self.world.ledger.violate("no exception", f"{type(error).__name__}: {error}")
        for sidecar in self.sidecars():
            self._add_coverage(sidecar)
        ledger, journal = self.world.ledger, self.world.journal
        return Outcome(
            violations=tuple(ledger.violations),
            messages=len(ledger.messages),
            steps=clock.steps,
            outcomes=ledger.outcomes,
            codes=self.codes,
            transitions=frozenset(self.transitions),
            lines=tuple(journal.lines) if journal is not None else (),
        )

    def _send(self, burst: Burst, left: int) -> None:
        client = self.clients[burst.client]
        now_sent = left if not burst.gap else 1
        for _ in range(now_sent):
            client.call(burst.pattern, burst.patience)
        if left > now_sent:
            self.world.clock.after(burst.gap, self._send, burst, left - now_sent)

    def _audit(self) -> None:
        self.audit()
        self.world.clock.after(_AUDIT, self._audit)

    def audit(self) -> None:
        """Recount the counters of all sidecars."""
        for sidecar in self.sidecars():
            for invariant, text in sidecar.audit():
                self.world.ledger.violate(invariant, text)


def _service(number: int, shape: ServiceShape) -> Service:
    timeouts = Timeouts(
        request=shape.request_timeout,
        backend_request=shape.attempt_timeout,
        stream_idle=shape.stream_idle,
        connect=SECOND,
    )
    limits = Limits(max_requests_per_replica=shape.limit) if shape.limit else Limits()
    route = Route(name="read", match=MatchType.EXACT, pattern=IDEMPOTENT, idempotent=True, timeouts=timeouts)
    return Service(
        namespace="shop",
        name=f"service-{number}",
        port=4000 + number,
        app_port=3000,
        algorithm=_ALGORITHMS[shape.algorithm],
        timeouts=timeouts,
        limits=limits,
        drain=Drain(timeout=4 * SECOND, stream_timeout=6 * SECOND),
        routes=(route,),
    )


def run(scenario: Scenario, *, journal: bool = False) -> Outcome:
    """Run a scenario from its beginning to its end."""
    with limited():
        return Fleet(scenario, journal=journal).run()
