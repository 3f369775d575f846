"""The documents that a sidecar in file mode reads, as one YAML file (JSON is YAML, so no library is needed)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


def tcp_service(name: str, spec: Mapping[str, object] | None = None) -> dict[str, Any]:
    """A TcpService of which `spec` gives what is not the default."""
    return {
        "apiVersion": "tcpservice.dev/v1alpha1",
        "kind": "TcpService",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"app": name}, "port": 3001, **(spec or {})},
    }


def endpoint_slice(
    name: str, port: int, *, serial: int = 1, port_name: str = "mesh", host: str = "127.0.0.1"
) -> dict[str, Any]:
    """One ready replica of a service on this machine, behind a mesh listener (or its app's port)."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-{serial}",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv6" if ":" in host else "IPv4",
        "endpoints": [
            {
                "addresses": [host],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "targetRef": {"kind": "Pod", "name": f"{name}-{serial}", "uid": f"{name}-{serial}"},
            }
        ],
        "ports": [{"name": port_name, "port": port, "protocol": "TCP"}],
    }


def write_documents(path: Path, documents: Iterable[Mapping[str, object]]) -> Path:
    """Write documents into one file; return it."""
    path.write_text("\n---\n".join(json.dumps(document, indent=1) for document in documents) + "\n")
    return path
