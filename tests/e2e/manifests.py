"""The manifests of the tests: TcpServices, and Deployments as people write them."""

from __future__ import annotations

from typing import Any

from e2e.cluster import TAG

Document = dict[str, Any]


def tcp_service(namespace: str, name: str = "orders", **spec: Any) -> Document:
    """Make a TcpService for the pods of a Deployment of the same name."""
    return {
        "apiVersion": "tcpservice.dev/v1alpha1",
        "kind": "TcpService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": name}, "port": 3001, "targetPort": "nestjs", **spec},
    }


def service(namespace: str, name: str = "orders", port: int = 3001, target: str | int = "nestjs") -> Document:
    """Make the Service of a Deployment, as people have it before there is any TcpService."""
    ports = [{"name": "nestjs", "port": port, "targetPort": target}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": name}, "ports": ports},
    }


def replicas(
    namespace: str,
    name: str = "orders",
    *,
    count: int = 3,
    major: int = 12,
    labels: Document | None = None,
    **more: Any,
) -> Document:
    """Make the Deployment of an app that serves at port 3001; `more` goes into the container."""
    probe = {"tcpSocket": {"port": "nestjs"}, "periodSeconds": 1}
    container = {"ports": [{"name": "nestjs", "containerPort": 3001}], "readinessProbe": probe, **more}
    return _deployment(namespace, name, count, major, container, {"app": name, **(labels or {})}, {})


def caller(namespace: str, name: str = "web", *, major: int = 12, sidecar: bool = True) -> Document:
    """Make the Deployment of a pod in which callers are run; it listens nowhere."""
    labels = {"app": name, **({"tcpservice.dev/inject": "enabled"} if sidecar else {})}
    waiting = "process.once('SIGTERM', () => process.exit(0)); setInterval(() => {}, 1e6)"
    container = {"command": ["node", "-e", waiting]}
    return _deployment(namespace, name, 1, major, container, labels, {"tcpservice.dev/app-ports": ""})


def on_the_node(namespace: str) -> Document:
    """Make the Deployment of a pod that sees, and may kill, the processes of all pods of its node."""
    container = {
        "image": f"tcpservice-operator:{TAG}",
        "command": ["python", "-c", "import signal; signal.pause()"],
        "securityContext": {"runAsUser": 0},
    }
    made = _deployment(namespace, "node", 1, 0, container, {"app": "node"}, {})
    made["spec"]["template"]["spec"]["hostPID"] = True
    return made


def _deployment(
    namespace: str, name: str, count: int, major: int, container: Document, labels: Document, annotations: Document
) -> Document:
    app = {"name": "app", "image": f"nest-{major}:{TAG}", **container}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": count,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": {"containers": [app]}},
        },
    }
