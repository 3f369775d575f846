"""Where the app of a replica listens, and the names and numbers of the sidecar's ports that lead to it.

Used by `capture`, `pod_views`, and the folders `conditions`, `reconcile`, `inject` and `discovery`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tcpservice_operator.cache.objects import Pod, Service, TcpService

MESH_PORT: Final = "tcps-mesh"
ADMIN_PORT: Final = "tcps-admin"
MESH_NUMBER: Final = 15801
"""The number of the mesh port of sidecars. The headless Service has the same number; its name resolves to pods."""


def target_of(tcp_service: TcpService, existing: Service | None) -> str | int:
    """Return the target port of the pods, a name or a number: that of the TcpService, else that of its Service."""
    own: str | int | None = tcp_service.sound["spec"].get("targetPort")
    dialled: int = tcp_service.sound["spec"]["port"]
    if own is not None or existing is None or existing.ours:
        return own or dialled
    return next((port.target for port in existing.ports if port.port == dialled and port.target), dialled)


def inbound_port_name(target: str | int) -> str:
    """Return the name of the inbound listener's port: the target itself if it is a name, else `tcps-<number>`."""
    return target if isinstance(target, str) else f"tcps-{target}"


def with_inbound_listener(tcp_service: TcpService, target: str | int, pods: Sequence[Pod]) -> list[Pod]:
    """Return the pods whose sidecar has an inbound listener for a target. A sidecar may be older than the target."""
    return [
        pod
        for pod in pods
        if pod.has_sidecar_for(tcp_service.key) and inbound_port_name(target) in dict(pod.sidecar_ports)
    ]
