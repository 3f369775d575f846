"""Whether a caller's sidecar may capture the name of a TcpService, so that the app's calls go to the sidecar.

Used by `pod_views` for new pods. A sidecar captures a name only if it can deliver the messages. A caller without the
alias connects to the Service, as it would without a sidecar.
"""

from __future__ import annotations

from tcpservice_operator.cache.cluster_state import ClusterState
from tcpservice_operator.cache.objects import TcpService


def why_not_captured(state: ClusterState, tcp_service: TcpService) -> str:
    """Return why a new caller's sidecar must not capture the name; empty if it may.

    The name of a TcpService without endpoints may be captured if its Service has no endpoints either. Messages then
    fail with and without a sidecar until the first pod is ready, and users often apply a TcpService, its pods and its
    callers at the same time.
    """
    if tcp_service.problems and state.replicas_slices_of(tcp_service.key) is None:
        return "the TcpService is not accepted"
    if state.endpoints_of(tcp_service.key):
        return ""
    if not state.selector_of(tcp_service):
        return "the TcpService has no selector, and the Service of its name has no endpoints"
    if tcp_service.problems:
        return "the TcpService is not accepted, and it has no endpoints"
    if leads_elsewhere(state, tcp_service):
        return "the TcpService has no endpoints, but the Service of its name has others"
    return ""


def leads_elsewhere(state: ClusterState, tcp_service: TcpService) -> bool:
    """Whether the Service of a TcpService's name delivers messages without the TcpService."""
    service = state.services.get(tcp_service.key)
    return service is not None and (service.external or state.has_endpoints(service))
