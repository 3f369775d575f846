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
from tcpservice_operator.conditions.evidence import (
    Check,
    Evidence,
    Problem,
    count_of,
    list_some,
    ready_of,
    restart_commands,
)
from tcpservice_operator.conditions.inbound import (
    INBOUND_CHECKS,
    name_port_command,
    on_host_network,
    open_ports_command,
)
from tcpservice_operator.conditions.network_policies import is_closed

_MOST_LINES: Final = 5
_NOT_CHECKED: Final = "Not checked, because the condition Accepted is False. Fix that problem first."


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
            problems = caller_problems(evidence.tcp_service.key, evidence.port, _callers(evidence), evidence.policies)
            message = _joined(message, problems)
        found.append(Condition(type=kind, status=status, reason=reason, message=message))
    return [*found, _ready(evidence, found)]


def _joined(message: str, problems: str) -> str:
    """Return a message with the problems of callers. A semicolon follows a command: it may also end it in a shell."""
    return f"{message}{' ' if message.endswith('.') else '; '}{problems}" if problems else message


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
        f"The operator cannot find the pods: spec.selector is missing, and there is no Service {evidence.full_name} "
        f"with a selector or with EndpointSlices. To select the pods with the label app={name}: {fix}",
    )


# Programmed


def _not_accepted(evidence: Evidence) -> Problem | None:
    return None if is_accepted(evidence) else ("NotAccepted", _NOT_CHECKED)


def _replicas_service_taken(evidence: Evidence) -> Problem | None:
    if evidence.replicas is None or evidence.replicas.ours:
        return None
    namespace, name = evidence.replicas.key
    return (
        "ServiceTaken",
        f"The operator needs the Service {namespace}/{name} for itself, but another client created or changed it. "
        f"If nothing else uses this Service, delete it: kubectl delete service -n {namespace} {name}",
    )


def _service_refused(evidence: Evidence) -> Problem | None:
    if not evidence.refused:
        return None
    namespace = evidence.tcp_service.key[0]
    look = f" To see the quotas: kubectl describe resourcequota -n {namespace}" if "quota" in evidence.refused else ""
    until = f", so sidecars use the endpoints of the Service {evidence.full_name}" if evidence.endpoints else ""
    error = f"Service {evidence.refused.rstrip('.')}{'.' if look else ''}"
    return "ServiceRefused", f"The operator cannot write a Service{until}. {error}{look}"


def _services_missing(evidence: Evidence) -> Problem | None:
    if evidence.service is not None and (evidence.replicas is not None or evidence.has_own_slices):
        return None
    return "Pending", "The operator is creating the Services."


# Injected


def _no_pods(evidence: Evidence) -> Problem | None:
    if evidence.pods:
        return None
    if evidence.has_own_slices:
        return "NoPods", f"The endpoints come from the EndpointSlices of the Service {evidence.full_name}."
    return "NoPods", _no_pod(evidence)


def _sidecars_missing(evidence: Evidence) -> Problem | None:
    lacking = [pod for pod in evidence.pods if not pod.has_sidecar_for(evidence.tcp_service.key) and not pod.leaving]
    if not lacking:
        return None
    refused = [pod for pod in lacking if pod.refused]
    commands = "; ".join(restart_commands(pod for pod in lacking if not pod.refused))
    if (evidence.tcp_service.document["spec"].get("injection") or {}).get("restart") == "Evict":
        fix = evidence.stopped or (
            "The operator evicts them one at a time, within their disruption budgets, while all other pods are ready."
        )
    elif commands:
        fix = f"A pod gets the sidecar only when it is created. To recreate the pods: {commands}"
    elif len(refused) < len(lacking):
        names = list_some([pod.key[1] for pod in lacking if not pod.refused])
        fix = f"A pod gets the sidecar only when it is created. Recreate these pods: {names}."
    else:
        fix = f"Pods without the sidecar: {list_some([pod.key[1] for pod in lacking])}."
    why = f"{refused[0].key[1]} gets no sidecar, because {refused[0].refused}. " if refused else ""
    older = sum(pod.injected for pod in lacking)
    verb = "has" if len(lacking) == 1 else "have"
    than = f" {count_of(older, 'sidecar')} {'is' if older == 1 else 'are'} older than the TcpService." if older else ""
    return (
        "PodsLackSidecar",
        f"{len(lacking)} of {count_of(len(evidence.pods), 'pod')} {verb} no sidecar for this TcpService.{than} "
        f"{why}{fix}",
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
    return missing.reason, f"The condition {missing.type} is {missing.status}. Its message has the details."


def _target_port_missing(evidence: Evidence) -> Problem | None:
    """Find a target port name that no container has: the Service then has no endpoints."""
    target, staying = evidence.target, evidence.staying
    if isinstance(target, int) or not staying or any(target in dict(pod.port_names) for pod in staying):
        return None
    return (
        "TargetPortMissing",
        f"No container of the pods has a port named {target}. If the app listens on port {evidence.port}, name it: "
        f"{name_port_command(staying[0], target, evidence.port)}",
    )


def _no_replicas(evidence: Evidence) -> Problem | None:
    if evidence.ready or (evidence.has_own_slices and any(each.ready for each in evidence.endpoints)):
        return None
    if evidence.has_own_slices:
        namespace, name = evidence.tcp_service.key
        look = f"kubectl get endpointslices -n {namespace} -l {SERVICE_LABEL}={name}"
        why = f"No EndpointSlice of the Service {evidence.full_name} has a ready address."
        return "NoReplicas", f"{why} To list the EndpointSlices: {look}"
    refused = _cannot_create(evidence)
    if not evidence.pods:
        return "NoReplicas", _look_at_workload(evidence) if refused else _no_pod(evidence)
    look = f"kubectl get pods -n {evidence.tcp_service.key[0]} -l {evidence.labels}"
    ready = ready_of(0, len(evidence.pods))
    return "NoReplicas", f"{ready}.{refused and ' '}{refused} To list the pods: {look}"


def _mesh_port_closed(evidence: Evidence) -> Problem | None:
    """Find NetworkPolicies that open the mesh port of a pod to no sidecar."""
    mesh = (MESH_NUMBER, MESH_PORT)
    closed = [pod for pod in evidence.pods if pod.injected and is_closed(evidence.policies, pod, mesh)]
    if not closed:
        return None
    pods = list_some([pod.key[1] for pod in closed])
    return (
        "MeshPortClosed",
        f"NetworkPolicies block port {MESH_NUMBER} of {pods}, on which sidecars accept connections from callers' "
        f"sidecars. To allow the port: {open_ports_command(evidence, closed[0])}",
    )


def _ready(evidence: Evidence, found: Sequence[Condition]) -> Condition:
    reason, message = (
        _not_set_up(evidence, found)
        or _target_port_missing(evidence)
        or _no_replicas(evidence)
        or _mesh_port_closed(evidence)
        or ("Serving", _serving(evidence))
    )
    refused = _cannot_create(evidence)
    if refused and refused not in message:
        message = f"{refused} {message}"
    return Condition(type="Ready", status=status_of("Ready", reason), reason=reason, message=message)


def _serving(evidence: Evidence) -> str:
    if evidence.has_own_slices:
        ready = sum(each.ready for each in evidence.endpoints)
        return f"{ready_of(ready, len(evidence.endpoints), 'endpoint')}."
    return f"{ready_of(len(evidence.ready), len(evidence.pods))}."


def _no_pod(evidence: Evidence) -> str:
    look = f"kubectl get pods -n {evidence.tcp_service.key[0]} --show-labels"
    return f"No pod has the labels {evidence.labels}. To compare the labels of the pods: {look}"


def _look_at_workload(evidence: Evidence) -> str:
    """Return which workloads cannot create pods, with a command that shows the Events of one."""
    namespace, workload = evidence.tcp_service.key[0], evidence.refused_pods[0].workload
    return f"{_cannot_create(evidence)} To see its Events: kubectl describe -n {namespace} {workload.lower()}"


def _cannot_create(evidence: Evidence) -> str:
    """Return a sentence for each workload that cannot create pods, with the error of the API server."""
    return " ".join(f"{each.workload} cannot create pods: {each.reason.rstrip('.')}." for each in evidence.refused_pods)


_ACCEPTED: Final[tuple[Check, ...]] = (_invalid, _no_selector)
_CHAINS: Final[tuple[tuple[str, tuple[Check, ...], Problem], ...]] = (
    ("Accepted", _ACCEPTED, ("Accepted", "The manifest is valid.")),
    (
        "Programmed", (_not_accepted, _replicas_service_taken, _service_refused, _services_missing),
        ("Programmed", "The Services exist."),
    ),
    (
        "InboundReady", (_not_accepted, *INBOUND_CHECKS),
        ("InboundReady", "Sidecars balance each message of callers without a sidecar."),
    ),
    (
        "Injected", (_not_accepted, _no_pods, on_host_network, _sidecars_missing),
        ("AllInjected", "All pods have the sidecar."),
    ),
)  # fmt: skip
