"""The checks of the condition `InboundReady`: whether messages of callers without a sidecar are balanced one by one.

Used by `condition_checks`. Such callers connect to the Service of the TcpService's name. The webhook moves the name of
the app's port to the inbound listener of the sidecar. If the Service targets the port by this name, it leads to the
inbound listener in pods that have a sidecar, and to the app in pods that have none. If the Service targets a number, it
leads to the app in all pods.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any, Final

from tcpservice_operator.cache.objects import Pod, ServicePort
from tcpservice_operator.cache.targets import ADMIN_PORT, inbound_port_name, with_inbound_listener
from tcpservice_operator.conditions.evidence import Check, Evidence, Problem, count_of, list_some, restart_commands
from tcpservice_operator.conditions.network_policies import is_closed, open_command

_PER_CONNECTION: Final = "so Kubernetes balances callers without a sidecar per connection, not per message"
_NAME: Final = "nestjs"
"""The name that the commands give to a port without a name."""


def name_port_command(pod: Pod, name: str, number: int) -> str:
    """Return the command that names a port in the template of a pod."""
    port = {"name": name, "containerPort": number}
    patch = {"spec": {"template": {"spec": {"containers": [{"name": pod.container, "ports": [port]}]}}}}
    owner = pod.workload or "the owner of the pods"
    return f"kubectl patch -n {pod.key[0]} {owner} -p {shlex.quote(json.dumps(patch))}"


def _headless(evidence: Evidence) -> Problem | None:
    if evidence.service is None or not evidence.service.headless:
        return None
    return (
        "HeadlessService",
        f"The Service {evidence.full_name} is headless, so callers without a sidecar choose a pod themselves. "
        f"{_inject_callers(evidence)}",
    )


def _manual_endpoints(evidence: Evidence) -> Problem | None:
    if not evidence.has_own_slices:
        return None
    return (
        "ManualEndpoints",
        f"The Service {evidence.full_name} has no selector, and connections go directly to the addresses of its "
        f"EndpointSlices, {_PER_CONNECTION}. {_inject_callers(evidence)}",
    )


def _inject_callers(evidence: Evidence) -> str:
    """Return the command after which callers get a sidecar when they are created."""
    label = f"kubectl label namespace {evidence.tcp_service.key[0]} tcpservice.dev/inject=enabled"
    return f"To add the sidecar to callers when they are recreated: {label}"


def _port_missing(evidence: Evidence) -> Problem | None:
    """Find a Service without the port. Kubernetes requires distinct port names from the second port on."""
    if evidence.service is None or _port_of(evidence) is not None:
        return None
    taken = {port.name for port in evidence.service.ports}
    name = f"{_NAME}-{evidence.port}" if _NAME in taken else _NAME
    new = {"name": name, "port": evidence.port, "targetPort": evidence.target}
    patch = [
        {"op": "add", "path": f"/spec/ports/{index}/name", "value": f"port-{port.port}"}
        for index, port in enumerate(evidence.service.ports)
        if not port.name
    ] + [{"op": "add", "path": "/spec/ports/-", "value": new}]
    return (
        "PortMissing",
        f"The Service {evidence.full_name} has no port {evidence.port}, so callers without a sidecar cannot connect. "
        f"To add the port: {_patch_command(evidence, 'service', 'json', patch)}",
    )


def _other_target(evidence: Evidence) -> Problem | None:
    """Find a Service that the operator did not create and that does not target the inbound listener."""
    found = _port_of(evidence)
    if found is None or evidence.service is None or evidence.service.ours:
        return None
    index, port = found
    targeted = port.target or port.port
    if targeted == inbound_port_name(evidence.target):
        return None
    fix = _fix(evidence, index, targeted)
    if isinstance(targeted, int):
        return (
            "NumericTargetPort",
            f"The Service {evidence.full_name} targets port {targeted} by number. Its connections bypass the sidecars, "
            f"{_PER_CONNECTION}. {fix}",
        )
    return (
        "OtherTargetPort",
        f"The Service {evidence.full_name} targets port {targeted}, but the TcpService targets port {evidence.target}. "
        f"Connections of the Service bypass the sidecars, {_PER_CONNECTION}. {fix}",
    )


def _fix(evidence: Evidence, index: int, targeted: str | int) -> str:
    """Return how to let Service and TcpService target one port name; the pods must have a port of that name first."""
    name = next((each for each in (evidence.target, targeted) if isinstance(each, str)), None)
    name = name or _common_name(evidence, targeted)
    staying = evidence.staying
    if name is None or not all(name in dict(pod.port_names) for pod in staying):
        number = next((each for each in (targeted, evidence.target) if isinstance(each, int)), evidence.port)
        if not staying:
            return f"To fix it, name port {number} in the pod template, and set the Service's targetPort to that name."
        command = name_port_command(staying[0], name or _NAME, number)
        return f"First name the port in the pod template. If the app listens on port {number}: {command}"
    return "To fix it: " + " && ".join(_commands(evidence, index, targeted, name))


def _commands(evidence: Evidence, index: int, targeted: str | int, name: str) -> Iterator[str]:
    """Yield the commands that let both target a name, in an order in which callers can connect after each command."""
    if evidence.tcp_service.document["spec"].get("targetPort") not in (None, name):
        yield _patch_command(evidence, "tcpservice", "merge", {"spec": {"targetPort": name}})
    if targeted != name:
        patch = [{"op": "replace", "path": f"/spec/ports/{index}/targetPort", "value": name}]
        yield _patch_command(evidence, "service", "json", patch)
    yield from restart_commands(pod for pod in evidence.staying if pod.injected and name not in dict(pod.sidecar_ports))


def _common_name(evidence: Evidence, number: str | int) -> str | None:
    """Return a name that the port of a number has in all pods, None if there is none."""
    named = [{name for name, value in pod.port_names if value == number} for pod in evidence.staying]
    return min(set.intersection(*named), default=None) if named else None


def _shared_port(evidence: Evidence) -> Problem | None:
    """Find Services and TcpServices for which the inbound listeners would take the pods of this one."""
    if not evidence.sharing:
        return None
    why = (
        f"Port {evidence.target} of the pods is also the target of {list_some(evidence.sharing)}, with a different "
        f"selector. The port stays with the app, {_PER_CONNECTION}."
    )
    fix = f"If all should select the same pods, give them the same selector. {_inject_callers(evidence)}"
    if evidence.older:
        commands = restart_commands(evidence.older) or [list_some([pod.key[1] for pod in evidence.older])]
        verb = "listens" if len(evidence.older) == 1 else "listen"
        fix = f"{count_of(len(evidence.older), 'sidecar')} still {verb} on this port. To recreate the pods: " + (
            "; ".join(commands)
        )
    return "SharedPort", f"{why} {fix}"


def on_host_network(evidence: Evidence) -> Problem | None:
    """Find pods on the host network, which cannot have a sidecar."""
    names = [pod.key[1] for pod in evidence.pods if pod.host_network]
    if not names:
        return None
    return (
        "HostNetwork",
        f"Pods on the host network cannot have the sidecar: {list_some(names)}. "
        "To add it, remove hostNetwork: true from the pod template.",
    )


def _no_sidecar(evidence: Evidence) -> Problem | None:
    listening = with_inbound_listener(evidence.tcp_service, evidence.target, evidence.ready)
    ready, service = evidence.ready, evidence.service
    if not listening:
        why = f"No ready pod has a sidecar for the target port, {_PER_CONNECTION}."
    elif service is not None and service.ours and isinstance(evidence.target, int) and listening != ready:
        lacking = len(ready) - len(listening)
        why = (
            f"{lacking} of {count_of(len(ready), 'ready pod')} {'has' if lacking == 1 else 'have'} no sidecar. The "
            f"target port is a number, and the Service targets it until all ready pods have a sidecar, "
            f"{_PER_CONNECTION}."
        )
    else:
        return None
    fix = restart_commands(pod for pod in ready if pod not in listening and not pod.refused)
    return "NoSidecar", f"{why} To recreate the pods: {'; '.join(fix)}" if fix else why


def _inbound_port_closed(evidence: Evidence) -> Problem | None:
    """Find NetworkPolicies that open the inbound listener of a pod to no caller."""
    name = inbound_port_name(evidence.target)
    listening = with_inbound_listener(evidence.tcp_service, evidence.target, evidence.staying)
    numbers = ((pod, dict(pod.sidecar_ports)[name]) for pod in listening)
    closed = [(pod, number) for pod, number in numbers if is_closed(evidence.policies, pod, (number, name))]
    if not closed:
        return None
    (pod, number), pods = closed[0], list_some([each.key[1] for each, _ in closed])
    return (
        "InboundPortClosed",
        f"NetworkPolicies block port {number} of {pods}, on which sidecars accept callers without a sidecar. "
        f"To allow the port: {open_ports_command(evidence, pod)}",
    )


def open_ports_command(evidence: Evidence, pod: Pod) -> str:
    """Return the command that opens those ports of a pod's sidecar that are for callers and are closed."""
    ports = [(number, name) for name, number in pod.sidecar_ports if name != ADMIN_PORT]
    return open_command(evidence.policies, pod, ports, {evidence.target, *pod.app_ports})


def _port_of(evidence: Evidence) -> tuple[int, ServicePort] | None:
    ports = evidence.service.ports if evidence.service is not None else ()
    return next(((index, port) for index, port in enumerate(ports) if port.port == evidence.port), None)


def _patch_command(evidence: Evidence, kind: str, how: str, patch: Any) -> str:
    """Return the command that patches the TcpService, or the Service of its name."""
    namespace, name = evidence.tcp_service.key
    return f"kubectl patch {kind} -n {namespace} {name} --type={how} -p {shlex.quote(json.dumps(patch))}"


INBOUND_CHECKS: Final[tuple[Check, ...]] = (
    _headless, _manual_endpoints, _port_missing, _other_target, _shared_port, on_host_network, _no_sidecar,
    _inbound_port_closed,
)  # fmt: skip
