"""The part of Kubernetes' own kinds that local mode reads: Deployment, Service, ConfigMap.

Used by `manifests`, which checks documents against these types. The types are Kubernetes', so fields not listed here
are left alone.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from tcpservice.spec.leaves import Label

_TEXT = Meta(extra={"expected": 'text such as "3001"'})
EnvText = Annotated[str, _TEXT]
Port = Annotated[int, Meta(ge=1, le=65535, extra={"expected": "a port from 1 to 65535"})]
PortOrName = Annotated[Port | str, Meta(extra={"expected": "the number of a port or its name"})]
Words = Annotated[tuple[EnvText, ...], Meta(extra={"expected": 'a list of texts such as ["node", "main.js"]'})]


class Kind(Struct, frozen=True, kw_only=True, rename="camel"):
    """An object of Kubernetes, as far as it is listed."""


class Metadata(Kind, frozen=True, kw_only=True):
    """An object's name."""

    name: str
    namespace: Label | None = None
    labels: dict[str, EnvText | None] | None = None
    annotations: dict[str, EnvText] | None = None


class Texts(Kind, frozen=True, kw_only=True):
    """The labels and annotations of an object, whose names are checked elsewhere."""

    labels: dict[str, EnvText | None] | None = None
    annotations: dict[str, EnvText | None] | None = None


class Labelled(Kind, frozen=True, kw_only=True):
    """An object of any kind, as far as its labels and annotations."""

    metadata: Texts | None = None


class FieldRef(Kind, frozen=True, kw_only=True):
    """A field of the pod itself."""

    field_path: str


class KeyRef(Kind, frozen=True, kw_only=True):
    """A key of a ConfigMap or Secret."""

    name: str
    key: str
    optional: bool | None = None


class ValueFrom(Kind, frozen=True, kw_only=True):
    """Where a variable's value comes from."""

    field_ref: FieldRef | None = None
    config_map_key_ref: KeyRef | None = None
    secret_key_ref: KeyRef | None = None


class EnvVar(Kind, frozen=True, kw_only=True):
    """A variable of the container."""

    name: str
    value: EnvText | None = None
    value_from: ValueFrom | None = None


class SourceRef(Kind, frozen=True, kw_only=True):
    """A ConfigMap or Secret as a whole."""

    name: str
    optional: bool | None = None


class EnvFrom(Kind, frozen=True, kw_only=True):
    """Variables from all keys of a ConfigMap or Secret."""

    prefix: EnvText | None = None
    config_map_ref: SourceRef | None = None
    secret_ref: SourceRef | None = None


class ContainerPort(Kind, frozen=True, kw_only=True):
    """A port on which the container listens."""

    container_port: Port
    name: str | None = None


class TcpSocket(Kind, frozen=True, kw_only=True):
    """A probe that connects."""

    port: PortOrName


class HttpGet(Kind, frozen=True, kw_only=True):
    """A probe that asks by HTTP; any status from 200 to 399 is good."""

    port: PortOrName
    path: EnvText | None = None
    scheme: Literal["HTTP", "HTTPS"] | None = None


Seconds = Annotated[int, Meta(ge=0, le=86_400)]
Times = Annotated[int, Meta(ge=1, le=1000)]


class Probe(Kind, frozen=True, kw_only=True):
    """How one finds out whether the app is ready."""

    tcp_socket: TcpSocket | None = None
    http_get: HttpGet | None = None
    period_seconds: Seconds | None = None
    timeout_seconds: Seconds | None = None
    failure_threshold: Times | None = None


_ENV = 'a list such as [{name: PORT, value: "3001"}]'
_PORTS = "a list such as [{name: nestjs, containerPort: 3001}]"
_PORT = Meta(extra={"expected": "a mapping such as {name: nestjs, containerPort: 3001}"})
_CONTAINERS = Meta(min_length=1, max_length=64, extra={"expected": "a list of at least one container"})


class Container(Kind, frozen=True, kw_only=True):
    """One program of a pod."""

    name: str
    command: Words | None = None
    args: Words | None = None
    env: Annotated[tuple[EnvVar, ...], Meta(extra={"expected": _ENV})] | None = None
    env_from: tuple[EnvFrom, ...] | None = None
    ports: Annotated[tuple[Annotated[ContainerPort, _PORT], ...], Meta(extra={"expected": _PORTS})] | None = None
    readiness_probe: Probe | None = None


class PodSpec(Kind, frozen=True, kw_only=True):
    """The programs of a pod."""

    containers: Annotated[tuple[Container, ...], _CONTAINERS]
    termination_grace_period_seconds: Seconds | None = None
    service_account_name: str | None = None


class TemplateMetadata(Kind, frozen=True, kw_only=True):
    """What all pods of a Deployment have in common."""

    labels: dict[str, EnvText] | None = None
    annotations: dict[str, EnvText] | None = None


class Template(Kind, frozen=True, kw_only=True):
    """A pod to be made."""

    metadata: TemplateMetadata | None = None
    spec: PodSpec


_REPLICAS = "an integer from 0 to 1000"


class LabelSelector(Kind, frozen=True, kw_only=True):
    """Which pods belong to a Deployment."""

    match_labels: dict[str, EnvText] | None = None


class DeploymentSpec(Kind, frozen=True, kw_only=True):
    """How many pods of which kind."""

    replicas: Annotated[int, Meta(ge=0, le=1000, extra={"expected": _REPLICAS})] | None = None
    selector: LabelSelector | None = None
    template: Template


class Deployment(Kind, frozen=True, kw_only=True):
    """Pods that are all alike."""

    api_version: Literal["apps/v1"]
    kind: Literal["Deployment"]
    metadata: Metadata
    spec: DeploymentSpec


class ServicePort(Kind, frozen=True, kw_only=True):
    """A port of a Service, and the container's port to which it leads."""

    port: Port
    name: str | None = None
    target_port: PortOrName | None = None


_LABEL = Meta(extra={"expected": 'text such as "1" (selector has labels directly, without matchLabels)'})


class ServiceSpec(Kind, frozen=True, kw_only=True):
    """Which pods a Service means."""

    type: EnvText | None = None
    cluster_ip: EnvText | None = field(name="clusterIP", default=None)
    selector: dict[str, Annotated[str, _LABEL]] | None = None
    ports: (
        Annotated[tuple[ServicePort, ...], Meta(extra={"expected": "a list such as [{name: http, port: 80}]"})] | None
    ) = None


class Service(Kind, frozen=True, kw_only=True):
    """A name for pods; a TcpService of the same name may take its selector."""

    api_version: Literal["v1"]
    kind: Literal["Service"]
    metadata: Metadata
    spec: ServiceSpec | None = None


class ConfigMap(Kind, frozen=True, kw_only=True):
    """Texts by key."""

    api_version: Literal["v1"]
    kind: Literal["ConfigMap"]
    metadata: Metadata
    data: dict[str, EnvText] | None = None
