"""The view of a pod: the TcpServices that it serves, and those that it calls.

Used by `discovery.publisher` for the streams, and by `inject` for the roles of a new pod. A pod calls TcpServices if it
or its namespace has the label `tcpservice.dev/inject: enabled`: those that its annotation `tcpservice.dev/calls` lists,
also of other namespaces that allow it, else all of its namespace.
"""

from __future__ import annotations

from collections.abc import Iterator

from tcpservice_operator.api.plain_objects import Body, Key
from tcpservice_operator.cache.capture import why_not_captured
from tcpservice_operator.cache.cluster_state import ClusterState
from tcpservice_operator.cache.objects import Pod, TcpService, read_pod
from tcpservice_operator.cache.pod_roles import Called, Roles, Served
from tcpservice_operator.cache.shared_ports import sharing_with
from tcpservice_operator.cache.targets import target_of


def view_of(state: ClusterState, pod: Pod) -> frozenset[Key]:
    """Return the TcpServices that a pod serves or calls."""
    served = {tcp_service.key for tcp_service in state.served_by(pod)}
    called = state.called_by(pod)
    # Callers of a whole namespace share one set, which has what they serve: it is large, and then compared at once.
    return called if served <= called else called | served


def roles_of(state: ClusterState, body: Body, namespace: str) -> Roles:
    """Return the roles of a pod that is being created, or of a pod template."""
    pod = _made(body, namespace)
    called = [state.tcp_services[key] for key in sorted(state.called_by(pod))]
    return Roles(
        serves=tuple(_served(state, tcp_service, pod) for tcp_service in state.served_by(pod)),
        calls=tuple(_called(state, tcp_service) for tcp_service in called),
        unknown=tuple(sorted(state.unknown_to(pod))),
        targeted=frozenset(_targeted(state, pod)),
    )


def _served(state: ClusterState, tcp_service: TcpService, pod: Pod) -> Served:
    return Served(
        key=tcp_service.key,
        port=tcp_service.sound["spec"]["port"],
        target=target_of(tcp_service, state.services.get(tcp_service.key)),
        document=tcp_service.sound,
        sharing=sharing_with(state, tcp_service, [pod]),
    )


def _called(state: ClusterState, tcp_service: TcpService) -> Called:
    return Called(
        key=tcp_service.key,
        port=tcp_service.sound["spec"]["port"],
        others=tuple(_other_ports(state, tcp_service)),
        document=tcp_service.sound,
        refused=why_not_captured(state, tcp_service),
    )


def _targeted(state: ClusterState, pod: Pod) -> Iterator[int]:
    """Yield the ports of a pod that Services target by number. The app listens there, even if it declares no port."""
    for service in state.services_of(pod):
        for port in service.ports:
            target = port.target or port.port
            if isinstance(target, int):
                yield target


def _made(body: Body, namespace: str) -> Pod:
    metadata = {**(body.get("metadata") or {}), "namespace": namespace, "name": "", "uid": ""}
    return read_pod({"metadata": metadata, "spec": body["spec"]})


def _other_ports(state: ClusterState, tcp_service: TcpService) -> Iterator[int]:
    service = state.services.get(tcp_service.key)
    for port in service.ports if service is not None else ():
        if port.port != tcp_service.sound["spec"]["port"]:
            yield port.port
