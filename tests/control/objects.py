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
    name: str, *, app: str = "orders", ready: bool = True, injected: bool = True, leaving: bool = False, **more: Any
) -> dict[str, Any]:
    """Make a pod of a Deployment."""
    containers = [{"name": "app", "ports": [{"name": "nestjs", "containerPort": 3001}]}]
    sidecar = [{"name": "tcpservice-sidecar", "restartPolicy": "Always"}] if injected else []
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": "shop",
        "uid": f"uid-{name}",
        "labels": {"app": app},
        "ownerReferences": [{"kind": "ReplicaSet", "name": f"{app}-5d9f"}],
    }
    if leaving:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {
        "metadata": metadata,
        "spec": {"containers": containers, "initContainers": sidecar, **more},
        "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
    }
