"""What a TcpService says of some patterns, as types: its routes, and who may call them.

Part of `schema`. A field's description is what `kubectl explain` shows.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from tcpservice.spec.leaves import Group, Label, ServiceName
from tcpservice.spec.policies import Retry, Timeouts


class Match(Group, frozen=True, kw_only=True):
    """The messages to which a route applies."""

    type: Annotated[
        Literal["Exact", "Prefix"],
        Meta(description="Exact: the pattern of the message equals `pattern`. Prefix: it begins with `pattern`."),
    ]
    pattern: Annotated[
        str,
        Meta(
            description="The pattern of the NestJS handler: a string, or JSON. A prefix is compared as text.",
            min_length=1,
            max_length=1024,
            extra={"expected": """text such as order.created or '{"cmd":"sum"}'"""},
        ),
    ]


class Fallback(Group, frozen=True, kw_only=True):
    """What the caller gets when all else failed."""

    type: Annotated[Literal["Response"], Meta(description="Response: a fixed value.")]
    response: Annotated[str, Meta(description="The value, as JSON text.", max_length=65536)]


class BackendRef(Group, frozen=True, kw_only=True):
    """A TcpService of the same namespace, and its share of the messages."""

    name: Annotated[ServiceName, Meta(description="The TcpService.")]
    weight: Annotated[
        Annotated[int, Meta(ge=0, le=1_000_000)] | None,
        Meta(description="Its share, relative to the others'. Default 1."),
    ] = None


class Route(Group, frozen=True, kw_only=True):
    """Policies for the messages of some patterns. Fields that are not set have the values of the TcpService."""

    name: Annotated[Label, Meta(description="The name of the route in traces and metrics.")]
    match: Annotated[
        Match,
        Meta(
            description="The messages of this route. Exact patterns have precedence over prefixes, and longer "
            "prefixes over shorter ones."
        ),
    ]
    idempotent: Annotated[
        bool | None,
        Meta(
            description="Whether a request may run twice. Sidecars retry a request that may have run only if this is "
            "true. Default false."
        ),
    ] = None
    timeouts: Annotated[
        Timeouts | None,
        Meta(description="Timeouts of this route. Fields that are not set have the values of `spec.timeouts`."),
    ] = None
    retry: Annotated[
        Retry | None,
        Meta(description="Retries of this route. Fields that are not set have the values of `spec.retry`."),
    ] = None
    fallback: Annotated[Fallback | None, Meta(description="The answer when all else failed.")] = None
    delivery: Annotated[
        Literal["OneReplica", "AllReplicas"] | None,
        Meta(description="How many replicas get an event. Default OneReplica."),
    ] = None
    backend_refs: Annotated[
        Annotated[tuple[BackendRef, ...], Meta(max_length=16)] | None,
        Meta(description="Other TcpServices that take a share of the messages."),
    ] = None


class Source(Group, frozen=True, kw_only=True):
    """A caller."""

    namespace: Annotated[Label, Meta(description="Its namespace.")]
    service_account: Annotated[
        Annotated[str, Meta(min_length=1, max_length=253)] | None, Meta(description="Its ServiceAccount. Default: any.")
    ] = None


class AccessRule(Group, frozen=True, kw_only=True):
    """Callers, and what they may send."""

    name: Annotated[Label, Meta(description="What logs call the rule.")]
    from_: Annotated[
        Annotated[tuple[Source, ...], Meta(max_length=64)] | None, Meta(description="The callers. Default: all.")
    ] = field(name="from", default=None)
    to: Annotated[
        Annotated[tuple[Match, ...], Meta(max_length=64)] | None, Meta(description="The patterns. Default: all.")
    ] = None


class Access(Group, frozen=True, kw_only=True):
    """Who may call."""

    mode: Annotated[
        Literal["Disabled", "Audit", "Enforce"] | None,
        Meta(description="Audit only reports what Enforce would refuse. Default Disabled."),
    ] = None
    rules: Annotated[
        Annotated[tuple[AccessRule, ...], Meta(max_length=64)] | None, Meta(description="What is allowed.")
    ] = None
