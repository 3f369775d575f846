"""The nouns of the exchange: who talks to it, and what is on its way.

Plain mutable records, used by all parts of the `exchange` and by nobody else. A *caller* is a downstream connection, a
*link* an upstream one; a *backend* is a service's set of *replicas*; a *call* is one message on its way, request or
event.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from tcpservice.balancer import balancer_for
from tcpservice.deadlines import Waiting
from tcpservice.errors import Code
from tcpservice.exchange.budget import RetryBudget
from tcpservice.exchange.outputs import Attempt
from tcpservice.exchange.sampling import Sampler
from tcpservice.policy import Policies, Policy
from tcpservice.snapshot import Endpoint, Service
from tcpservice.wire.frames import Frame, FrameReader, Item
from tcpservice.wire.requests import Request

FRAMES_PIPELINED: Final = 4
"""A replica is sent at most this many frames of the largest size ahead of its replies (its `maxBufferSize`)."""


NO_LIMIT: Final = 1 << 62


class EndOfStream:
    """Stands behind the last item of a caller that half-closed."""


END_OF_STREAM: Final = EndOfStream()


class Caller(Waiting):
    """A downstream connection; `mesh` says that it is another sidecar's, `front` that it came from outside the mesh.

    `greeting` is what has come of another sidecar's opening line, None once that is complete.
    """

    __slots__ = (
        "backend", "backlog", "bytes", "calls", "closing", "conn", "front", "greeting", "heard", "held", "held_since",
        "mesh", "paused", "progress", "reader", "until",
    )  # fmt: skip

    def __init__(self, conn: int, backend: Backend | None, *, mesh: bool, limit: int, now: int) -> None:
        super().__init__()
        self.conn = conn
        self.backend = backend
        self.mesh = mesh
        self.front = False
        self.greeting: bytes | None = b"" if mesh else None
        self.reader = FrameReader(limit, control=mesh)
        self.calls: dict[Call, None] = {}
        self.bytes = 0
        self.backlog = 0
        self.progress = now
        self.heard = now
        self.held: deque[Item | EndOfStream] = deque()
        self.held_since = 0
        self.paused = False
        self.closing = False
        self.until = 0


class Link(Waiting):
    """An upstream connection to one replica, shared by all callers.

    `pending` maps the id text that went out to its call; a call that ended meanwhile stays there until the replica has
    answered, so that the answer is known for a late one. `live` counts those that somebody still waits for.
    """

    __slots__ = (
        "backlog", "conn", "greeting", "heard", "live", "pending", "probed", "queue", "reader", "replica", "retiring",
        "serial", "up",
    )  # fmt: skip

    def __init__(self, conn: int, replica: Replica, limit: int, now: int) -> None:
        super().__init__()
        self.conn = conn
        self.replica = replica
        self.reader = FrameReader(limit, control=replica.endpoint.mesh)
        self.greeting: bytes | None = b"" if replica.endpoint.mesh else None
        self.pending: dict[bytes, Call] = {}
        self.queue: dict[Call, None] = {}
        self.live = 0
        self.up = False
        self.retiring = False
        self.backlog = 0
        self.heard = now
        self.probed = 0
        self.serial = 0

    @property
    def forgotten(self) -> int:
        """How many answers are still to come that nobody waits for."""
        return len(self.pending) + len(self.queue) - self.live


class Replica(Waiting):
    """One endpoint of a backend and how it fares. `down` replicas failed, `leaving` ones said so."""

    __slots__ = (
        "backend",
        "bytes",
        "down",
        "endpoint",
        "failures",
        "in_flight",
        "leaving",
        "link",
        "removed",
        "suspect",
    )

    def __init__(self, backend: Backend, endpoint: Endpoint) -> None:
        super().__init__()
        self.backend = backend
        self.endpoint = endpoint
        self.link: Link | None = None
        self.in_flight = 0
        self.bytes = 0
        self.failures = 0
        self.down = False
        self.suspect = False
        self.leaving = False
        self.removed = False

    def has_room(self, backlog: int) -> bool:
        """Whether it may be sent one more message."""
        backend = self.backend
        return (
            self.in_flight < backend.most_requests
            and self.bytes < backend.most_bytes
            and (self.link is None or self.link.backlog < backlog)
        )


class Backend:
    """A service's replicas, its policies, and the callers that wait for a place.

    The pod's own app is a backend of one replica. It is `stopping` from the word that it will stop until it has, and
    `away` while other sidecars are told to choose others.
    """

    def __init__(self, service: Service) -> None:
        self.stopping = False
        self.away = False
        self.replicas: dict[tuple[str, int, bool], Replica] = {}
        self.candidates: list[Replica] = []
        self.waiting: dict[Caller, None] = {}
        self._take(service)
        self.balancer = balancer_for(service.algorithm)
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
        self.policies = Policies(service)
        self.most_requests = service.limits.max_requests_per_replica or NO_LIMIT
        self.most_bytes = FRAMES_PIPELINED * service.limits.max_frame_size

    def has_room(self, backlog: int) -> bool:
        """Whether a message would not have to wait: some replica has room, or there is none to wait for."""
        if not self.candidates:
            return not self.service.awaited
        return any(replica.has_room(backlog) for replica in self.candidates)

    def refresh(self) -> None:
        """Find the replicas that may be chosen: the good ones, else those that leave and still serve, else any."""
        present = [replica for replica in self.replicas.values() if replica.endpoint.serving]
        staying = [r for r in present if r.endpoint.ready and not r.endpoint.terminating and not r.leaving]
        sound = [replica for replica in staying if not replica.down]
        self.candidates = sound or [r for r in present if not r.down] or staying or present


class Trace:
    """The ids of one message: its trace, the app's span above it, its own spans, and whether they are sampled.

    `parent` is 0 where there is none; `server` and `client` are the spans of this sidecar, 0 where it makes none.
    """

    __slots__ = ("client", "parent", "sampled", "server", "trace")

    def __init__(self, trace: int, parent: int, *, sampled: bool) -> None:
        self.trace = trace
        self.parent = parent
        self.sampled = sampled
        self.server = 0
        self.client = 0


class Call(Waiting):
    """One message on its way from a caller.

    `frame` is kept as long as another attempt may need it, never beyond the first response. `left` says that bytes of
    it have reached a replica which may have run it. `link` and `key` say where it is now, `conn` the number of the last
    link. `answered` is the time of the first response. Times in ns, 0 for none.
    """

    __slots__ = (
        "answered", "attempt_due", "attempts", "backend", "caller", "conn", "due", "failed", "frame", "kept", "key",
        "left", "link", "policy", "replica", "request", "responses", "retry_at", "size", "started", "trace", "tried",
    )  # fmt: skip

    def __init__(
        self, caller: Caller, backend: Backend, frame: Frame, request: Request, policy: Policy, now: int
    ) -> None:
        self.bucket = None
        self.caller = caller
        self.backend = backend
        self.frame: Frame | None = frame
        self.request = request
        self.policy = policy
        self.started = now
        self.size = len(frame.raw)
        self.link: Link | None = None
        self.replica: Replica | None = None
        self.conn = 0
        self.key = b""
        self.failed: tuple[Attempt, ...] = ()
        self.kept: str | None = None
        self.trace: Trace | None = None
        self.answered = 0
        self.tried: set[Replica] | None = None
        self.attempts = 0
        self.responses = 0
        self.left = False
        self.due = now + policy.timeouts.request if policy.timeouts.request else 0
        self.attempt_due = 0
        self.retry_at = 0

    def waits_for(self, link: Link, key: bytes) -> bool:
        """Whether an answer to `key` on `link` is for the attempt on its way, not for one that was given up."""
        return self.link is link and self.key == key


class Ended:
    """A message that was not sampled, remembered for a while in case the caller's sidecar keeps it."""

    __slots__ = ("at", "call", "code")

    def __init__(self, call: Call, code: Code, at: int) -> None:
        self.call = call
        self.code = code
        self.at = at


class Relay:
    """One connection of an Opaque service, whose bytes the shell moves by itself."""

    __slots__ = ("conn", "replica")

    def __init__(self, conn: int, replica: Replica) -> None:
        self.conn = conn
        self.replica = replica


Peer = Caller | Link | Relay
