"""Manifests of the local mode's tests: services, each with a Deployment of `app.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

APP = Path(__file__).with_name("app.py")
HYBRID = Path(__file__).with_name("hybrid.py")


def tcp_service(name: str, port: int, **spec: object) -> dict[str, Any]:
    """Make a TcpService in the namespace `shop`."""
    return {
        "apiVersion": "tcpservice.dev/v1alpha1",
        "kind": "TcpService",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"selector": {"app": name}, "port": port, "targetPort": "nestjs", **spec},
    }


def deployment(
    name: str, *, replicas: int = 1, container: dict[str, Any] | None = None, **spec: object
) -> dict[str, Any]:
    """Make a Deployment of the app in the namespace `shop`."""
    program = {
        "name": "app",
        "image": f"registry.example.com/{name}:1",
        "command": ["python3", str(APP)],
        "ports": [{"name": "nestjs", "containerPort": 3001}],
        **(container or {}),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [program], **spec}},
        },
    }


def port(number: int, target: int | str, name: str | None = None) -> dict[str, Any]:
    """Make a port of a Service."""
    return {"port": number, "targetPort": target, **({"name": name} if name else {})}


def service(name: str, *ports: dict[str, Any], app: str | None = None) -> dict[str, Any]:
    """Make a Service in the namespace `shop` for the pods of a Deployment."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"selector": {"app": app or name}, "ports": list(ports)},
    }


def env(**values: str) -> list[dict[str, str]]:
    """Make the variables of a container."""
    return [{"name": name, "value": value} for name, value in values.items()]


def write(path: Path, *documents: dict[str, Any]) -> Path:
    """Write documents to a file."""
    path.write_text("\n---\n".join(json.dumps(document, indent=1) for document in documents))
    return path
