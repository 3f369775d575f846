"""The documents of the Services that a TcpService needs: the Service of its name, and the headless `<name>-replicas`.

Used by `plan` and `reconciler`. The operator never edits a Service that it did not create.

The TcpService owns the Service of its name: the garbage collector deletes both together. If another client writes that
Service later, the operator no longer manages it, and the Service stays when the TcpService is deleted. The TcpService
does not own `<name>-replicas`, because sidecars resolve it while the operator does not respond. If it were deleted with
the TcpService or the CRD, sidecars would resolve the Service of the TcpService's name instead, which leads to sidecars.
The operator releases `<name>-replicas` to the garbage collector once no sidecar resolves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tcpservice.spec.schema import GROUP
from tcpservice_operator.api.names import FIELD_MANAGER, MADE_FOR_LABEL, MANAGED_BY_LABEL, VERSION
from tcpservice_operator.api.plain_objects import Key, Labels
from tcpservice_operator.cache.endpoints import REPLICAS_SUFFIX
from tcpservice_operator.cache.objects import Pod, Service, TcpService
from tcpservice_operator.cache.targets import (
    MESH_NUMBER,
    MESH_PORT,
    inbound_port_name,
    target_of,
    with_inbound_listener,
)

Document = dict[str, Any]


def services_for(
    tcp_service: TcpService, selector: Labels, existing: Service | None, pods: Sequence[Pod]
) -> list[Document]:
    """Return the Services to apply, with all fields that the operator owns."""
    target = target_of(tcp_service, existing)
    documents = [_replicas(tcp_service, selector, target)]
    if existing is None or existing.ours:
        documents.insert(0, _callers_service(tcp_service, selector, target, pods))
    return documents


def _callers_service(tcp_service: TcpService, selector: Labels, target: str | int, pods: Sequence[Pod]) -> Document:
    """Return the Service that callers dial.

    It targets the inbound listeners if every ready replica has one; a target port name leads to them in any case.
    """
    ready = [pod for pod in pods if pod.ready and not pod.leaving]
    if ready and len(with_inbound_listener(tcp_service, target, ready)) == len(ready):
        target = inbound_port_name(target)
    ports = [{"name": "nestjs", "port": tcp_service.document["spec"]["port"], "targetPort": target, "protocol": "TCP"}]
    document = _service(tcp_service.key, tcp_service.key[1], {"selector": dict(selector), "ports": ports})
    document["metadata"]["ownerReferences"] = [_owner(tcp_service.key[1], tcp_service.uid)]
    return document


def _replicas(tcp_service: TcpService, selector: Labels, target: str | int) -> Document:
    """Return the headless Service, whose EndpointSlices list the replicas, and which of them have a sidecar."""
    ports = [
        {"name": "app", "port": tcp_service.document["spec"]["port"], "targetPort": target, "protocol": "TCP"},
        {"name": "mesh", "port": MESH_NUMBER, "targetPort": MESH_PORT, "protocol": "TCP"},
    ]
    name = tcp_service.key[1] + REPLICAS_SUFFIX
    document = _service(tcp_service.key, name, {"clusterIP": "None", "selector": dict(selector), "ports": ports})
    document["metadata"]["labels"][MADE_FOR_LABEL] = tcp_service.uid
    return document


def release_of(service: Service, name: str) -> Document:
    """Return the merge patch that lets the garbage collector delete `<name>-replicas`.

    The patch sets the deleted TcpService as the owner, and the collector deletes objects whose owner does not exist. So
    the operator needs no right to delete Services.
    """
    namespace, own_name = service.key
    metadata = {"name": own_name, "namespace": namespace, "uid": service.uid}
    return {"metadata": {**metadata, "ownerReferences": [_owner(name, service.made_for)]}}


def without_owner(service: Service) -> Document:
    """Return the merge patch after which a Service is not deleted with a TcpService."""
    namespace, name = service.key
    return {"metadata": {"name": name, "namespace": namespace, "uid": service.uid, "ownerReferences": []}}


def _service(key: Key, name: str, spec: Document) -> Document:
    metadata = {"name": name, "namespace": key[0], "labels": {MANAGED_BY_LABEL: FIELD_MANAGER}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def _owner(name: str, uid: str) -> Document:
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "TcpService", "name": name, "uid": uid, "controller": True}
