"""What the operator keeps of Kubernetes' objects: few fields of each, since there may be many thousands.

Made from the bodies that watches give, by `state`; read by `planning`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

SIDECAR: Final = "tcpservice-sidecar"
"""The name of the sidecar's container, by which an injected pod is known."""

OWNER: Final = "tcpservice-operator"
"""The field manager of all that the operator writes, and the value of `app.kubernetes.io/managed-by`."""

MANAGED_BY: Final = "app.kubernetes.io/managed-by"

Body = Mapping[str, Any]
Labels = Mapping[str, str]
Key = tuple[str, str]
"""Namespace and name."""


class Pod(Struct, frozen=True, kw_only=True):
    """A pod: where it is, and what it has to do with messages."""

    uid: str
    key: Key
    labels: Labels
    ready: bool
    leaving: bool
    injected: bool
    host_network: bool
    port_names: tuple[tuple[str, int], ...]
    port_numbers: tuple[int, ...]
    owner: str


class ServicePort(Struct, frozen=True, kw_only=True):
    """One port of a Service; `target` is a name, a number, or None where it is the port itself."""

    name: str
    port: int
    target: str | int | None


class Service(Struct, frozen=True, kw_only=True):
    """A Service, and whether the operator made it."""

    uid: str
    key: Key
    selector: Labels
    headless: bool
    ports: tuple[ServicePort, ...]
    ours: bool


class Wanted(Struct, frozen=True, kw_only=True):
    """A TcpService: its whole document, and what its status says by now."""

    uid: str
    key: Key
    generation: int
    document: dict[str, Any]
    status: dict[str, Any]


def key_of(body: Body) -> Key:
    """Return namespace and name of an object."""
    metadata = body["metadata"]
    return metadata["namespace"], metadata["name"]


def read_pod(body: Body) -> Pod:
    """Keep what matters of a pod."""
    metadata, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    containers = spec.get("containers") or []
    ports = [port for container in containers for port in container.get("ports") or []]
    names = {container.get("name") for container in (*containers, *(spec.get("initContainers") or []))}
    owner: Body = next(iter(metadata.get("ownerReferences") or []), {})
    return Pod(
        uid=metadata["uid"],
        key=key_of(body),
        labels=metadata.get("labels") or {},
        ready=any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions") or []),
        leaving="deletionTimestamp" in metadata,
        injected=SIDECAR in names,
        host_network=bool(spec.get("hostNetwork")),
        port_names=tuple((port["name"], port["containerPort"]) for port in ports if "name" in port),
        port_numbers=tuple(port["containerPort"] for port in ports),
        owner=f"{owner['kind']}/{owner['name']}" if owner else "",
    )


def read_service(body: Body) -> Service:
    """Keep what matters of a Service."""
    metadata, spec = body["metadata"], body["spec"]
    return Service(
        uid=metadata["uid"],
        key=key_of(body),
        selector=spec.get("selector") or {},
        headless=spec.get("clusterIP") == "None",
        ports=tuple(
            ServicePort(name=port.get("name", ""), port=port["port"], target=port.get("targetPort"))
            for port in spec.get("ports") or []
        ),
        ours=(metadata.get("labels") or {}).get(MANAGED_BY) == OWNER,
    )


def read_wanted(body: Body) -> Wanted:
    """Keep a TcpService; its document without what the API server adds."""
    metadata = body["metadata"]
    kept = {name: metadata[name] for name in ("name", "namespace")}
    document = {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": kept, "spec": body["spec"]}
    return Wanted(
        uid=metadata["uid"],
        key=key_of(body),
        generation=metadata.get("generation", 0),
        document=document,
        status=dict(body.get("status") or {}),
    )
