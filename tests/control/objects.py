"""Bodies as the API server gives them, for the tables of the operator's plans."""

from __future__ import annotations

from typing import Any


def tcp_service(name: str = "orders", *, uid: str = "", status: Any = None, **spec: Any) -> dict[str, Any]:
    """Make a TcpService of the namespace `shop`."""
    return {
        "apiVersion": "tcpservice.dev/v1alpha1",
        "kind": "TcpService",
        "metadata": {"name": name, "namespace": "shop", "uid": uid or f"uid-{name}", "generation": 3},
        "spec": {"selector": {"app": name}, "port": 3001, "targetPort": "nestjs", **spec},
        **({"status": status} if status else {}),
    }


def service(name: str = "orders", *, ours: bool = False, **spec: Any) -> dict[str, Any]:
    """Make a Service; by default one that somebody made for the pods of `orders`."""
    labels = {"app.kubernetes.io/managed-by": "tcpservice-operator"} if ours else {}
    ports = [{"name": "nestjs", "port": 3001, "targetPort": "nestjs"}]
    return {
        "metadata": {"name": name, "namespace": "shop", "uid": f"uid-service-{name}", "labels": labels},
        "spec": {"clusterIP": "198.19.0.5", "selector": {"app": "orders"}, "ports": ports, **spec},
    }


def pod(
    name: str,
    *,
    app: str = "orders",
    ready: bool = True,
    injected: bool = True,
    leaving: bool = False,
    inject: str = "",
    calls: str | None = None,
    arguments: list[str] | None = None,
    annotations: dict[str, str] | None = None,
    crashing: bool = False,
    target: str | int = "nestjs",
    labels: dict[str, str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Make a pod of a Deployment; `target` is what its sidecar was made for: the name of the app's port, or 3001."""
    front = target if isinstance(target, str) else f"tcps-{target}"
    port = "nestjs-app" if injected and front == "nestjs" else "nestjs"
    containers = [{"name": "app", "ports": [{"name": port, "containerPort": 3001}]}]
    ports = [{"name": front, "containerPort": 15820}, {"name": "tcps-mesh", "containerPort": 15801}]
    sidecar: list[dict[str, Any]] = [{"name": "tcpservice-sidecar", "restartPolicy": "Always", "ports": ports}]
    if not injected:
        sidecar = []
    if arguments is not None:
        sidecar[0]["args"] = arguments
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": "shop",
        "uid": f"uid-{name}",
        "labels": {"app": app, **({"tcpservice.dev/inject": inject} if inject else {}), **(labels or {})},
        "annotations": {**({} if calls is None else {"tcpservice.dev/calls": calls}), **(annotations or {})},
        "ownerReferences": [{"kind": "ReplicaSet", "name": f"{app}-5d9f"}],
    }
    if leaving:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {
        "metadata": metadata,
        "spec": {"containers": containers, "initContainers": sidecar, **more},
        "status": {
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}} if crashing else {}}],
        },
    }


def listed(name: str, address: str, *, uid: str = "") -> dict[str, Any]:
    """Make an endpoint of a slice: a pod that is ready."""
    return {
        "addresses": [address],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "targetRef": {"kind": "Pod", "name": name, "uid": uid or f"uid-{name}"},
        "zone": "west",
    }


def endpoint_slice(
    name: str,
    *endpoints: dict[str, Any],
    service: str = "orders-replicas",
    mesh: int | None = 15801,
    family: str = "IPv4",
    revision: int = 1,
) -> dict[str, Any]:
    """Make a slice of a headless Service; `mesh` None: its pods have no sidecar."""
    labels = {"kubernetes.io/service-name": service}
    ports = [{"name": "app", "port": 3001}] + ([{"name": "mesh", "port": mesh}] if mesh else [])
    return {
        "metadata": {"name": name, "namespace": "shop", "labels": labels, "resourceVersion": str(revision)},
        "addressType": family,
        "endpoints": list(endpoints),
        "ports": ports,
    }


def namespace(name: str = "shop", **labels: str) -> dict[str, Any]:
    """Make a namespace; `inject` is the label of that name."""
    return {"metadata": {"name": name, "labels": {f"tcpservice.dev/{key}": value for key, value in labels.items()}}}


def network_policy(*rules: dict[str, Any], name: str = "closed", **more: Any) -> dict[str, Any]:
    """Make a NetworkPolicy for all pods, which lets in whom the rules name."""
    spec = {"podSelector": {}, "policyTypes": ["Ingress"], **({"ingress": list(rules)} if rules else {}), **more}
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": spec}
