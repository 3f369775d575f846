"""Services and TcpServices that lead to the same port of a pod but select different pods, such as stable and canary.

Used by `pod_views` for new pods, and by `reconcile.plan` for the status. The inbound listener of a pod cannot tell by
which Service a connection came, and balances over the pods of one TcpService. A port that several lead to may have an
inbound listener only if all of them select the same pods. Only equal selectors are certain to: which pods a selector
selects changes with each rollout.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tcpservice_operator.api.plain_objects import Labels
from tcpservice_operator.cache.cluster_state import ClusterState
from tcpservice_operator.cache.objects import Pod, TcpService
from tcpservice_operator.cache.targets import target_of, with_inbound_listener


def sharing_with(state: ClusterState, tcp_service: TcpService, pods: Iterable[Pod]) -> tuple[str, ...]:
    """Return the Services and TcpServices that lead to its port of some of these pods, and have another selector."""
    target, selector = target_of(tcp_service, state.services.get(tcp_service.key)), state.selector_of(tcp_service)
    found = {name for pod in pods for name, other in _leading_to(state, pod, target) if other != selector}
    return tuple(sorted(found))


def listening_for_others(state: ClusterState, tcp_service: TcpService) -> list[Pod]:
    """Return the pods with an inbound listener at a port that others lead to: they are older than those others.

    Until such pods are recreated, their listeners must not balance (`Service.inbound_to_app`).
    """
    target = target_of(tcp_service, state.services.get(tcp_service.key))
    listening = with_inbound_listener(tcp_service, target, state.pods_of(tcp_service))
    return [pod for pod in listening if not pod.leaving and sharing_with(state, tcp_service, [pod])]


def _leading_to(state: ClusterState, pod: Pod, target: str | int) -> Iterator[tuple[str, Labels]]:
    """Yield kind and name of what leads to a port of a pod, with its selector.

    A Service that targets a number leads to the app in any case. The operator's own Services have the selectors of
    their TcpServices.
    """
    for tcp_service in state.selecting(pod):
        if target_of(tcp_service, state.services.get(tcp_service.key)) == target:
            yield f"TcpService {'/'.join(tcp_service.key)}", state.selector_of(tcp_service)
    for service in state.services_of(pod) if isinstance(target, str) else ():
        if not service.ours and any(port.target == target for port in service.ports):
            yield f"Service {'/'.join(service.key)}", service.selector
