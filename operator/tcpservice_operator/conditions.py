"""The conditions of a TcpService: what holds, why not, and the command that fixes it.

Used by `planning`. Each condition is a chain of checks; the first that has something to say says it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from tcpservice_operator.callers import said_of_callers
from tcpservice_operator.evidence import Check, Said, Truth, View, restarts, some
from tcpservice_operator.fronts import FRONT_READY, naming, on_host_network
from tcpservice_operator.objects import Pod
from tcpservice_operator.reach import closing, opening
from tcpservice_operator.services import MESH_NUMBER, MESH_PORT

_MOST_LINES: Final = 5


class Verdict(Struct, frozen=True, kw_only=True):
    """One condition, without its times."""

    type: str
    status: Truth
    reason: str
    message: str


def verdicts(view: View) -> list[Verdict]:
    """Return all conditions, in their order."""
    found: list[Verdict] = []
    for kind, checks, otherwise in _CHAINS:
        status, reason, message = next((said for check in checks if (said := check(view)) is not None), otherwise)
        if kind == "Injected" and status != "Unknown":
            message += said_of_callers(view.wanted.key, view.port, _callers(view))
        found.append(Verdict(type=kind, status=status, reason=reason, message=message))
    return [*found, _ready(view, found)]


def _callers(view: View) -> list[Pod]:
    """Return the pods that call, but for those of which it is said already that they get no sidecar."""
    said = {pod.uid for pod in view.pods if pod.refused}
    return [pod for pod in view.callers if pod.uid not in said]


def is_accepted(view: View) -> bool:
    """Whether anything is to be made of it."""
    return all(check(view) is None for check in _ACCEPTED)


# Accepted


def _invalid(view: View) -> Said | None:
    problems = view.wanted.problems
    if not problems:
        return None
    more = [f"and {len(problems) - _MOST_LINES} more"] if len(problems) > _MOST_LINES else []
    unsupported = all("not supported yet" in problem for problem in problems)
    return "False", "NotSupported" if unsupported else "Invalid", "; ".join([*problems[:_MOST_LINES], *more])


def _no_selector(view: View) -> Said | None:
    if view.selector:
        return None
    namespace, name = view.wanted.key
    patch = json.dumps({"spec": {"selector": {"app": name}}})
    mend = f"kubectl patch tcpservice -n {namespace} {name} --type=merge -p '{patch}'"
    return "False", "NoSelector", f"spec.selector is missing, and no Service {view.place} has one; give one: {mend}"


def _rivals(view: View) -> Said | None:
    if not view.rivals:
        return None
    others = ", ".join(view.rivals)
    return "False", "PortTaken", f"the port {view.target} of the same pods is served by {others} already"


# Programmed


def _not_accepted(view: View) -> Said | None:
    return None if is_accepted(view) else ("False", "NotAccepted", "see the condition Accepted")


def _replicas_taken(view: View) -> Said | None:
    if view.replicas is None or view.replicas.ours:
        return None
    namespace, name = view.replicas.key
    return (
        "False", "ServiceTaken",
        f"the Service {namespace}/{name}, which tells the replicas, was made by somebody else; "
        f"where it is not needed: kubectl delete service -n {namespace} {name}",
    )  # fmt: skip


def _not_made_yet(view: View) -> Said | None:
    if view.service is not None and view.replicas is not None:
        return None
    return "Unknown", "Pending", "its Services are being made"


# Injected


def _no_pods(view: View) -> Said | None:
    if view.pods:
        return None
    return "Unknown", "NoPods", f"there are no pods with the labels {view.labels}"


def _lacking(view: View) -> Said | None:
    lacking = [pod for pod in view.pods if not pod.has_front(view.wanted.key) and not pod.leaving]
    if not lacking:
        return None
    refused = [pod for pod in lacking if pod.refused]
    fix = "; ".join(restarts(pod for pod in lacking if not pod.refused))
    if (view.wanted.document["spec"].get("injection") or {}).get("restart") == "Evict":
        fix = view.stopped or (
            "they are evicted one at a time, within their disruption budgets, while all others are ready"
        )
    why = f"; {refused[0].key[1]} gets none, as {refused[0].refused}" if refused else ""
    others = sum(pod.injected for pod in lacking)
    older = f" (of {others} it does not serve this TcpService, which is younger)" if others else ""
    return (
        "False", "PodsLackSidecar",
        f"{len(lacking)} of {len(view.pods)} pods lack the sidecar{older}, which a pod gets when it is created"
        + (f": {fix}" if fix else f": {some([pod.key[1] for pod in lacking])}")
        + why,
    )  # fmt: skip


# Ready


def _missing(found: Sequence[Verdict]) -> Said | None:
    missing = next((one for one in found if one.type in ("Accepted", "Programmed") and one.status != "True"), None)
    return None if missing is None else ("False", missing.reason, f"see the condition {missing.type}")


def _no_such_port(view: View) -> Said | None:
    """Find a target by name that no container has, so that the Service leads nowhere."""
    target, staying = view.target, view.staying
    if isinstance(target, int) or not staying or any(target in dict(pod.port_names) for pod in staying):
        return None
    return (
        "False", "TargetPortMissing",
        f"no container of the pods has a port named {target}; where the app listens on {view.port}: "
        f"{naming(staying[0], target, view.port)}",
    )  # fmt: skip


def _no_replicas(view: View) -> Said | None:
    if view.ready:
        return None
    look = f"kubectl get pods -n {view.wanted.key[0]} -l {view.labels}"
    return "False", "NoReplicas", f"none of {len(view.pods)} pods is ready; look at them: {look}"


def _mesh_closed(view: View) -> Said | None:
    """Find a NetworkPolicy that lets nobody reach the sidecars."""
    closed = [
        (pod, policy)
        for pod in view.pods
        if pod.injected and (policy := closing(view.policies, pod, (MESH_NUMBER, MESH_PORT)))
    ]
    if not closed:
        return None
    (pod, policy), pods = closed[0], some([pod.key[1] for pod, _ in closed])
    return (
        "False", "MeshPortClosed",
        f"no NetworkPolicy lets callers' sidecars reach port {MESH_NUMBER} of {pods}; "
        f"open it: {opening(policy, MESH_NUMBER, {view.target, *pod.app_ports})}",
    )  # fmt: skip


def _ready(view: View, found: Sequence[Verdict]) -> Verdict:
    serving: Said = (
        "True", "Serving", f"{len(view.ready)} of {len(view.pods)} pods are ready",
    )  # fmt: skip
    said = _missing(found) or _no_such_port(view) or _no_replicas(view) or _mesh_closed(view) or serving
    return Verdict(type="Ready", status=said[0], reason=said[1], message=said[2])


_ACCEPTED: Final[tuple[Check, ...]] = (_invalid, _no_selector, _rivals)
_CHAINS: Final[tuple[tuple[str, tuple[Check, ...], Said], ...]] = (
    ("Accepted", _ACCEPTED, ("True", "Accepted", "the manifest is sound")),
    (
        "Programmed", (_not_accepted, _replicas_taken, _not_made_yet),
        ("True", "Programmed", "its Services are in place"),
    ),
    (
        "FrontReady", (_not_accepted, *FRONT_READY),
        ("True", "FrontReady", "callers without a sidecar are balanced per message, too"),
    ),
    (
        "Injected", (_not_accepted, _no_pods, on_host_network, _lacking),
        ("True", "AllInjected", "all pods have the sidecar"),
    ),
)  # fmt: skip
