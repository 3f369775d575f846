"""The policies of a TcpService as types: timeouts, retries, balancing, limits and what else holds for all its messages.

Part of `schema`. A field's description is what `kubectl explain` shows. Fields left out are None here: the defaults
live in `tcpservice.snapshot`, and a route falls back to its service, so that None must stay visible.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from tcpservice.spec.leaves import Count, Duration, Group, Percent, Size


class Timeouts(Group, frozen=True, kw_only=True):
    """Timeouts of requests. 0s means no limit."""

    request: Annotated[
        Duration | None,
        Meta(
            description="The longest time from a request to its first response, with all retries. 0s: no limit. "
            "Default 0s; in a route, the value in `spec.timeouts`."
        ),
    ] = None
    backend_request: Annotated[
        Duration | None,
        Meta(
            description="The longest time of one attempt of a request, at most `request`. 0s: no limit. "
            "Default 0s; in a route, the value in `spec.timeouts`."
        ),
    ] = None
    stream_idle: Annotated[
        Duration | None,
        Meta(
            description="The longest time between two responses to one request. 0s: no limit. "
            "Default 0s; in a route, the value in `spec.timeouts`."
        ),
    ] = None


class ServiceTimeouts(Timeouts, frozen=True, kw_only=True):
    """Timeouts of requests and connections. 0s means no limit, except for `connect`."""

    connect: Annotated[
        Duration | None,
        Meta(description="The longest time until a connection to a replica is established. Default 1s."),
    ] = None


class Retry(Group, frozen=True, kw_only=True):
    """How sidecars retry requests. They retry a request that may have run only on routes with `idempotent: true`."""

    attempts: Annotated[
        Annotated[int, Meta(ge=0, le=100)] | None,
        Meta(
            description="The maximum number of retries of one request. "
            "Default 2; in a route, the value in `spec.retry`."
        ),
    ] = None
    backoff: Annotated[
        Duration | None,
        Meta(
            description="The pause before the first retry. It doubles with each further retry. "
            "Default 25ms; in a route, the value in `spec.retry`."
        ),
    ] = None


class RetryBudget(Group, frozen=True, kw_only=True):
    """The percentage of recent requests that may be retries."""

    percent: Annotated[
        Percent | None, Meta(description="The maximum number of retries per 100 requests. Default 20.")
    ] = None
    interval: Annotated[
        Duration | None, Meta(description="The time over which requests and retries are counted. Default 10s.")
    ] = None


class RequestRate(Group, frozen=True, kw_only=True):
    """A number of retries in an interval."""

    count: Annotated[
        Annotated[int, Meta(ge=0, le=1_000_000)] | None,
        Meta(description="The number of retries that are always allowed in each interval. Default 10."),
    ] = None
    interval: Annotated[Duration | None, Meta(description="The length of the interval. Default 1s.")] = None


class RetryConstraint(Group, frozen=True, kw_only=True):
    """A limit on the number of retries, so that retries do not multiply an overload."""

    budget: Annotated[
        RetryBudget | None, Meta(description="The percentage of recent requests that may be retries.")
    ] = None
    min_retry_rate: Annotated[
        RequestRate | None, Meta(description="The retries that are always allowed, whatever the budget.")
    ] = None


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
    """How sidecars choose a replica for a message."""

    algorithm: Annotated[
        Literal["LeastRequest", "RoundRobin", "Random", "LeastLatency", "ConsistentHash"] | None,
        Meta(
            description="LeastRequest (default): the less busy one of two random replicas. Random: a random replica. "
            "RoundRobin: one replica after the other."
        ),
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
    """Limits on the size of messages and on pending requests."""

    max_frame_size: Annotated[Size | None, Meta(description="The largest allowed message, in bytes. Default 16Mi.")] = (
        None
    )
    max_requests_per_replica: Annotated[
        Annotated[int, Meta(ge=0, le=1_000_000)] | None,
        Meta(
            description="The maximum number of requests that wait for their first response from one replica. The "
            "replica's sidecar counts those of all callers, and a caller's sidecar counts its own. Further requests "
            "wait in the sidecar's queue. Default 0: no limit."
        ),
    ] = None


class ConnectionPool(Group, frozen=True, kw_only=True):
    """The connections of a sidecar to each replica. A caller uses one of them, so its messages keep their order."""

    size: Annotated[
        Annotated[int, Meta(ge=1, le=64)] | None,
        Meta(description="The number of connections. Default: 1, and up to 4 while the replica is busy and slow."),
    ] = None


class RateLimit(Group, frozen=True, kw_only=True):
    """How many requests a caller may send."""

    requests: Annotated[Count, Meta(description="Requests in the interval, for each caller.")]
    interval: Annotated[Duration, Meta(description="The interval.")]


class Drain(Group, frozen=True, kw_only=True):
    """How long messages in flight may take after the deletion of their pod. The pod's grace period must be longer."""

    timeout: Annotated[Duration | None, Meta(description="The time for requests. Default 20s.")] = None
    stream_timeout: Annotated[
        Duration | None,
        Meta(
            description="The time for requests with several responses, at least `timeout`. Default: 25s, or "
            "`timeout` if it is longer."
        ),
    ] = None


class Tracing(Group, frozen=True, kw_only=True):
    """Which messages sidecars record in traces: a sample, and also all errors, retries and slow messages."""

    sampling_percent: Annotated[
        Annotated[
            str,
            Meta(
                pattern=r"^(100|[0-9]{1,2}(\.[0-9]{1,6})?)$",
                extra={"expected": 'a percentage in quotes from "0" to "100", without %'},
            ),
        ]
        | None,
        Meta(description='The percentage of messages to record, as a string from "0" to "100". Default "1".'),
    ] = None
    slow_threshold: Annotated[
        Duration | None, Meta(description="The duration from which a message counts as slow. Default 1s. 0s: never.")
    ] = None
