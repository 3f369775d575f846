"""The snapshot: everything a sidecar needs to run, in one immutable value.

Made from manifests (`spec`) or by the operator, swapped into the `exchange` as a whole. Nothing in it is text that
still has to be understood: durations are integer nanoseconds (0: none), sizes are bytes, patterns are NestJS routes.
The whole is plain data, so that it can be streamed as JSON (`updates`) and compared with `==`; bounds of numbers are
held where JSON is read.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

MILLISECOND = 1_000_000
SECOND = 1_000_000_000
MEBIBYTE = 1 << 20

Count = Annotated[int, Meta(ge=0, le=1 << 62)]
Port = Annotated[int, Meta(ge=1, le=65535)]


class Protocol(StrEnum):
    """How the bytes of a service are read."""

    NESTJS = "NestJS"
    OPAQUE = "Opaque"


class Algorithm(StrEnum):
    """How a replica is chosen for a message."""

    LEAST_REQUEST = "LeastRequest"
    ROUND_ROBIN = "RoundRobin"
    RANDOM = "Random"


class MatchType(StrEnum):
    """How a route's pattern is compared with a message's."""

    EXACT = "Exact"
    PREFIX = "Prefix"


class Timeouts(Struct, frozen=True, kw_only=True):
    """Limits in nanoseconds; 0 means none.

    `request` spans all attempts and ends at the first response, `backend_request` spans one attempt, `stream_idle` is
    the longest silence between two responses of a stream, `connect` is how long a connection to a replica may take.
    """

    request: Count = 0
    backend_request: Count = 0
    stream_idle: Count = 0
    connect: Count = SECOND


class Retry(Struct, frozen=True, kw_only=True):
    """`attempts` after the first, the first of them `backoff` nanoseconds later, each next after twice that."""

    attempts: Count = 2
    backoff: Count = 25 * MILLISECOND


class RetryConstraint(Struct, frozen=True, kw_only=True):
    """Retries may be `percent` of the requests of the last `interval` ns; `min_count` each `min_interval` are free."""

    percent: Count = 20
    interval: Count = 10 * SECOND
    min_count: Count = 10
    min_interval: Count = SECOND


class Limits(Struct, frozen=True, kw_only=True):
    """The largest frame body in bytes, and how many requests may wait for a replica's first response (0: no limit)."""

    max_frame_size: Count = 16 * MEBIBYTE
    max_requests_per_replica: Count = 0


class Drain(Struct, frozen=True, kw_only=True):
    """How long, in nanoseconds, requests and streams may take to finish once the sidecar leaves."""

    timeout: Count = 20 * SECOND
    stream_timeout: Count = 25 * SECOND


class Tracing(Struct, frozen=True, kw_only=True):
    """How many of a billion messages are sampled, and from how many nanoseconds on a message is slow (0: never)."""

    sampled_per_billion: Count = 10_000_000
    slow_threshold: Count = SECOND


class Route(Struct, frozen=True, kw_only=True):
    """Policy for the messages of some patterns.

    `pattern` is NestJS's normalised route for `EXACT`, and the beginning of such a route for `PREFIX`.
    """

    name: str
    match: MatchType
    pattern: str
    idempotent: bool = False
    timeouts: Timeouts = Timeouts()
    retry: Retry = Retry()


class Endpoint(Struct, frozen=True, kw_only=True):
    """One replica's address, as an EndpointSlice tells it.

    `host` is an IP address or a name that the shell resolves; `mesh` says that a sidecar listens there, not the app;
    `app_port` is where the app listens behind that sidecar, None where messages may not go past the sidecar; `name` is
    what people know the endpoint by (the pod's name, else `host:port`).
    """

    host: Annotated[str, Meta(min_length=1)]
    port: Port
    name: str
    mesh: bool = False
    app_port: Port | None = None
    zone: str | None = None
    ready: bool = True
    serving: bool = True
    terminating: bool = False

    @property
    def key(self) -> tuple[str, int, bool]:
        """What identifies it among the endpoints of its service."""
        return self.host, self.port, self.mesh

    def at_app(self) -> Endpoint | None:
        """Return the app behind the sidecar; None where there is none, or where no message may go past the sidecar."""
        return replace(self, port=self.app_port, mesh=False, app_port=None) if self.mesh and self.app_port else None


class Service(Struct, frozen=True, kw_only=True):
    """One TcpService with its replicas.

    `app_port` is where apps listen, None where only pods know (a port's name). `pool_size` is the number of connections
    to each endpoint, 0 for as many as are useful. `awaited` says that the endpoints are not known yet, so that messages
    wait for them instead of failing. `inbound_to_app` says that messages of callers without a sidecar go to the app of
    the pod that they connected to: other Services lead to the same port, and mean other pods.
    """

    namespace: str
    name: str
    port: Port
    app_port: Port | None = None
    protocol: Protocol = Protocol.NESTJS
    algorithm: Algorithm = Algorithm.LEAST_REQUEST
    timeouts: Timeouts = Timeouts()
    retry: Retry = Retry()
    retry_constraint: RetryConstraint = RetryConstraint()
    limits: Limits = Limits()
    pool_size: Count = 0
    drain: Drain = Drain()
    tracing: Tracing = Tracing()
    routes: tuple[Route, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    awaited: bool = False
    inbound_to_app: bool = False

    @property
    def key(self) -> str:
        """`namespace/name`: what names the service everywhere in the sidecar."""
        return f"{self.namespace}/{self.name}"


class Snapshot(Struct, frozen=True, kw_only=True):
    """All services that a sidecar serves or calls; keys are unique."""

    services: tuple[Service, ...] = ()
