"""Sets the conditions of a TcpService: for each condition type, a chain of checks.

Used by `reconcile.plan`. Each check looks for one problem and returns its reason and a message, which ends with the
command that fixes the problem. The first check of a chain that finds a problem sets the condition.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from tcpservice.spec.slices import SERVICE_LABEL
from tcpservice_operator.cache.pod_cache import Callers
from tcpservice_operator.cache.targets import MESH_NUMBER, MESH_PORT
from tcpservice_operator.conditions.callers import caller_problems
from tcpservice_operator.conditions.condition_types import Truth, status_of
from tcpservice_operator.conditions.evidence import Check, Evidence, Problem, list_some, restart_commands
from tcpservice_operator.conditions.inbound import (
    INBOUND_CHECKS,
    name_port_command,
    on_host_network,
    open_ports_command,
)
from tcpservice_operator.conditions.network_policies import is_closed

_MOST_LINES: Final = 5


class Condition(Struct, frozen=True, kw_only=True):
    """One condition, without its times."""

    type: str
    status: Truth
    reason: str
    message: str


def conditions_of(evidence: Evidence) -> list[Condition]:
    """Return all conditions, in the order of the table."""
    found: list[Condition] = []
    for kind, checks, success in _CHAINS:
        reason, message = next((problem for check in checks if (problem := check(evidence)) is not None), success)
        status = status_of(kind, reason)
        if kind == "Injected" and status != "Unknown":
            message += caller_problems(evidence.tcp_service.key, evidence.port, _callers(evidence), evidence.policies)
        found.append(Condition(type=kind, status=status, reason=reason, message=message))
    return [*found, _ready(evidence, found)]


def is_accepted(evidence: Evidence) -> bool:
    """Whether the operator creates Services for the TcpService and injects sidecars for it."""
    return all(check(evidence) is None for check in _ACCEPTED)


def _callers(evidence: Evidence) -> list[Callers]:
    """Return the pods that call, without those that the condition reports as refused already."""
    refused = {pod.uid for pod in evidence.pods if pod.refused}
    return [each for each in evidence.callers if each.pod.uid not in refused]


# Accepted


def _invalid(evidence: Evidence) -> Problem | None:
    problems = evidence.tcp_service.problems
    if not problems:
        return None
    more = [f"and {len(problems) - _MOST_LINES} more"] if len(problems) > _MOST_LINES else []
    return "Invalid", "; ".join([*problems[:_MOST_LINES], *more])


def _no_selector(evidence: Evidence) -> Problem | None:
    if evidence.selector or evidence.has_own_slices:
        return None
    namespace, name = evidence.tcp_service.key
    patch = json.dumps({"spec": {"selector": {"app": name}}})
    fix = f"kubectl patch tcpservice -n {namespace} {name} --type=merge -p '{patch}'"
    return (
        "NoSelector",
        f"spec.selector is missing, and there is no Service {evidence.full_name} with a selector or EndpointSlices; "
        f"to add one: {fix}",
    )


# Programmed


def _not_accepted(evidence: Evidence) -> Problem | None:
    return None if is_accepted(evidence) else ("NotAccepted", "see the condition Accepted")


def _replicas_service_taken(evidence: Evidence) -> Problem | None:
    if evidence.replicas is None or evidence.replicas.ours:
        return None
    namespace, name = evidence.replicas.key
    return (
        "ServiceTaken",
        f"the operator needs the Service {namespace}/{name} to list the replicas, but did not create it; "
        f"if nothing else needs it: kubectl delete service -n {namespace} {name}",
    )


def _service_refused(evidence: Evidence) -> Problem | None:
    if not evidence.refused:
        return None
    namespace = evidence.tcp_service.key[0]
    look = f"; to see the quotas: kubectl describe resourcequota -n {namespace}" if "quota" in evidence.refused else ""
    until = f"; until then, the endpoints are those of the Service {evidence.full_name}" if evidence.endpoints else ""
    return "ServiceRefused", f"the API server refused the Service {evidence.refused}{look}{until}"


def _services_missing(evidence: Evidence) -> Problem | None:
    if evidence.service is not None and (evidence.replicas is not None or evidence.has_own_slices):
        return None
    return "Pending", "the operator is creating the Services"


# Injected


def _no_pods(evidence: Evidence) -> Problem | None:
    if evidence.pods:
        return None
    if evidence.has_own_slices:
        return "NoPods", f"the endpoints are those of the EndpointSlices of the Service {evidence.full_name}"
    return "NoPods", f"no pod has the labels {evidence.labels}"


def _sidecars_missing(evidence: Evidence) -> Problem | None:
    lacking = [pod for pod in evidence.pods if not pod.has_sidecar_for(evidence.tcp_service.key) and not pod.leaving]
    if not lacking:
        return None
    refused = [pod for pod in lacking if pod.refused]
    fix = "; ".join(restart_commands(pod for pod in lacking if not pod.refused))
    if (evidence.tcp_service.document["spec"].get("injection") or {}).get("restart") == "Evict":
        fix = evidence.stopped or (
            "the operator evicts them one at a time, within their disruption budgets, while all other pods are ready"
        )
    why = f"; {refused[0].key[1]} gets no sidecar, as {refused[0].refused}" if refused else ""
    older = sum(pod.injected for pod in lacking)
    count = f" (the sidecars of {older} are older than this TcpService and do not serve it)" if older else ""
    return (
        "PodsLackSidecar",
        f"{len(lacking)} of {len(evidence.pods)} pods lack the sidecar{count}, which a pod gets when it is created"
        + (f": {fix}" if fix else f": {list_some([pod.key[1] for pod in lacking])}")
        + why,
    )


# Ready


def _not_set_up(evidence: Evidence, found: Sequence[Condition]) -> Problem | None:
    """Find what keeps messages from being served. They still are if there are endpoints without a refused Service."""
    missing = next((one for one in found if one.type in ("Accepted", "Programmed") and one.status != "True"), None)
    if missing is None:
        return None
    is_served = evidence.endpoints or (evidence.service is not None and evidence.replicas is not None)
    if is_served and missing.reason in ("ServiceRefused", "ServiceTaken"):
        return None
    return missing.reason, f"see the condition {missing.type}"


def _target_port_missing(evidence: Evidence) -> Problem | None:
    """Find a target port name that no container has: the Service then has no endpoints."""
    target, staying = evidence.target, evidence.staying
    if isinstance(target, int) or not staying or any(target in dict(pod.port_names) for pod in staying):
        return None
    return (
        "TargetPortMissing",
        f"no container of the pods has a port named {target}; if the app listens on {evidence.port}: "
        f"{name_port_command(staying[0], target, evidence.port)}",
    )


def _no_replicas(evidence: Evidence) -> Problem | None:
    if evidence.ready or (evidence.has_own_slices and any(each.ready for each in evidence.endpoints)):
        return None
    if evidence.has_own_slices:
        namespace, name = evidence.tcp_service.key
        look = f"kubectl get endpointslices -n {namespace} -l {SERVICE_LABEL}={name}"
        why = f"no EndpointSlice of the Service {evidence.full_name} has a ready address"
        return "NoReplicas", f"{why}; to list them: {look}"
    look = f"kubectl get pods -n {evidence.tcp_service.key[0]} -l {evidence.labels}"
    return "NoReplicas", f"0 of {len(evidence.pods)} pods are ready; to list them: {look}"


def _mesh_port_closed(evidence: Evidence) -> Problem | None:
    """Find NetworkPolicies that open the mesh port of a pod to no sidecar."""
    mesh = (MESH_NUMBER, MESH_PORT)
    closed = [pod for pod in evidence.pods if pod.injected and is_closed(evidence.policies, pod, mesh)]
    if not closed:
        return None
    pods = list_some([pod.key[1] for pod in closed])
    return (
        "MeshPortClosed",
        f"no NetworkPolicy lets callers' sidecars reach port {MESH_NUMBER} of {pods}; "
        f"to open it: {open_ports_command(evidence, closed[0])}",
    )


def _ready(evidence: Evidence, found: Sequence[Condition]) -> Condition:
    reason, message = (
        _not_set_up(evidence, found)
        or _target_port_missing(evidence)
        or _no_replicas(evidence)
        or _mesh_port_closed(evidence)
        or ("Serving", f"{len(evidence.ready)} of {len(evidence.pods)} pods are ready")
    )
    refused = "".join(f"; {each.workload} cannot create pods: {each.reason}" for each in evidence.refused_pods)
    return Condition(type="Ready", status=status_of("Ready", reason), reason=reason, message=message + refused)


_ACCEPTED: Final[tuple[Check, ...]] = (_invalid, _no_selector)
_CHAINS: Final[tuple[tuple[str, tuple[Check, ...], Problem], ...]] = (
    ("Accepted", _ACCEPTED, ("Accepted", "the manifest is valid")),
    (
        "Programmed", (_not_accepted, _replicas_service_taken, _service_refused, _services_missing),
        ("Programmed", "the Services exist"),
    ),
    (
        "InboundReady", (_not_accepted, *INBOUND_CHECKS),
        ("InboundReady", "messages of callers without a sidecar are balanced one by one"),
    ),
    (
        "Injected", (_not_accepted, _no_pods, on_host_network, _sidecars_missing),
        ("AllInjected", "all pods have the sidecar"),
    ),
)  # fmt: skip
