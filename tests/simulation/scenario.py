"""One scenario as plain data: the fleet, its settings, its traffic and its faults, all drawn from one source of chance.

Used by `fleet`, which runs it, by `shrinking`, which makes it smaller, and by the tests. `draw_scenario` takes any
`random.Random`: the command seeds one with a number, and Hypothesis gives one of its own, so it can shrink what it
drew. Which kinds of faults occur in a run, and how often, is drawn first (swarm testing): a run with few kinds finds
what a run with all kinds hides.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

from tcpservice.snapshot import MILLISECOND, SECOND


class Pattern(StrEnum):
    """The handlers that each simulated app has."""

    ECHO = "echo"
    READ = "read"
    SLOW = "slow"
    STREAM = "stream"
    SUBJECT = "subject"
    INTERVAL = "interval"
    NEVER = "never"
    ERROR = "error"
    MISSING = "missing"
    EVENT = "created"


IDEMPOTENT: Final = Pattern.READ
ENDLESS: Final = frozenset({Pattern.SUBJECT, Pattern.INTERVAL, Pattern.NEVER})


class Patience(StrEnum):
    """When a client unsubscribes: NestJS tells nobody."""

    ENDLESS = "waits"
    FIRST = "take(1)"
    SHORT = "timeout(300)"


class Kind(StrEnum):
    """What can go wrong, or change."""

    RESET = "reset a connection"
    CLOG = "clog a connection"
    SEVER = "sever a connection"
    ROLL = "roll a pod"
    KILL = "kill a pod's containers"
    LOSE_NODE = "lose a pod's node"
    RESTART_APP = "restart an app, announced"
    CRASH_APP = "crash an app"
    SLAM_APP = "an app accepts and closes"
    REFUSE_APP = "an app refuses"
    FREEZE_APP = "freeze an app"
    SLOW_START = "an app restarts, and is frozen as soon as it listens"
    EVICT = "a pod is deleted while its app is down"
    CRASH_SIDECAR = "crash a sidecar"
    FLAP = "a sidecar says goaway and back, again and again"
    STRANGER = "a stranger connects to a sidecar's mesh port"
    BLOCK_SIDECARS = "a network policy blocks the sidecars' port of a service"
    DISCONNECT = "a client disconnects"
    HALF_CLOSE = "a client half-closes"
    UNFINISHED = "a client stops inside a frame"
    STOP_READING = "a client stops reading"
    GLUT = "a client sends much and leaves"
    REPEAT = "the operator repeats itself"
    RECONNECT = "a sidecar connects to another operator replica"
    LAG = "an operator replica is behind"
    OUTAGE = "the operator is gone"


GENTLE: Final = (
    Kind.ROLL, Kind.RESTART_APP, Kind.REPEAT, Kind.RECONNECT, Kind.DISCONNECT, Kind.HALF_CLOSE, Kind.UNFINISHED,
    Kind.STOP_READING,
)  # fmt: skip
"""Kinds after which no event may be lost that another client sends to an app with a sidecar."""


@dataclass(frozen=True)
class Fault:
    """One fault: when it begins and how long it lasts (ns), and which of its possible targets it hits."""

    at: int
    kind: Kind
    target: int
    lasts: int


@dataclass(frozen=True)
class Burst:
    """Messages of one client to one service: `count` of them, `gap` ns apart."""

    at: int
    client: int
    count: int
    gap: int
    pattern: Pattern
    patience: Patience = Patience.ENDLESS


@dataclass(frozen=True)
class ServiceShape:
    """One service: its replicas, which of them have a sidecar, the NestJS version of its apps, and its settings.

    `limit` is the most requests in flight per replica, 0 for the core's own default; times in ns, 0 for none.
    """

    replicas: int
    meshed: tuple[bool, ...]
    version: int
    limit: int
    request_timeout: int
    attempt_timeout: int
    stream_idle: int
    algorithm: int


@dataclass(frozen=True)
class ClientShape:
    """One ClientTCP: its pod, the service it calls, its NestJS version, how it writes ids, and whether it is idle.

    A client with `front` has no sidecar; it connects to the inbound listener of a replica's sidecar.
    """

    pod: int
    service: int
    version: int
    ids: int
    front: bool


@dataclass(frozen=True)
class Times:
    """The sidecars' flags, in nanoseconds and bytes; 0 means the core's default.

    With a value for `large`, some of the clients' messages are larger than that.
    """

    stall: int
    link_idle: int
    probe_after: int
    probe_timeout: int
    total_bytes: int
    queue_timeout: int = 0
    large: int = 0


@dataclass(frozen=True)
class Scenario:
    """All that a run needs. `seed` seeds what is too small to be drawn one by one (latencies, splits, ids)."""

    seed: int
    services: tuple[ServiceShape, ...]
    clients: tuple[ClientShape, ...]
    times: Times
    latency: int
    jitter: int
    splits: float
    capacity: int
    tracing: bool
    length: int
    bursts: tuple[Burst, ...]
    faults: tuple[Fault, ...]

    @property
    def pods(self) -> int:
        """How many callers' pods there are."""
        return 1 + max(client.pod for client in self.clients)


_ORDINARY: Final = (
    Pattern.ECHO, Pattern.ECHO, Pattern.ECHO, Pattern.READ, Pattern.SLOW, Pattern.STREAM, Pattern.ERROR,
    Pattern.MISSING, Pattern.EVENT, Pattern.EVENT, Pattern.EVENT,
)  # fmt: skip


def draw_scenario(random: Random, *, scale: int = 100) -> Scenario:
    """Draw a scenario; `scale` is the percentage of the usual number of messages."""
    services = tuple(_draw_service(random) for _ in range(random.choice((1, 1, 2))))
    pods = random.randint(1, 3)
    clients = tuple(
        ClientShape(
            pod=random.randrange(pods) if number >= pods else number,
            service=random.randrange(len(services)),
            version=random.choice((10, 11, 12)),
            ids=random.randrange(4),
            front=random.random() < 0.1,
        )
        for number in range(random.randint(pods, 6))
    )
    length = random.randint(5, 30) * SECOND
    times = _draw_times(random)
    return Scenario(
        seed=random.randrange(1 << 30),
        services=services,
        clients=clients,
        times=times,
        latency=random.choice((50_000, MILLISECOND, 10 * MILLISECOND)),
        jitter=random.choice((0, MILLISECOND, 20 * MILLISECOND)),
        splits=random.choice((0.0, 0.02, 0.2)),
        capacity=random.choice((2_000, 20_000, 1_000_000)),
        tracing=random.random() < 0.1,
        length=length,
        bursts=_draw_bursts(random, services, clients, length, scale),
        faults=_draw_faults(random, length),
    )


def _draw_times(random: Random) -> Times:
    link_idle, probe_after = random.choice((2, 4, 10, 300)), random.randint(2, 5)
    if random.random() < 0.95:  # in the others, an idle connection is closed before it would be probed
        link_idle = max(link_idle, probe_after)
    total_bytes = random.choice((0, 0, 0, 400_000))
    return Times(
        stall=random.choice((3, 5, 30)) * SECOND,
        link_idle=link_idle * SECOND,
        probe_after=probe_after * SECOND,
        probe_timeout=random.randint(2, 5) * SECOND,
        total_bytes=total_bytes,
        queue_timeout=random.choice((0, 0, 0, 2)) * SECOND,
        large=random.choice((0, 0, 200, 200 if total_bytes else 2_000)),
    )


def _draw_service(random: Random) -> ServiceShape:
    replicas = random.choice((1, 1, 2, 2, 3, 4))
    share = random.choice((0, 50, 100, 100))
    return ServiceShape(
        replicas=replicas,
        meshed=tuple(random.randrange(100) < share for _ in range(replicas)),
        version=random.choice((10, 11, 12)),
        limit=random.choice((0, 0, 0, 32)),
        request_timeout=random.choice((0, 0, 0, 5)) * SECOND,
        attempt_timeout=random.choice((0, 0, 0, 2)) * SECOND,
        stream_idle=random.choice((0, 0, 0, 3)) * SECOND,
        algorithm=random.randrange(3),
    )


def _draw_bursts(
    random: Random, services: tuple[ServiceShape, ...], clients: tuple[ClientShape, ...], length: int, scale: int
) -> tuple[Burst, ...]:
    bursts = []
    for _ in range(random.randint(4, 40)):
        pattern = random.choice(_ORDINARY)
        bursts.append(
            Burst(
                at=random.randrange(length),
                client=random.randrange(len(clients)),
                count=max(1, random.choice((1, 4, 30, 100)) * scale // 100),
                gap=random.choice((0, 0, 100_000, 5 * MILLISECOND)),
                pattern=pattern,
                patience=random.choice((Patience.ENDLESS, Patience.ENDLESS, Patience.ENDLESS, Patience.SHORT)),
            )
        )
    for _ in range(random.choice((0, 0, 1, 3))):
        client = random.randrange(len(clients))
        bursts.append(_draw_abandoned(random, services[clients[client].service], client, length, scale))
    return tuple(sorted(bursts, key=lambda burst: burst.at))


def _draw_abandoned(random: Random, service: ServiceShape, client: int, length: int, scale: int) -> Burst:
    """Draw requests that never end by themselves, of which the client wants the first value at most."""
    pattern = random.choice((Pattern.SUBJECT, Pattern.SUBJECT, Pattern.INTERVAL, Pattern.NEVER))
    count = random.choice((1, 5, 20))
    if pattern is Pattern.SUBJECT and random.random() < 0.3:
        count = max(20, (40 if service.limit else 1_100) * service.replicas * scale // 100)
    patience = Patience.SHORT if pattern is Pattern.NEVER else Patience.FIRST
    return Burst(
        at=random.randrange(length), client=client, count=count, gap=100_000, pattern=pattern, patience=patience
    )


def _draw_faults(random: Random, length: int) -> tuple[Fault, ...]:
    kinds = list(GENTLE) if random.random() < 0.35 else list(Kind)
    enabled = random.sample(kinds, random.randint(1, min(6, len(kinds))))
    count = random.choice((0, 2, 6, 15))
    faults = (
        Fault(
            at=random.randrange(length),
            kind=random.choice(enabled),
            target=random.randrange(1 << 10),
            lasts=random.choice((200, 1_000, 3_000, 8_000)) * MILLISECOND,
        )
        for _ in range(count)
    )
    return tuple(sorted(faults, key=lambda fault: fault.at))
