"""The ports of a pod: on which its app may listen, and the port names that move from the app to the sidecar.

Used by `pod_patch`, for pods that have no sidecar yet. A Service that targets a port by name leads to the container
that has the name. When the name moves to the sidecar's inbound listener, the Service leads to the sidecar in this pod,
and still to the app in pods without a sidecar. No Service has to change. A name that Services with different pods
target stays with the app: the listener would send the messages of one Service to the pods of another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from tcpservice_operator.api.plain_objects import Key
from tcpservice_operator.cache.objects import listed_ports
from tcpservice_operator.cache.pod_roles import Served
from tcpservice_operator.cache.targets import MESH_NUMBER, inbound_port_name

ADMIN: Final = 15890
"""The port of health, metrics and hooks. Hooks use the number, because names resolve in their own container only."""

FIRST_INBOUND_PORT: Final = 15820
"""The port of the first inbound listener of a pod; the next TcpServices have the next ports."""

_LONGEST_NAME: Final = 15
_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
_HOOKS: Final = ("postStart", "preStop")

Document = dict[str, Any]


class AppPorts(Struct, frozen=True):
    """The ports on which the apps of a pod may listen. `known` is false if the pod declares none."""

    numbers: frozenset[int]
    known: bool


class InboundListener(Struct, frozen=True, kw_only=True):
    """An inbound listener: name and number of its port, and the TcpService over whose pods it balances."""

    key: Key
    name: str
    number: int


class ServingPorts(Struct, frozen=True, kw_only=True):
    """What the sidecar of a pod needs to serve: the port of the app for each TcpService, and inbound listeners.

    TcpServices with the same target share an inbound listener. `notes` tell which ports have none, and why.
    """

    apps: Mapping[Key, int]
    listeners: tuple[InboundListener, ...]
    notes: tuple[str, ...]


def app_ports(pod: Document, targeted: frozenset[int] = frozenset()) -> AppPorts:
    """Return the ports on which apps may listen: those of the annotation, else declared and `targeted` ones."""
    listed = listed_ports((pod.get("metadata") or {}).get("annotations") or {})
    if listed is not None:
        return AppPorts(frozenset(listed), known=True)
    found = {port for container in _running(pod) for port in _declared(container)}
    # 3000 is the default port of NestJS.
    return AppPorts(frozenset({3000, *found}) | targeted, known=bool(found))


def _declared(container: Document) -> Iterator[int]:
    yield from (port["containerPort"] for port in container.get("ports") or [])
    for action in _actions(container):
        for kind in ("httpGet", "tcpSocket", "grpc"):
            port = (action.get(kind) or {}).get("port")
            if isinstance(port, int) and port != ADMIN:
                yield port


def _actions(container: Document) -> Iterator[Document]:
    """Yield the probes and hooks of a container."""
    yield from (container[probe] for probe in _PROBES if container.get(probe))
    lifecycle = container.get("lifecycle") or {}
    yield from (lifecycle[hook] for hook in _HOOKS if lifecycle.get(hook))


def move_ports(pod: Document, serves: Sequence[Served]) -> ServingPorts:
    """Move the port names that Services target to the sidecar, in place."""
    apps: dict[Key, int] = {}
    listeners: list[InboundListener] = []
    notes: list[str] = []
    numbers: dict[str | int, int] = {}
    for served in serves:
        target = served.target
        if target not in numbers:
            numbers[target] = target if isinstance(target, int) else _number_of(pod, target, served.port)
            if served.sharing:
                notes.append(
                    f"port {target} leads to the app, not to the sidecar, because {', '.join(served.sharing)} and "
                    f"TcpService {'/'.join(served.key)} target it and select different pods"
                )
            else:
                number = FIRST_INBOUND_PORT + len(listeners)
                listeners.append(InboundListener(key=served.key, name=inbound_port_name(target), number=number))
        apps[served.key] = numbers[target]
    for listener in listeners:
        _take_name(pod, listener.name)
    return ServingPorts(apps=apps, listeners=tuple(listeners), notes=tuple(notes))


def sidecar_ports(ports: ServingPorts) -> set[int]:
    """Return the numbers of the ports on which a sidecar listens at all addresses."""
    return {ADMIN, *((MESH_NUMBER,) if ports.apps else ()), *(listener.number for listener in ports.listeners)}


def _number_of(pod: Document, name: str, otherwise: int) -> int:
    """Return the number of the app's port of a name, `otherwise` if no container declares it."""
    ports = (port for container in _all(pod) for port in container.get("ports") or [] if port.get("name") == name)
    number: int = next((port["containerPort"] for port in ports), otherwise)
    return number


def _take_name(pod: Document, name: str) -> None:
    """Rename the app's port of a name, if there is one."""
    for container in _all(pod):
        for port in container.get("ports") or []:
            if port.get("name") == name:
                port["name"] = _free_name(pod, name)
                _probe_by_number(container, name, port["containerPort"])
                return


def _free_name(pod: Document, name: str) -> str:
    """Return a free name for the app's port."""
    taken = {port.get("name") for container in _all(pod) for port in container.get("ports") or []}
    endings = ("-app", *(f"-app{number}" for number in range(2, 100)))
    return next(new for end in endings if (new := name[: _LONGEST_NAME - len(end)].rstrip("-") + end) not in taken)


def _probe_by_number(container: Document, name: str, number: int) -> None:
    for action in _actions(container):
        for kind in ("httpGet", "tcpSocket"):
            if (action.get(kind) or {}).get("port") == name:
                action[kind]["port"] = number


def _running(pod: Document) -> Iterator[Document]:
    """Yield the containers that run as long as the pod."""
    stays = (each for each in pod["spec"].get("initContainers") or [] if each.get("restartPolicy") == "Always")
    yield from (*pod["spec"]["containers"], *stays)


def _all(pod: Document) -> Iterator[Document]:
    """Yield all containers, init containers too."""
    yield from (*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or []))
