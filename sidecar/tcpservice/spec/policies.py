"""The policies of a TcpService as types: timeouts, retries, balancing, limits and what else holds for all its messages.

Part of `schema`. A field's description is what `kubectl explain` shows. Fields left out are None here: the defaults
live in `tcpservice.snapshot`, and a route falls back to its service, so that None must stay visible.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from tcpservice.spec.leaves import Count, Duration, Group, Percent, Size


class Timeouts(Group, frozen=True, kw_only=True):
    """How long things may take; 0s means without limit."""

    request: Annotated[
        Duration | None,
        Meta(description="A request with all its attempts, until its first response. Default 0s: no limit."),
    ] = None
    backend_request: Annotated[
        Duration | None, Meta(description="One attempt of a request, at most `request`. Default 0s: no limit.")
    ] = None
    stream_idle: Annotated[
        Duration | None, Meta(description="The silence between two responses of a stream. Default 0s: no limit.")
    ] = None


class ServiceTimeouts(Timeouts, frozen=True, kw_only=True):
    """How long things may take; 0s means without limit, but for `connect`."""

    connect: Annotated[Duration | None, Meta(description="Connecting to a replica. Default 1s.")] = None


class Retry(Group, frozen=True, kw_only=True):
    """How a request is tried again; unless it is idempotent, only where nothing can have run."""

    attempts: Annotated[
        Annotated[int, Meta(ge=0, le=100)] | None, Meta(description="Attempts after the first. Default 2.")
    ] = None
    backoff: Annotated[
        Duration | None, Meta(description="The pause before the first retry; each next is twice as long. Default 25ms.")
    ] = None


class RetryBudget(Group, frozen=True, kw_only=True):
    """A share of the recent requests."""

    percent: Annotated[Percent | None, Meta(description="Retries per hundred requests. Default 20.")] = None
    interval: Annotated[Duration | None, Meta(description="How far back requests count. Default 10s.")] = None


class RequestRate(Group, frozen=True, kw_only=True):
    """A number of requests in a time."""

    count: Annotated[
        Annotated[int, Meta(ge=0, le=1_000_000)] | None, Meta(description="Retries that are always free. Default 10.")
    ] = None
    interval: Annotated[Duration | None, Meta(description="The time in which they are. Default 1s.")] = None


class RetryConstraint(Group, frozen=True, kw_only=True):
    """How many requests may be retries, so that retries never multiply an overload."""

    budget: Annotated[RetryBudget | None, Meta(description="The share of requests that may be retries.")] = None
    min_retry_rate: Annotated[RequestRate | None, Meta(description="Retries that are allowed beside the share.")] = None


class ConsistentHash(Group, frozen=True, kw_only=True):
    """What decides where a message goes, so that the same goes to the same replica."""

    source: Annotated[
        Literal["Data", "Caller"],
        Meta(description="Data: a value in the message. Caller: all messages of one caller go to one replica."),
    ]
    path: Annotated[
        Annotated[str, Meta(min_length=1, max_length=256)] | None,
        Meta(description="Where in the message's data the value stands, such as `customerId` (source Data)."),
    ] = None


class SlowStart(Group, frozen=True, kw_only=True):
    """How a new replica is warmed."""

    window: Annotated[Duration, Meta(description="The time in which its share grows to the full one.")]


class LoadBalancing(Group, frozen=True, kw_only=True):
    """How a replica is chosen for a message."""

    algorithm: Annotated[
        Literal["LeastRequest", "RoundRobin", "Random", "LeastLatency", "ConsistentHash"] | None,
        Meta(description="LeastRequest (default) takes the less busy of two random replicas."),
    ] = None
    consistent_hash: Annotated[ConsistentHash | None, Meta(description="For the algorithm ConsistentHash.")] = None
    traffic_distribution: Annotated[
        Literal["PreferSameZone", "PreferSameNode", "PreferClose"] | None,
        Meta(description="Which replicas are preferred, as in a Service."),
    ] = None
    slow_start: Annotated[SlowStart | None, Meta(description="How a new replica is warmed.")] = None


class OutlierDetection(Group, frozen=True, kw_only=True):
    """When a replica that fails is left alone for a while."""

    consecutive_errors: Annotated[Count | None, Meta(description="Errors in a row. Default 5.")] = None
    base_ejection_time: Annotated[
        Duration | None, Meta(description="How long the first time; longer each time. Default 10s.")
    ] = None
    max_ejection_percent: Annotated[
        Percent | None, Meta(description="The share of the replicas that may be left alone at once. Default 50.")
    ] = None


class Limits(Group, frozen=True, kw_only=True):
    """Bounds that keep one message or one replica from hurting the rest."""

    max_frame_size: Annotated[Size | None, Meta(description="The largest message in bytes. Default 16Mi.")] = None
    max_requests_per_replica: Annotated[
        Annotated[int, Meta(ge=0, le=1_000_000)] | None,
        Meta(description="Requests that wait for a first response; more queue. Default 0: no limit."),
    ] = None


class ConnectionPool(Group, frozen=True, kw_only=True):
    """The connections to each endpoint. A caller's connection keeps to one, so that its messages keep their order."""

    size: Annotated[
        Annotated[int, Meta(ge=1, le=64)] | None,
        Meta(description="How many. Default: 1, and up to 4 while an endpoint is busy and slow."),
    ] = None


class RateLimit(Group, frozen=True, kw_only=True):
    """How many requests a caller may send."""

    requests: Annotated[Count, Meta(description="Requests in the interval, for each caller.")]
    interval: Annotated[Duration, Meta(description="The interval.")]


class Drain(Group, frozen=True, kw_only=True):
    """How long messages in flight may take once a replica leaves; keep both within the pod's grace period."""

    timeout: Annotated[Duration | None, Meta(description="For requests. Default 20s.")] = None
    stream_timeout: Annotated[
        Duration | None, Meta(description="For streams, at least `timeout`. Default 25s, or `timeout` if longer.")
    ] = None


class Tracing(Group, frozen=True, kw_only=True):
    """Which messages leave a trace; errors, retries and slow messages do so beside the sample."""

    sampling_percent: Annotated[
        Annotated[
            str, Meta(pattern=r"^(100|[0-9]{1,2}(\.[0-9]{1,6})?)$", extra={"expected": 'a percentage such as "0.1"'})
        ]
        | None,
        Meta(description='The share of messages, from "0" to "100", as text. Default "1".'),
    ] = None
    slow_threshold: Annotated[
        Duration | None, Meta(description="From when on a message is slow. Default 1s; 0s: never.")
    ] = None
