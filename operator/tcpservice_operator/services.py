"""The Services that a TcpService needs: the one of its name where nobody made it, and the headless one of its replicas.

Used by `planning`. A Service that somebody else made is used as it is, and never edited.

The TcpService owns the Service of its name: the garbage collector deletes both. The TcpService does not own
`<name>-replicas`, which sidecars resolve while the operator is silent: if it were deleted with the TcpService or its
CRD, sidecars would resolve the Service of the TcpService's name, which leads to sidecars. The operator releases
`<name>-replicas` to the garbage collector once no sidecar resolves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tcpservice.spec.schema import GROUP
from tcpservice_operator.crd import VERSION
from tcpservice_operator.endpoints import REPLICAS_SUFFIX
from tcpservice_operator.objects import MADE_FOR, MANAGED_BY, OWNER, Key, Labels, Pod, Service, Wanted

MESH_PORT: Final = "tcps-mesh"
MESH_NUMBER: Final = 15801
"""The number that the mesh port has in the headless Service; DNS names resolve to pods, and nobody dials this one."""

Document = dict[str, Any]


def services_for(wanted: Wanted, selector: Labels, existing: Service | None, pods: Sequence[Pod]) -> list[Document]:
    """Return the Services to apply, as whole as the operator owns them."""
    target = target_of(wanted, existing)
    documents = [_replicas(wanted, selector, target)]
    if existing is None or existing.ours:
        documents.insert(0, _front(wanted, selector, target, pods))
    return documents


def target_of(wanted: Wanted, existing: Service | None) -> str | int:
    """Return the port of the pods, a container's port name or a number: its own, else what its Service targets."""
    own: str | int | None = wanted.sound["spec"].get("targetPort")
    dialled: int = wanted.sound["spec"]["port"]
    if own is not None or existing is None or existing.ours:
        return own or dialled
    return next((port.target for port in existing.ports if port.port == dialled and port.target), dialled)


def front_name(target: str | int) -> str:
    """Return the name of the sidecar's port for a target: the very name, or for a number one of its own."""
    return target if isinstance(target, str) else f"tcps-{target}"


def fronted(wanted: Wanted, target: str | int, pods: Sequence[Pod]) -> list[Pod]:
    """Return the pods whose sidecar takes callers where a Service finds it: one may be older than the target."""
    return [pod for pod in pods if pod.has_front(wanted.key) and front_name(target) in dict(pod.sidecar_ports)]


def _front(wanted: Wanted, selector: Labels, target: str | int, pods: Sequence[Pod]) -> Document:
    """Make the Service that callers dial; a target by number becomes the front once every ready replica has one."""
    ready = [pod for pod in pods if pod.ready and not pod.leaving]
    if ready and len(fronted(wanted, target, ready)) == len(ready):
        target = front_name(target)
    ports = [{"name": "nestjs", "port": wanted.document["spec"]["port"], "targetPort": target, "protocol": "TCP"}]
    document = _service(wanted.key, wanted.key[1], {"selector": dict(selector), "ports": ports})
    document["metadata"]["ownerReferences"] = [_owner(wanted.key[1], wanted.uid)]
    return document


def _replicas(wanted: Wanted, selector: Labels, target: str | int) -> Document:
    """Make the headless Service, whose slices tell which replicas there are and which of them have a sidecar."""
    ports = [
        {"name": "app", "port": wanted.document["spec"]["port"], "targetPort": target, "protocol": "TCP"},
        {"name": "mesh", "port": MESH_NUMBER, "targetPort": MESH_PORT, "protocol": "TCP"},
    ]
    name = wanted.key[1] + REPLICAS_SUFFIX
    document = _service(wanted.key, name, {"clusterIP": "None", "selector": dict(selector), "ports": ports})
    document["metadata"]["labels"][MADE_FOR] = wanted.uid
    return document


def release_of(service: Service, name: str) -> Document:
    """Return the change (a merge patch) that lets the garbage collector delete `<name>-replicas`.

    The collector deletes what has an owner that does not exist: the TcpService, which is gone. So the operator needs no
    right to delete Services.
    """
    namespace, own_name = service.key
    metadata = {"name": own_name, "namespace": namespace, "uid": service.uid}
    return {"metadata": {**metadata, "ownerReferences": [_owner(name, service.made_for)]}}


def _service(key: Key, name: str, spec: Document) -> Document:
    metadata = {"name": name, "namespace": key[0], "labels": {MANAGED_BY: OWNER}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def _owner(name: str, uid: str) -> Document:
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "TcpService", "name": name, "uid": uid, "controller": True}
