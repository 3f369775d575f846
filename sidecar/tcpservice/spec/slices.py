"""The part of `discovery.k8s.io/v1` EndpointSlice that is read: where the replicas of a service are.

Used by `check` and `replicas`. The type is Kubernetes' own, so fields not listed here are left alone.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from tcpservice.spec.leaves import Label, Port

SERVICE_LABEL: Final = "kubernetes.io/service-name"


class Conditions(Struct, frozen=True, kw_only=True):
    """A replica's state; what is left out is unknown, which counts as good."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class TargetRef(Struct, frozen=True, kw_only=True):
    """The pod behind an address."""

    name: str | None = None
    uid: str | None = None


class SliceEndpoint(Struct, frozen=True, kw_only=True, rename="camel"):
    """One replica; its addresses are interchangeable."""

    addresses: Annotated[tuple[str, ...], Meta(min_length=1, max_length=100, extra={"expected": "a list of addresses"})]
    conditions: Conditions | None = None
    target_ref: TargetRef | None = None
    zone: str | None = None


class SlicePort(Struct, frozen=True, kw_only=True, rename="camel"):
    """One port of all replicas of a slice."""

    name: str | None = None
    port: Port | None = None
    protocol: Literal["TCP", "UDP", "SCTP"] | None = None


class SliceMetadata(Struct, frozen=True, kw_only=True, rename="camel"):
    """The slice's name, and the label that names its service."""

    name: str | None = None
    namespace: Label | None = None
    labels: dict[str, str] | None = None


class EndpointSlice(Struct, frozen=True, kw_only=True, rename="camel"):
    """Some replicas of a service."""

    api_version: Literal["discovery.k8s.io/v1"]
    kind: Literal["EndpointSlice"]
    metadata: SliceMetadata
    address_type: Literal["IPv4", "IPv6", "FQDN"]
    endpoints: Annotated[tuple[SliceEndpoint, ...], Meta(max_length=1000)] | None = None
    ports: Annotated[tuple[SlicePort, ...], Meta(max_length=100)] | None = None
