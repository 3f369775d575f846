"""The plan for one TcpService: the Services to apply, its status, the Events to write and the next eviction.

Used by `reconciler`, and tested with tables. A plan does not depend on earlier plans: the same state gives the same
plan. If the cluster matches the plan, nothing is written.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from tcpservice.spec.schema import LONGEST_MESSAGE
from tcpservice_operator.api.plain_objects import Key
from tcpservice_operator.cache.cluster_state import ClusterState
from tcpservice_operator.cache.endpoints import REPLICAS_SUFFIX
from tcpservice_operator.cache.objects import TcpService
from tcpservice_operator.cache.shared_ports import listening_for_others, sharing_with
from tcpservice_operator.conditions.condition_checks import Condition, conditions_of, is_accepted
from tcpservice_operator.conditions.condition_types import page_of
from tcpservice_operator.conditions.evidence import Evidence
from tcpservice_operator.reconcile.events import Event, condition_events, refusal_events
from tcpservice_operator.reconcile.eviction import Eviction, next_eviction
from tcpservice_operator.reconcile.service_documents import Document, services_for, without_owner


class Plan(Struct, frozen=True, kw_only=True):
    """The plan for one TcpService.

    `services` and `status` are complete documents. `disowned` is a change of a Service that another client has written,
    so that it is not deleted with the TcpService. `events` are written after the status. `refusals` are the Events for
    pods that get no sidecar, by owner and reason; each is written once. `eviction` is the next one. `pods` has the uids
    of the pods that serve, and `is_injected` says that all of them have the sidecar.
    """

    services: tuple[Document, ...]
    disowned: Document | None
    status: dict[str, Any]
    events: tuple[Event, ...]
    refusals: dict[tuple[str, str], Event]
    eviction: Eviction | None
    pods: frozenset[str]
    is_injected: bool


def make_plan(state: ClusterState, key: Key, now: str, stopped: str = "", refused: str = "") -> Plan | None:
    """Return the plan for a TcpService, None if it does not exist.

    `now` is the time of changed conditions (RFC 3339). `stopped` is why evictions have stopped, and `refused` which
    Service the API server refused and why, for the status.
    """
    tcp_service = state.tcp_services.get(key)
    if tcp_service is None:
        return None
    evidence = evidence_for(state, tcp_service, stopped, refused)
    services = []
    if is_accepted(evidence) and not evidence.has_own_slices:
        services = services_for(tcp_service, evidence.selector, evidence.service, evidence.pods)
    if evidence.replicas is not None and not evidence.replicas.ours:
        services = [document for document in services if document["metadata"]["name"] != evidence.replicas.key[1]]
    status = _status(evidence, now)
    events = condition_events(tcp_service.status.get("conditions") or [], status["conditions"])
    return Plan(
        services=tuple(services),
        disowned=_disowned(evidence),
        status=status,
        events=tuple(events),
        refusals=refusal_events([*evidence.pods, *(each.pod for each in evidence.callers)]),
        eviction=next_eviction(evidence, state),
        pods=frozenset(pod.uid for pod in evidence.pods),
        is_injected=all(pod.has_sidecar_for(key) for pod in evidence.pods),
    )


def _disowned(evidence: Evidence) -> Document | None:
    service = evidence.service
    is_theirs = service is not None and not service.ours and service.owner == evidence.tcp_service.uid
    return without_owner(service) if service is not None and is_theirs else None


def evidence_for(state: ClusterState, tcp_service: TcpService, stopped: str = "", refused: str = "") -> Evidence:
    """Gather the evidence for the conditions of a TcpService."""
    namespace, name = tcp_service.key
    pods = state.pods_of(tcp_service)
    return Evidence(
        tcp_service=tcp_service,
        selector=state.selector_of(tcp_service),
        service=state.services.get(tcp_service.key),
        replicas=state.services.get((namespace, name + REPLICAS_SUFFIX)),
        pods=pods,
        callers=state.callers_of(tcp_service),
        sharing=sharing_with(state, tcp_service, pods),
        older=listening_for_others(state, tcp_service),
        policies=state.policies_in(namespace),
        refused_pods=state.refused_pods_of(tcp_service),
        endpoints=state.endpoints_of(tcp_service.key) or (),
        stopped=stopped,
        refused=refused,
    )


def _status(evidence: Evidence, now: str) -> dict[str, Any]:
    before = {one["type"]: one for one in evidence.tcp_service.status.get("conditions") or []}
    pods, listed = evidence.pods, evidence.endpoints if evidence.has_own_slices else ()
    return {
        "observedGeneration": evidence.tcp_service.generation,
        "replicas": {
            "total": len(pods) + len(listed),
            "ready": sum(pod.ready and not pod.leaving for pod in pods) + sum(each.ready for each in listed),
            "injected": sum(pod.has_sidecar_for(evidence.tcp_service.key) for pod in pods),
        },
        "conditions": [
            _condition(one, before.get(one.type), evidence.tcp_service.generation, now)
            for one in conditions_of(evidence)
        ],
    }


def _message(verdict: Condition) -> str:
    """Return the message of a condition; below it, if there is a problem, the page that explains the reason."""
    below = f"\n{page_of(verdict.reason)}" if verdict.status != "True" else ""
    return verdict.message[: LONGEST_MESSAGE - len(below)] + below


def _condition(verdict: Condition, before: dict[str, Any] | None, generation: int, now: str) -> dict[str, Any]:
    """Return a condition as a document. Its transition time is that of its last change of status."""
    since = before["lastTransitionTime"] if before and before["status"] == verdict.status else now
    return {
        "type": verdict.type,
        "status": verdict.status,
        "reason": verdict.reason,
        "message": _message(verdict),
        "lastTransitionTime": since,
        "observedGeneration": generation,
    }
