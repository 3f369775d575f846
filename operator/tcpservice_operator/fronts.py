"""Whether callers without a sidecar are balanced per message, too, and the command that makes it so: `FrontReady`.

Used by `conditions`. Such callers come by the Service. Where that targets the *name* that injection moves from the
app's port to the sidecar's, they find the sidecar in pods that have one, and the app in others.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any, Final

from tcpservice_operator.evidence import Check, Said, View, restarts, some
from tcpservice_operator.objects import Pod, ServicePort
from tcpservice_operator.reach import closing, opening
from tcpservice_operator.services import front_name, fronted

_NAME: Final = "nestjs"
"""What a port is called that has no name yet."""


def naming(pod: Pod, name: str, number: int) -> str:
    """Return the command that names a port in the template of a pod."""
    port = {"name": name, "containerPort": number}
    patch = {"spec": {"template": {"spec": {"containers": [{"name": pod.container, "ports": [port]}]}}}}
    owner = pod.workload or "the owner of the pods"
    return f"kubectl patch -n {pod.key[0]} {owner} -p {shlex.quote(json.dumps(patch))}"


def _headless(view: View) -> Said | None:
    if view.service is None or not view.service.headless:
        return None
    return (
        "False", "HeadlessService",
        f"the Service {view.place} is headless, so that callers without a sidecar choose a pod themselves; "
        f"give the callers one: kubectl label namespace {view.wanted.key[0]} tcpservice.dev/inject=enabled",
    )  # fmt: skip


def _no_port(view: View) -> Said | None:
    """Find a Service without the port; where it gets a second one, both need names, and different ones."""
    if view.service is None or _port_of(view) is not None:
        return None
    taken = {port.name for port in view.service.ports}
    name = f"{_NAME}-{view.port}" if _NAME in taken else _NAME
    new = {"name": name, "port": view.port, "targetPort": view.target}
    patch = [
        {"op": "add", "path": f"/spec/ports/{index}/name", "value": f"port-{port.port}"}
        for index, port in enumerate(view.service.ports)
        if not port.name
    ] + [{"op": "add", "path": "/spec/ports/-", "value": new}]
    return (
        "False", "PortMissing",
        f"the Service {view.place} has no port {view.port}; add it: {_patching(view, 'service', 'json', patch)}",
    )  # fmt: skip


def _other_target(view: View) -> Said | None:
    """Find a Service of somebody else that does not target the front."""
    found = _port_of(view)
    if found is None or view.service is None or view.service.ours:
        return None
    index, port = found
    led = port.target or port.port
    if led == front_name(view.target):
        return None
    mend = _mend(view, index, led)
    if isinstance(led, int):
        return (
            "False", "NumericTargetPort",
            f"the Service {view.place} targets the number {led}, so that callers without a sidecar are balanced per "
            f"connection; {mend}",
        )  # fmt: skip
    return (
        "False", "OtherTargetPort",
        f"the Service {view.place} targets {led}, and the TcpService {view.target}, so that callers without a sidecar "
        f"are balanced per connection; {mend}",
    )  # fmt: skip


def _mend(view: View, index: int, led: str | int) -> str:
    """Say what lets both target one name, which injection can move; first of all the pods' port has to have it."""
    name = next((each for each in (view.target, led) if isinstance(each, str)), None) or _common_name(view, led)
    staying = view.staying
    if name is None or not all(name in dict(pod.port_names) for pod in staying):
        number = next((each for each in (led, view.target) if isinstance(each, int)), view.port)
        if not staying:
            return f"let it target the name of a port, which the app's container gives to {number}"
        return f"first name the port, where the app listens on {number}: {naming(staying[0], name or _NAME, number)}"
    return "to mend it: " + " && ".join(_commands(view, index, led, name))


def _commands(view: View, index: int, led: str | int, name: str) -> Iterator[str]:
    """Give what leads from here to a name, in an order in which callers always find somebody."""
    if view.wanted.document["spec"].get("targetPort") not in (None, name):
        yield _patching(view, "tcpservice", "merge", {"spec": {"targetPort": name}})
    if led != name:
        patch = [{"op": "replace", "path": f"/spec/ports/{index}/targetPort", "value": name}]
        yield _patching(view, "service", "json", patch)
    yield from restarts(pod for pod in view.staying if pod.injected and name not in dict(pod.sidecar_ports))


def _common_name(view: View, number: str | int) -> str | None:
    """Return a name that a port of the app has in every pod."""
    named = [{name for name, value in pod.port_names if value == number} for pod in view.staying]
    return min(set.intersection(*named), default=None) if named else None


def on_host_network(view: View) -> Said | None:
    """Find pods that cannot have a sidecar."""
    names = [pod.key[1] for pod in view.pods if pod.host_network]
    if not names:
        return None
    return "False", "HostNetwork", f"pods on the host's network get no sidecar: {some(names)}"


def _no_front(view: View) -> Said | None:
    there = fronted(view.wanted, view.target, view.ready)
    if not there:
        why = "no ready pod has the sidecar, so that callers are balanced per connection"
    elif view.service is not None and view.service.ours and isinstance(view.target, int) and there != view.ready:
        why = (
            f"{len(view.ready) - len(there)} of {len(view.ready)} ready pods lack the sidecar; until all have it, "
            f"callers without one are balanced per connection, as the target is a number"
        )
    else:
        return None
    fix = restarts(pod for pod in view.ready if pod not in there and not pod.refused)
    return "False", "NoSidecar", ": ".join([why, *(["; ".join(fix)] if fix else [])])


def _closed(view: View) -> Said | None:
    """Find a NetworkPolicy that lets no caller without a sidecar reach the front."""
    name = front_name(view.target)
    numbers = ((pod, dict(pod.sidecar_ports)[name]) for pod in fronted(view.wanted, view.target, view.staying))
    closed = [
        (pod, number, policy)
        for pod, number in numbers
        if (policy := closing(view.policies, pod, (number, name))) is not None
    ]
    if not closed:
        return None
    (pod, number, policy), pods = closed[0], some([each.key[1] for each, *_ in closed])
    return (
        "False", "FrontPortClosed",
        f"no NetworkPolicy lets callers without a sidecar reach port {number} of {pods}; "
        f"open it: {opening(policy, number, {view.target, *pod.app_ports})}",
    )  # fmt: skip


def _port_of(view: View) -> tuple[int, ServicePort] | None:
    ports = view.service.ports if view.service is not None else ()
    return next(((index, port) for index, port in enumerate(ports) if port.port == view.port), None)


def _patching(view: View, kind: str, how: str, patch: Any) -> str:
    """Return the command that changes the TcpService, or the Service of its name."""
    namespace, name = view.wanted.key
    return f"kubectl patch {kind} -n {namespace} {name} --type={how} -p {shlex.quote(json.dumps(patch))}"


FRONT_READY: Final[tuple[Check, ...]] = (_headless, _no_port, _other_target, on_host_network, _no_front, _closed)
