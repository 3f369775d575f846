"""The TcpService: what people write, as types.

Used by `check` (which fields there are, and what they expect), by `assemble` (typed values), and for the generated
CustomResourceDefinition; a field's description is what `kubectl explain` shows.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

from tcpservice.spec.leaves import Group, Label, LabelName, LabelValue, Port, PortName, ServiceName
from tcpservice.spec.policies import (
    ConnectionPool,
    Drain,
    Limits,
    LoadBalancing,
    OutlierDetection,
    RateLimit,
    Retry,
    RetryConstraint,
    ServiceTimeouts,
    Tracing,
)
from tcpservice.spec.routes import Access, Route

GROUP: Final = "tcpservice.dev"
LONGEST_MESSAGE: Final = 4096


class Metadata(Struct, frozen=True, kw_only=True, rename="camel"):
    """The object's name; the rest is Kubernetes' own and not read."""

    name: ServiceName
    namespace: Label | None = None


class Injection(Group, frozen=True, kw_only=True):
    """How pods get the sidecar."""

    restart: Annotated[
        Literal["Manual", "Evict"] | None,
        Meta(description="Evict: pods that lack it are evicted, by one, within disruption budgets. Default Manual."),
    ] = None


class CallerNamespaces(Group, frozen=True, kw_only=True):
    """Namespaces, beside that of the TcpService."""

    from_: Annotated[
        Literal["Same", "All", "Selector"] | None,
        Meta(description="Same: none. All: every one. Selector: those with the labels of selector. Default Same."),
    ] = field(name="from", default=None)
    selector: Annotated[
        Annotated[
            dict[LabelName, LabelValue],
            Meta(min_length=1, extra={"expected": "labels of namespaces such as {team: billing}"}),
        ]
        | None,
        Meta(description="Labels of the namespaces, with from: Selector."),
    ] = None


class AllowedCallers(Group, frozen=True, kw_only=True):
    """Which pods of other namespaces may call through their sidecars."""

    namespaces: Annotated[CallerNamespaces | None, Meta(description="The namespaces of these pods.")] = None


class Spec(Group, frozen=True, kw_only=True):
    """What people want."""

    selector: Annotated[
        Annotated[
            dict[LabelName, LabelValue],
            Meta(min_length=1, extra={"expected": "labels of the pods such as {app: orders}"}),
        ]
        | None,
        Meta(description="Labels of the pods that serve. Default: those of the Service of the same name."),
    ] = None
    port: Annotated[Port, Meta(description="What callers dial.")]
    target_port: Annotated[
        Port | PortName | None,
        Meta(
            description="The port of the pods' container: its name (best) or its number. "
            "Default: what the Service of this name targets, else port.",
            extra={"expected": "a port from 1 to 65535 or the name of a container's port"},
        ),
    ] = None
    protocol: Annotated[
        Literal["NestJS", "Opaque"] | None,
        Meta(description="Opaque: bytes are relayed as they are, balanced per connection. Default NestJS."),
    ] = None
    timeouts: Annotated[ServiceTimeouts | None, Meta(description="How long things may take.")] = None
    load_balancing: Annotated[LoadBalancing | None, Meta(description="How a replica is chosen for a message.")] = None
    retry: Annotated[Retry | None, Meta(description="How a request is tried again.")] = None
    retry_constraint: Annotated[RetryConstraint | None, Meta(description="How many requests may be retries.")] = None
    connection_pool: Annotated[ConnectionPool | None, Meta(description="The connections to each endpoint.")] = None
    outlier_detection: Annotated[
        OutlierDetection | None, Meta(description="When a replica that fails is left alone for a while.")
    ] = None
    limits: Annotated[
        Limits | None, Meta(description="Bounds that keep one message or one replica from hurting the rest.")
    ] = None
    rate_limit: Annotated[RateLimit | None, Meta(description="How many requests a caller may send.")] = None
    drain: Annotated[Drain | None, Meta(description="How long messages in flight may take once a replica leaves.")] = (
        None
    )
    tracing: Annotated[Tracing | None, Meta(description="Which messages leave a trace.")] = None
    routes: Annotated[
        Annotated[tuple[Route, ...], Meta(max_length=256)] | None,
        Meta(description="Rules for the messages of some patterns."),
    ] = None
    access: Annotated[Access | None, Meta(description="Who may call.")] = None
    allowed_callers: Annotated[
        AllowedCallers | None, Meta(description="Pods of other namespaces that may call. Default: none.")
    ] = None
    injection: Annotated[Injection | None, Meta(description="How pods get the sidecar.")] = None


class ReplicaCounts(Struct, frozen=True, kw_only=True, rename="camel"):
    """How many replicas there are."""

    total: Annotated[int, Meta(description="All of them.", ge=0, le=1_000_000)]
    ready: Annotated[int, Meta(description="Those that take messages.", ge=0, le=1_000_000)]
    injected: Annotated[int, Meta(description="Those that have the sidecar.", ge=0, le=1_000_000)]


class Condition(Struct, frozen=True, kw_only=True, rename="camel"):
    """One aspect of the state, as in all of Kubernetes."""

    type: Annotated[str, Meta(description="Which aspect: Accepted, Programmed, InboundReady, Injected or Ready.")]
    status: Annotated[Literal["True", "False", "Unknown"], Meta(description="Whether it holds.")]
    reason: Annotated[str, Meta(description="Why, in one CamelCase word.")]
    message: Annotated[str, Meta(description="Why, for people.", max_length=LONGEST_MESSAGE)]
    last_transition_time: Annotated[str, Meta(description="When the status last changed.")]
    observed_generation: Annotated[
        Annotated[int, Meta(ge=0, le=(1 << 53) - 1)] | None, Meta(description="The generation that it is about.")
    ] = None


class Status(Struct, frozen=True, kw_only=True, rename="camel"):
    """What is, as the operator found it."""

    observed_generation: Annotated[
        Annotated[int, Meta(ge=0, le=(1 << 53) - 1)] | None, Meta(description="The generation that it is about.")
    ] = None
    replicas: Annotated[ReplicaCounts | None, Meta(description="How many replicas there are.")] = None
    conditions: Annotated[
        Annotated[tuple[Condition, ...], Meta(max_length=16)] | None, Meta(description="The aspects of the state.")
    ] = None


class TcpService(Group, frozen=True, kw_only=True):
    """A service whose messages are balanced one by one over its replicas."""

    api_version: Literal["tcpservice.dev/v1alpha1"]
    kind: Literal["TcpService"]
    metadata: Metadata
    spec: Annotated[Spec, Meta(description="What people want.")]
    status: Annotated[Status | None, Meta(description="What is, as the operator found it.")] = None
