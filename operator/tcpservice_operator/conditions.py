"""The conditions of a TcpService: what holds, why not, and the very command that mends it.

Used by `planning`. Each condition is a chain of checks; the first that has something to say says it.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from typing import Final, Literal

from msgspec import Struct

from tcpservice_operator.callers import said_of_callers
from tcpservice_operator.objects import Labels, Pod, Policy, Service, ServicePort, Wanted
from tcpservice_operator.reach import closing
from tcpservice_operator.services import MESH_NUMBER, MESH_PORT, target_of

Truth = Literal["True", "False", "Unknown"]
_MOST_LINES: Final = 5


class Verdict(Struct, frozen=True, kw_only=True):
    """One condition, without its times."""

    type: str
    status: Truth
    reason: str
    message: str


class View(Struct, frozen=True, kw_only=True):
    """All that the conditions of one TcpService are drawn from."""

    wanted: Wanted
    selector: Labels
    service: Service | None
    replicas: Service | None
    pods: Sequence[Pod]
    callers: Sequence[Pod]
    rivals: Sequence[str]
    policies: Sequence[Policy]

    @property
    def place(self) -> str:
        """Namespace and name, as people write them."""
        return "/".join(self.wanted.key)

    @property
    def port(self) -> int:
        """What callers dial."""
        port: int = self.wanted.document["spec"]["port"]
        return port

    @property
    def labels(self) -> str:
        """The selector as kubectl takes it."""
        return ",".join(f"{name}={value}" for name, value in self.selector.items())


Check = Callable[[View], tuple[Truth, str, str] | None]


def verdicts(view: View) -> list[Verdict]:
    """Return all conditions, in their order."""
    found: list[Verdict] = []
    for kind, checks, otherwise in _CHAINS:
        status, reason, message = next((said for check in checks if (said := check(view)) is not None), otherwise)
        if kind == "Injected" and status != "Unknown":
            message += said_of_callers(view.wanted.key, view.port, view.callers)
        found.append(Verdict(type=kind, status=status, reason=reason, message=message))
    return [*found, _ready(view, found)]


def is_accepted(view: View) -> bool:
    """Whether anything is to be made of it."""
    return all(check(view) is None for check in _ACCEPTED)


# Accepted


def _invalid(view: View) -> tuple[Truth, str, str] | None:
    problems = view.wanted.problems
    if not problems:
        return None
    more = [f"and {len(problems) - _MOST_LINES} more"] if len(problems) > _MOST_LINES else []
    unsupported = all("not supported yet" in problem for problem in problems)
    return "False", "NotSupported" if unsupported else "Invalid", "; ".join([*problems[:_MOST_LINES], *more])


def _no_selector(view: View) -> tuple[Truth, str, str] | None:
    if view.selector:
        return None
    namespace, name = view.wanted.key
    patch = json.dumps({"spec": {"selector": {"app": name}}})
    mend = f"kubectl patch tcpservice -n {namespace} {name} --type=merge -p '{patch}'"
    return "False", "NoSelector", f"spec.selector is missing, and no Service {view.place} has one; give one: {mend}"


def _rivals(view: View) -> tuple[Truth, str, str] | None:
    if not view.rivals:
        return None
    others = ", ".join(view.rivals)
    return "False", "PortTaken", f"the port {target_of(view.wanted)} of the same pods is served by {others} already"


# Programmed


def _not_accepted(view: View) -> tuple[Truth, str, str] | None:
    return None if is_accepted(view) else ("False", "NotAccepted", "see the condition Accepted")


def _replicas_taken(view: View) -> tuple[Truth, str, str] | None:
    if view.replicas is None or view.replicas.ours:
        return None
    namespace, name = view.replicas.key
    return (
        "False", "ServiceTaken",
        f"the Service {namespace}/{name}, which tells the replicas, was made by somebody else; "
        f"where it is not needed: kubectl delete service -n {namespace} {name}",
    )  # fmt: skip


def _not_made_yet(view: View) -> tuple[Truth, str, str] | None:
    if view.service is not None and view.replicas is not None:
        return None
    return "Unknown", "Pending", "its Services are being made"


# FrontReady


def _headless(view: View) -> tuple[Truth, str, str] | None:
    if view.service is None or not view.service.headless:
        return None
    return (
        "False", "HeadlessService",
        f"the Service {view.place} is headless, so that callers without a sidecar choose a pod themselves; "
        f"give the callers one: kubectl label namespace {view.wanted.key[0]} tcpservice.dev/inject=enabled",
    )  # fmt: skip


def _no_port(view: View) -> tuple[Truth, str, str] | None:
    """Find a Service without the port; where it gets a second one, both need names, and different ones."""
    if view.service is None or _port_of(view) is not None:
        return None
    taken = {port.name for port in view.service.ports}
    name = f"nestjs-{view.port}" if "nestjs" in taken else "nestjs"
    new = {"name": name, "port": view.port, "targetPort": target_of(view.wanted)}
    patch = [
        {"op": "add", "path": f"/spec/ports/{index}/name", "value": f"port-{port.port}"}
        for index, port in enumerate(view.service.ports)
        if not port.name
    ] + [{"op": "add", "path": "/spec/ports/-", "value": new}]
    namespace, service = view.service.key
    return (
        "False", "PortMissing",
        f"the Service {view.place} has no port {view.port}; add it: "
        f"kubectl patch service -n {namespace} {service} --type=json -p {shlex.quote(json.dumps(patch))}",
    )  # fmt: skip


def _numeric(view: View) -> tuple[Truth, str, str] | None:
    found = _port_of(view)
    if found is None or view.service is None or view.service.ours:
        return None
    index, port = found
    if isinstance(port.target, str):
        return None
    number = port.target or port.port
    name = next((name for pod in view.pods for name, value in pod.port_names if value == number), None)
    if name is None:
        mend = f"name the container's port {number} in the pods' template, then let the Service target that name"
    else:
        patch = json.dumps([{"op": "replace", "path": f"/spec/ports/{index}/targetPort", "value": name}])
        namespace, service = view.service.key
        mend = f"kubectl patch service -n {namespace} {service} --type=json -p '{patch}'"
    return (
        "False", "NumericTargetPort",
        f"the Service {view.place} targets the number {number}, so that callers without a sidecar are balanced per "
        f"connection; to mend it: {mend}",
    )  # fmt: skip


def _host_network(view: View) -> tuple[Truth, str, str] | None:
    names = [pod.key[1] for pod in view.pods if pod.host_network]
    if not names:
        return None
    return "False", "HostNetwork", f"pods on the host's network get no sidecar: {_some(names)}"


def _no_front(view: View) -> tuple[Truth, str, str] | None:
    if any(pod.has_front(view.wanted.key) and pod.ready for pod in view.pods):
        return None
    return "False", "NoSidecar", "no ready pod has the sidecar, so that callers are balanced per connection"


def _port_of(view: View) -> tuple[int, ServicePort] | None:
    ports = view.service.ports if view.service is not None else ()
    return next(((index, port) for index, port in enumerate(ports) if port.port == view.port), None)


# Injected


def _no_pods(view: View) -> tuple[Truth, str, str] | None:
    if view.pods:
        return None
    return "Unknown", "NoPods", f"there are no pods with the labels {view.labels}"


def _lacking(view: View) -> tuple[Truth, str, str] | None:
    lacking = [pod for pod in view.pods if not pod.has_front(view.wanted.key) and not pod.leaving]
    if not lacking:
        return None
    refused = [pod for pod in lacking if pod.refused]
    mends = "; ".join(sorted({pod.restart for pod in lacking if not pod.refused} - {""}))
    if (view.wanted.document["spec"].get("injection") or {}).get("restart") == "Evict":
        mends = "they are evicted one at a time, within their disruption budgets, while all others are ready"
    why = f"; {refused[0].key[1]} gets none, as {refused[0].refused}" if refused else ""
    others = sum(pod.injected for pod in lacking)
    older = f" (of {others} it does not serve this TcpService, which is younger)" if others else ""
    return (
        "False", "PodsLackSidecar",
        f"{len(lacking)} of {len(view.pods)} pods lack the sidecar{older}, which a pod gets when it is created"
        + (f": {mends}" if mends else f": {_some([pod.key[1] for pod in lacking])}")
        + why,
    )  # fmt: skip


# Ready


def _missing(found: Sequence[Verdict]) -> tuple[Truth, str, str] | None:
    missing = next((one for one in found if one.type in ("Accepted", "Programmed") and one.status != "True"), None)
    return None if missing is None else ("False", missing.reason, f"see the condition {missing.type}")


def _no_such_port(view: View) -> tuple[Truth, str, str] | None:
    """Find a target by name that no container has, so that the Service leads nowhere."""
    target, staying = target_of(view.wanted), [pod for pod in view.pods if not pod.leaving]
    if isinstance(target, int) or not staying or any(target in dict(pod.port_names) for pod in staying):
        return None
    port = {"name": target, "containerPort": view.port}
    patch = {"spec": {"template": {"spec": {"containers": [{"name": staying[0].container, "ports": [port]}]}}}}
    owner = staying[0].workload or "the owner of the pods"
    return (
        "False", "TargetPortMissing",
        f"no container of the pods has a port named {target}; where the app listens on {view.port}: "
        f"kubectl patch -n {view.wanted.key[0]} {owner} -p {shlex.quote(json.dumps(patch))}",
    )  # fmt: skip


def _no_replicas(view: View) -> tuple[Truth, str, str] | None:
    if _ready_pods(view):
        return None
    look = f"kubectl get pods -n {view.wanted.key[0]} -l {view.labels}"
    return "False", "NoReplicas", f"none of {len(view.pods)} pods is ready; look at them: {look}"


def _mesh_closed(view: View) -> tuple[Truth, str, str] | None:
    """Find a NetworkPolicy that lets nobody reach the sidecars."""
    closed = [
        (pod, policy)
        for pod in view.pods
        if pod.injected and (policy := closing(view.policies, pod, (MESH_NUMBER, MESH_PORT)))
    ]
    if not closed:
        return None
    (namespace, name), rule = closed[0][1].key, {"ports": [{"port": MESH_NUMBER}]}
    more, pods = closed[0][1].has_rules, _some([pod.key[1] for pod, _ in closed])
    patch = {"op": "add", "path": f"/spec/ingress{'/-' if more else ''}", "value": rule if more else [rule]}
    return (
        "False", "MeshPortClosed",
        f"no NetworkPolicy lets callers' sidecars reach port {MESH_NUMBER} of {pods}; "
        f"open it: kubectl patch networkpolicy -n {namespace} {name} --type=json -p {shlex.quote(json.dumps([patch]))}",
    )  # fmt: skip


def _ready_pods(view: View) -> list[Pod]:
    return [pod for pod in view.pods if pod.ready and not pod.leaving]


def _ready(view: View, found: Sequence[Verdict]) -> Verdict:
    serving: tuple[Truth, str, str] = (
        "True", "Serving", f"{len(_ready_pods(view))} of {len(view.pods)} pods are ready",
    )  # fmt: skip
    said = _missing(found) or _no_such_port(view) or _no_replicas(view) or _mesh_closed(view) or serving
    return Verdict(type="Ready", status=said[0], reason=said[1], message=said[2])


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_LINES])
    return shown + (f" and {len(names) - _MOST_LINES} more" if len(names) > _MOST_LINES else "")


_ACCEPTED: Final[tuple[Check, ...]] = (_invalid, _no_selector, _rivals)
_CHAINS: Final[tuple[tuple[str, tuple[Check, ...], tuple[Truth, str, str]], ...]] = (
    ("Accepted", _ACCEPTED, ("True", "Accepted", "the manifest is sound")),
    (
        "Programmed", (_not_accepted, _replicas_taken, _not_made_yet),
        ("True", "Programmed", "its Services are in place"),
    ),
    (
        "FrontReady", (_not_accepted, _headless, _no_port, _numeric, _host_network, _no_front),
        ("True", "FrontReady", "callers without a sidecar are balanced per message, too"),
    ),
    (
        "Injected", (_not_accepted, _no_pods, _host_network, _lacking),
        ("True", "AllInjected", "all pods have the sidecar"),
    ),
)  # fmt: skip
