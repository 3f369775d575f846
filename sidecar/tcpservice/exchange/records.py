"""The records of the exchange: connections, endpoints, messages and attempts.

Plain mutable records, used by all parts of the `exchange` and by nothing else. A *downstream connection* comes from a
caller. An *upstream* is a service with its *endpoints*; each endpoint has a pool of *upstream connections*. A *message*
is a request or an event of a caller; it is sent to an endpoint by an *attempt*, and may need several. Times are integer
nanoseconds, 0 for none. States change in `State.move` only.

Records that arise for each message are made by a function and have no `__init__`, which the compiled form would call
with arguments boxed in a tuple.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from tcpservice.balancer import Balancer, Loaded, balancer_for
from tcpservice.errors import Code
from tcpservice.exchange.outputs import FailedAttempt
from tcpservice.exchange.retry_budget import RetryBudget
from tcpservice.exchange.sampling import Sampler
from tcpservice.exchange.transitions import ConnectionState, DownstreamState, EndpointState, UpstreamState
from tcpservice.exchange.waiting import Waiting
from tcpservice.policy import Policies, Policy
from tcpservice.snapshot import Endpoint, Service
from tcpservice.timers import TimerOwner
from tcpservice.wire.frames import FrameReader, Item
from tcpservice.wire.mesh import MeshHop
from tcpservice.wire.requests import Request
from tcpservice.wire.scan import Frame

FRAMES_PIPELINED: Final = 4
"""A connection carries at most this many frames of the largest size ahead of their replies (the `maxBufferSize` of the
endpoint's NestJS)."""

LARGEST_POOL: Final = 4
"""Connections to one endpoint at most, where the pool grows by itself."""

NO_LIMIT: Final = 1 << 62

# CPython 3.11 looks up a member of an enum slowly; these names are as quick as any (docs/decisions.md).
_HEALTHY: Final = EndpointState.HEALTHY
_PROBATION: Final = EndpointState.PROBATION


class Reason(IntEnum):
    """Why a timer was set. A timer that fires does only what its reason says."""

    # downstream connections
    PREFACE = 0
    FRAME = 1
    CLOSE = 2
    DRAIN = 3
    # upstream connections
    CONNECT = 4
    SILENCE = 5
    PROBE = 6
    IDLE = 7
    # endpoints
    RECONNECT = 8
    PROBE_ANSWER = 9
    POOL = 10
    # upstreams
    UNREACHABLE = 11
    PRECONNECT = 12
    APP_STOP = 13
    PUMP = 14
    # messages
    REQUEST = 15
    ATTEMPT = 16
    STREAM = 17
    RETRY = 18
    QUEUE = 19


class Origin(IntEnum):
    """Where a downstream connection comes from."""

    LOCAL = 0  # the pod's own app
    INBOUND = 1  # a caller without a sidecar
    MESH = 2  # another sidecar


class Failure(IntEnum):
    """Why an endpoint was ejected last."""

    NONE = 0
    CONNECTION = 1  # refused, timed out, reset or closed
    SILENCE = 2  # a probe was not answered
    PROTOCOL = 3  # it sent bytes that are no frames
    REFUSAL = 4  # its sidecar could not reach its app


class FramedConnection(TimerOwner):
    """A connection that carries frames, by its number. `outgoing` is what is to be written, None while nothing is."""

    __slots__ = ("conn", "outgoing", "outgoing_bytes")

    conn: int
    outgoing: list[bytes] | None
    outgoing_bytes: int


class DownstreamConnection(FramedConnection):
    """A caller's connection.

    `messages` are those that have not ended, in the order of their arrival; `live` counts their attempts that have
    not. `items` are parsed and not processed yet, since the connection was paused; the next one is the last of the
    list. `waiting_first` is how many of its requests count against request limits: those without a response that
    are younger than `Bounds.place_expiry`. `serial` selects its slot in an endpoint's pool. `buffered` is what the
    reader held when it was counted last, `unsent` what the caller has not taken, `progress` when it last took some;
    `replied` is the size of the last response, `answered` the sequence of the newest request that has its last one.
    """

    __slots__ = (
        "answered", "arrived", "buffered", "bytes", "control_second", "control_used", "heard", "hop", "items", "live",
        "messages", "origin", "progress", "reader", "replied", "serial", "state", "throttled", "unsent", "upstream",
        "waiting_first",
    )  # fmt: skip

    def __init__(self, conn: int, upstream: Upstream | None, origin: Origin, limit: int, now: int) -> None:
        self.timers = None
        self.conn = conn
        self.outgoing = None
        self.upstream = upstream
        self.origin = origin
        mesh = origin is Origin.MESH
        self.state = DownstreamState.AWAIT_PREFACE if mesh else DownstreamState.READING
        self.hop: MeshHop | None = MeshHop() if mesh else None
        self.reader = FrameReader(limit, control=mesh)
        self.items: list[Item] = []
        self.messages: dict[Message, None] = {}
        self.live = 0
        self.waiting_first = 0
        self.bytes = 0
        self.buffered = 0
        self.unsent = 0
        self.replied = 0
        self.answered = 0
        self.progress = now
        self.heard = now
        self.arrived = 0
        self.serial = 0
        self.control_second = 0
        self.control_used = 0
        self.throttled: dict[UpstreamConnection, None] | None = None


class UpstreamConnection(FramedConnection):
    """A connection to an endpoint, shared by several callers.

    `queue` holds attempts in order until the connection is ready. `pending` maps the id text that was written to its
    attempt; an attempt that ended meanwhile stays there until the endpoint has answered, so that a late reply is
    recognised. `live` counts attempts that have not ended, `bytes` those of their
    frames and of the large replies that are expected; `backlog` are the bytes that the kernel has not taken. `asked` is
    when the first request was written since the endpoint was heard, `probed` when the last probe was, `used` when the
    last message was. `probes` are the ids of probes that were not answered yet.
    `short_ids` says which caller's connection has used a short id here. `throttling` are the slow readers because of
    which it is not read.
    """

    __slots__ = (
        "asked", "backlog", "bytes", "control_second", "control_used", "endpoint", "heard", "hop", "live",
        "pending", "probed", "probes", "queue", "reader", "serial", "short_ids", "slot", "state", "throttling",
        "unknown", "used",
    )  # fmt: skip

    def __init__(self, conn: int, endpoint: UpstreamEndpoint, slot: int, limit: int, now: int) -> None:
        self.timers = None
        self.conn = conn
        self.outgoing = None
        self.endpoint = endpoint
        self.slot = slot
        self.state = ConnectionState.CONNECTING
        mesh = endpoint.address.mesh
        self.hop: MeshHop | None = MeshHop(endpoint.upstream.key) if mesh else None
        self.reader = FrameReader(limit, control=mesh)
        self.queue: dict[Attempt, None] = {}
        self.pending: dict[bytes, Attempt] = {}
        self.short_ids: dict[bytes, int] = {}
        self.live = 0
        self.backlog = 0
        self.bytes = 0
        self.heard = now
        self.used = now
        self.asked = 0
        self.probed = 0
        self.probes: dict[bytes, None] = {}
        self.serial = 0
        self.unknown = 0
        self.control_second = 0
        self.control_used = 0
        self.throttling: dict[DownstreamConnection, None] = {}

    @property
    def unanswered(self) -> int:
        """How many replies are still to come to requests that have ended."""
        return len(self.pending) + len(self.queue) - self.live


class UpstreamEndpoint(Loaded):
    """One endpoint of an upstream and its health.

    `pool` holds its connections by slot; `slots` says which one a caller used last. `unread` holds the sequence
    number of a caller's last message that may not have been read there: an event, or a request that ended without a
    reply. The reply to a later one shows that it was read. `load` is what the balancing compares: requests that
    hold a place there, or Opaque connections. `in_flight` counts streams that have begun, too. `bytes` are those of
    the large messages that are under way there. `latency` is a moving average of the time from writing a request to
    its last response (ns). `sidecar` is the endpoint for which this one is the fallback (`fallback`), None for an
    endpoint of its own right.
    """

    __slots__ = (
        "address", "bytes", "failures", "in_flight", "last_failure", "latency", "mesh", "name", "pool", "sidecar",
        "slots", "state", "unread", "upstream",
    )  # fmt: skip

    def __init__(self, upstream: Upstream, address: Endpoint, sidecar: UpstreamEndpoint | None = None) -> None:
        self.timers = None
        self.upstream = upstream
        self.address = address
        self.mesh = address.mesh
        self.name = address.name
        self.sidecar = sidecar
        self.state = EndpointState.HEALTHY
        self.pool: list[UpstreamConnection | None] = [None]
        self.slots: dict[DownstreamConnection, int] = {}
        self.unread: dict[DownstreamConnection, int] = {}
        self.in_flight = 0
        self.load = 0
        self.bytes = 0
        self.latency = 0
        self.failures = 0
        self.last_failure = Failure.NONE

    def connections(self) -> list[UpstreamConnection]:
        """Return the connections of its pool."""
        return [connection for connection in self.pool if connection is not None]


class Upstream(TimerOwner):
    """A service with its endpoints and policies, and the messages that wait for an endpoint.

    `candidates` are the endpoints that may be picked. `waiting` holds messages for which there is none, or none with
    room. `is_app` says that this is the pod's own app, to which the mesh leads.
    `callers` counts the plain connections of callers to it.
    `stopping` is set from the time the kubelet announces that the app stops until it has; `announced` is whether the
    other sidecars were told that the app is absent. `is_listed` is whether the snapshot in force has the service.
    """

    __slots__ = (
        "announced", "balancer", "budget", "callers", "candidates", "endpoints", "is_app", "is_listed", "key",
        "most_bytes", "most_requests", "policies", "pool_size", "sampler", "served", "service", "slow_threshold",
        "state", "stopping", "waiting",
    )  # fmt: skip

    def __init__(self, service: Service, *, is_app: bool = False) -> None:
        self.timers = None
        self.is_app = is_app
        self.is_listed = True
        self.state = UpstreamState.REACHABLE
        self.callers = 0
        self.stopping = False
        self.announced = False
        self.endpoints: dict[tuple[str, int, bool], UpstreamEndpoint] = {}
        self.candidates: list[UpstreamEndpoint] = []
        self.waiting = Waiting()
        self._take(service)
        self.balancer: Balancer = balancer_for(service.algorithm)
        self.budget = RetryBudget(service.retry_constraint)
        self.sampler = Sampler(service.tracing.sampled_per_billion)
        self.served: set[str] = set()

    def adopt(self, service: Service) -> None:
        """Take new values of the service; what did not change keeps its state."""
        old = self.service
        self._take(service)
        if service.algorithm != old.algorithm:
            self.balancer = balancer_for(service.algorithm)
        if service.retry_constraint != old.retry_constraint:
            self.budget = RetryBudget(service.retry_constraint)
        if service.tracing != old.tracing:
            self.sampler = Sampler(service.tracing.sampled_per_billion)

    def _take(self, service: Service) -> None:
        self.service = service
        self.key = service.key
        self.pool_size = service.pool_size
        self.slow_threshold = service.tracing.slow_threshold
        self.policies = Policies(service)
        self.most_requests = service.limits.max_requests_per_replica or NO_LIMIT
        self.most_bytes = (FRAMES_PIPELINED - 1) * service.limits.max_frame_size  # one more may follow

    def refresh(self) -> None:
        """Find the candidates: those of the endpoints themselves, or else those of their fallbacks."""
        serving = [endpoint for endpoint in self.endpoints.values() if endpoint.address.serving]
        own = [endpoint for endpoint in serving if endpoint.sidecar is None]
        self.candidates = _best(own) or _best([endpoint for endpoint in serving if endpoint.sidecar is not None])

    def bypasses_sidecars(self) -> bool:
        """Whether only fallbacks can be picked."""
        return bool(self.candidates) and self.candidates[0].sidecar is not None


def _best(serving: list[UpstreamEndpoint]) -> list[UpstreamEndpoint]:
    """Return the healthy ones of some endpoints, else those that leave and still serve, else those that are probed.

    An endpoint on probation is among the healthy ones, and has room for one request.
    """
    healthy = [endpoint for endpoint in serving if endpoint.state in (_HEALTHY, _PROBATION)]
    return (
        [endpoint for endpoint in healthy if endpoint.address.ready and not endpoint.address.terminating]
        or healthy
        or [endpoint for endpoint in serving if endpoint.state is EndpointState.LEAVING]
        or [endpoint for endpoint in serving if endpoint.state is EndpointState.PROBING]
    )


class Trace:
    """The ids of one message: its trace, the app's span above it, its own spans, and whether they are sampled.

    `parent` is 0 where there is none; `server` and `client` are the spans of this sidecar, 0 where it makes none.
    `request` and `response` are the beginnings of the payloads, where `Bounds.traced_payload` asks for them.
    """

    __slots__ = ("client", "parent", "request", "response", "sampled", "server", "trace")

    def __init__(self, trace: int, parent: int, *, sampled: bool) -> None:
        self.trace = trace
        self.parent = parent
        self.sampled = sampled
        self.server = 0
        self.client = 0
        self.request = b""
        self.response = b""


class Message(TimerOwner):
    """A request or an event of a caller, from its arrival to its end.

    `frame` is kept as long as another attempt may need it, never beyond the first response. `attempt` is the
    current one; `last` is the last one. `may_have_run` says that an endpoint was sent it and may have run it.
    `held` is the number of bytes that are counted for it, `expected` the likely size of its reply where that is
    large. `rounds` counts how often all endpoints failed while it waited. `holds_place` says that it counts against
    limits on requests. `tried` are the endpoints where an attempt failed, `refused` those of them whose sidecar had
    the message and could not reach its app. `slot` is the place in the pool of `slot_at` that was found for it last.
    `is_silent` says that it has no place and is in the list `State.silent`; `earlier` and `later` are its neighbours in
    its `MessageList`.
    """

    __slots__ = (
        "answered", "arrived", "attempt", "attempts", "downstream", "earlier", "expected", "failed", "frame",
        "held", "holds_place", "is_silent", "kept", "last", "later", "may_have_run", "policy", "refused", "request",
        "responses", "rounds", "sequence", "size", "slot", "slot_at", "trace", "tried", "upstream",
    )  # fmt: skip

    downstream: DownstreamConnection
    upstream: Upstream
    frame: Frame | None
    request: Request
    policy: Policy
    sequence: int
    arrived: int
    size: int
    held: int
    expected: int
    holds_place: bool
    attempt: Attempt | None
    last: Attempt | None
    attempts: int
    rounds: int
    failed: tuple[FailedAttempt, ...]
    tried: tuple[UpstreamEndpoint, ...]
    refused: tuple[UpstreamEndpoint, ...]
    may_have_run: bool
    responses: int
    answered: int
    kept: str | None
    trace: Trace | None
    slot: int
    slot_at: UpstreamEndpoint | None
    is_silent: bool
    earlier: Message | None
    later: Message | None


def new_message(
    downstream: DownstreamConnection,
    upstream: Upstream,
    frame: Frame,
    request: Request,
    policy: Policy,
    sequence: int,
    arrived: int,
) -> Message:
    """Make the record of a message that has arrived."""
    message = Message.__new__(Message)
    message.timers = None
    message.downstream = downstream
    message.upstream = upstream
    message.frame = frame
    message.request = request
    message.policy = policy
    message.sequence = sequence
    message.arrived = arrived
    message.size = message.held = len(frame.raw)
    message.expected = 0
    message.holds_place = False
    message.attempt = None
    message.last = None
    message.attempts = 0
    message.rounds = 0
    message.failed = ()
    message.tried = ()
    message.refused = ()
    message.may_have_run = False
    message.responses = 0
    message.answered = 0
    message.kept = None
    message.trace = None
    message.slot = 0
    message.slot_at = None
    message.is_silent = False
    message.earlier = None
    message.later = None
    return message


class MessageList:
    """Messages in the order in which they were added, each in one such list at most.

    A dict would do the same, but to find the first entry of one it walks over all that were removed before it.
    """

    __slots__ = ("count", "first", "last")

    def __init__(self) -> None:
        self.count = 0
        self.first: Message | None = None
        self.last: Message | None = None

    def add(self, message: Message) -> None:
        """Add a message as the last one."""
        last = self.last
        message.earlier = last
        if last is None:
            self.first = message
        else:
            last.later = message
        self.last = message
        self.count += 1

    def remove(self, message: Message) -> None:
        """Remove a message, which is in this list."""
        earlier, later = message.earlier, message.later
        if earlier is None:
            self.first = later
        else:
            earlier.later = later
        if later is None:
            self.last = earlier
        else:
            later.earlier = earlier
        message.earlier = message.later = None
        self.count -= 1


class Attempt:
    """One try to get a message served by one endpoint.

    `key` is the id text under which the request was written, `written` when that was, 0 while it waits in the
    connection's queue. `conn` is the number of the connection. Once the attempt has ended, `connection` is None and
    `message` is gone.
    """

    __slots__ = ("conn", "connection", "endpoint", "key", "message", "written")

    message: Message
    endpoint: UpstreamEndpoint
    connection: UpstreamConnection | None
    conn: int
    key: bytes
    written: int


def new_attempt(message: Message, endpoint: UpstreamEndpoint) -> Attempt:
    """Make the record of an attempt that begins."""
    attempt = Attempt.__new__(Attempt)
    attempt.message = message
    attempt.endpoint = endpoint
    attempt.connection = None
    attempt.conn = 0
    attempt.key = b""
    attempt.written = 0
    return attempt


class Ended:
    """A message that was not sampled, remembered for a while in case the caller's sidecar keeps it."""

    __slots__ = ("at", "code", "message")

    def __init__(self, message: Message, code: Code, at: int) -> None:
        self.message = message
        self.code = code
        self.at = at


class OpaqueConnection:
    """A caller's connection to an Opaque service. The shell moves its bytes; it only counts for the balancing."""

    __slots__ = ("conn", "endpoint")

    def __init__(self, conn: int, endpoint: UpstreamEndpoint) -> None:
        self.conn = conn
        self.endpoint = endpoint


Connection = DownstreamConnection | UpstreamConnection | OpaqueConnection
