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
    """How running pods that lack the sidecar get it."""

    restart: Annotated[
        Literal["Manual", "Evict"] | None,
        Meta(
            description="Manual (default): pods without the sidecar run until you recreate them. Evict: the operator "
            "evicts them, one at a time and within their disruption budgets."
        ),
    ] = None


class CallerNamespaces(Group, frozen=True, kw_only=True):
    """The other namespaces whose pods may call. Pods of the TcpService's own namespace always may."""

    from_: Annotated[
        Literal["Same", "All", "Selector"] | None,
        Meta(
            description="Same (default): no other namespace. All: all namespaces. Selector: namespaces with the "
            "labels of `selector`."
        ),
    ] = field(name="from", default=None)
    selector: Annotated[
        Annotated[
            dict[LabelName, LabelValue],
            Meta(min_length=1, extra={"expected": "labels of namespaces such as {team: billing}"}),
        ]
        | None,
        Meta(description="The labels of the namespaces. Required with `from: Selector`, and not allowed otherwise."),
    ] = None


class AllowedCallers(Group, frozen=True, kw_only=True):
    """Which pods of other namespaces may call the TcpService through their sidecars."""

    namespaces: Annotated[CallerNamespaces | None, Meta(description="The other namespaces whose pods may call.")] = None


class Spec(Group, frozen=True, kw_only=True):
    """The desired state of the TcpService."""

    selector: Annotated[
        Annotated[
            dict[LabelName, LabelValue],
            Meta(min_length=1, extra={"expected": "labels of the pods such as {app: orders}"}),
        ]
        | None,
        Meta(
            description="The labels of the pods that serve the messages. Default: the selector of the Service of the "
            "same name."
        ),
    ] = None
    port: Annotated[Port, Meta(description="The port that callers connect to.")]
    target_port: Annotated[
        Port | PortName | None,
        Meta(
            description="The port of the app's container: its name (recommended) or its number. "
            "Default: the target port of the Service of the same name, or `port` if there is none.",
            extra={"expected": "a port from 1 to 65535 or the name of a container's port"},
        ),
    ] = None
    protocol: Annotated[
        Literal["NestJS", "Opaque"] | None,
        Meta(
            description="NestJS (default): sidecars balance each message. Opaque: sidecars relay the bytes "
            "unchanged, and balance each connection."
        ),
    ] = None
    timeouts: Annotated[ServiceTimeouts | None, Meta(description="Timeouts of requests and connections.")] = None
    load_balancing: Annotated[
        LoadBalancing | None, Meta(description="How sidecars choose a replica for a message.")
    ] = None
    retry: Annotated[Retry | None, Meta(description="How sidecars retry requests.")] = None
    retry_constraint: Annotated[
        RetryConstraint | None,
        Meta(description="A limit on the number of retries, so that retries do not multiply an overload."),
    ] = None
    connection_pool: Annotated[
        ConnectionPool | None, Meta(description="The connections of a sidecar to each replica.")
    ] = None
    outlier_detection: Annotated[
        OutlierDetection | None, Meta(description="When a replica that fails is left alone for a while.")
    ] = None
    limits: Annotated[Limits | None, Meta(description="Limits on the size of messages and on pending requests.")] = None
    rate_limit: Annotated[RateLimit | None, Meta(description="How many requests a caller may send.")] = None
    drain: Annotated[
        Drain | None, Meta(description="How long messages in flight may take after the deletion of their pod.")
    ] = None
    tracing: Annotated[Tracing | None, Meta(description="Which messages sidecars record in traces.")] = None
    routes: Annotated[
        Annotated[tuple[Route, ...], Meta(max_length=256)] | None,
        Meta(description="Policies for the messages of some patterns. They override those of the TcpService."),
    ] = None
    access: Annotated[Access | None, Meta(description="Who may call.")] = None
    allowed_callers: Annotated[
        AllowedCallers | None,
        Meta(description="Pods of other namespaces that may call through their sidecars. Default: none."),
    ] = None
    injection: Annotated[Injection | None, Meta(description="How running pods that lack the sidecar get it.")] = None


class ReplicaCounts(Struct, frozen=True, kw_only=True, rename="camel"):
    """The numbers of replicas."""

    total: Annotated[int, Meta(description="The number of replicas.", ge=0, le=1_000_000)]
    ready: Annotated[int, Meta(description="The number of replicas that are ready.", ge=0, le=1_000_000)]
    injected: Annotated[int, Meta(description="The number of replicas that have the sidecar.", ge=0, le=1_000_000)]


class Condition(Struct, frozen=True, kw_only=True, rename="camel"):
    """One aspect of the state, as in other Kubernetes objects."""

    type: Annotated[str, Meta(description="Accepted, Programmed, InboundReady, Injected or Ready.")]
    status: Annotated[Literal["True", "False", "Unknown"], Meta(description="Whether the condition holds.")]
    reason: Annotated[str, Meta(description="The reason for the status, as one CamelCase word.")]
    message: Annotated[
        str,
        Meta(description="The reason for the status in words, with the fix of a problem.", max_length=LONGEST_MESSAGE),
    ]
    last_transition_time: Annotated[str, Meta(description="The time when the status last changed.")]
    observed_generation: Annotated[
        Annotated[int, Meta(ge=0, le=(1 << 53) - 1)] | None,
        Meta(description="The `metadata.generation` that the operator has observed."),
    ] = None


class Status(Struct, frozen=True, kw_only=True, rename="camel"):
    """The observed state of the TcpService. Only the operator writes it."""

    observed_generation: Annotated[
        Annotated[int, Meta(ge=0, le=(1 << 53) - 1)] | None,
        Meta(description="The `metadata.generation` that the operator has observed."),
    ] = None
    replicas: Annotated[ReplicaCounts | None, Meta(description="The numbers of replicas.")] = None
    conditions: Annotated[
        Annotated[tuple[Condition, ...], Meta(max_length=16)] | None,
        Meta(description="The aspects of the state. docs/conditions.md explains each reason."),
    ] = None


class TcpService(Group, frozen=True, kw_only=True):
    """A service of the NestJS TCP transport whose messages sidecars balance one by one over its replicas."""

    api_version: Literal["tcpservice.dev/v1alpha1"]
    kind: Literal["TcpService"]
    metadata: Metadata
    spec: Annotated[Spec, Meta(description="The desired state of the TcpService.")]
    status: Annotated[
        Status | None, Meta(description="The observed state of the TcpService. Only the operator writes it.")
    ] = None
