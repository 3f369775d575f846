"""The ports of a pod: on which its app may listen, and the names that move from the app to the sidecar.

Used by `injection`, for pods that have no sidecar yet. A Service that targets a port by name finds the sidecar once
that name is the sidecar's: pods without one go on being reached at the app, and no Service has to change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from msgspec import Struct

from tcpservice_operator.objects import listed_ports
from tcpservice_operator.roles import Served
from tcpservice_operator.services import front_name

ADMIN: Final = 15890
"""Health, metrics, and the hooks: by number, as a name is looked up in the app's own container alone."""

FIRST_FRONT: Final = 15820
"""The sidecar takes callers that have no sidecar at this port, those of the pod's next TcpService at the next."""

_LONGEST_NAME: Final = 15
_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
_HOOKS: Final = ("postStart", "preStop")

Document = dict[str, Any]


class AppPorts(Struct, frozen=True):
    """Where the apps of a pod may listen; `known` is false where the pod says nothing of it."""

    numbers: frozenset[int]
    known: bool


class Front(Struct, frozen=True, kw_only=True):
    """Where the sidecar takes callers of a TcpService that have no sidecar, and where the app listens."""

    served: Served
    name: str
    number: int
    app_port: int


def app_ports(pod: Document, targeted: frozenset[int] = frozenset()) -> AppPorts:
    """Return where the apps of a pod may listen: what its annotation lists, else what it declares, or others target."""
    listed = listed_ports((pod.get("metadata") or {}).get("annotations") or {})
    if listed is not None:
        return AppPorts(frozenset(listed), known=True)
    found = {port for container in _running(pod) for port in _declared(container)}
    # 3000 is where NestJS listens when nothing is said.
    return AppPorts(frozenset({3000, *found}) | targeted, known=bool(found))


def _declared(container: Document) -> Iterator[int]:
    yield from (port["containerPort"] for port in container.get("ports") or [])
    for action in _actions(container):
        for kind in ("httpGet", "tcpSocket", "grpc"):
            port = (action.get(kind) or {}).get("port")
            if isinstance(port, int) and port != ADMIN:
                yield port


def _actions(container: Document) -> Iterator[Document]:
    """Give the probes and hooks of a container."""
    yield from (container[probe] for probe in _PROBES if container.get(probe))
    lifecycle = container.get("lifecycle") or {}
    yield from (lifecycle[hook] for hook in _HOOKS if lifecycle.get(hook))


def move_ports(pod: Document, serves: Sequence[Served]) -> list[Front]:
    """Give the names that Services target to the sidecar; return its ports. The pod is changed in place."""
    fronts: list[Front] = []
    for served in serves:
        if any(front.served.target == served.target for front in fronts):
            continue  # its condition says that the port is taken
        target, number = served.target, FIRST_FRONT + len(fronts)
        app_port = target if isinstance(target, int) else _take_name(pod, target, served.port)
        fronts.append(Front(served=served, name=front_name(target), number=number, app_port=app_port))
    return fronts


def _take_name(pod: Document, name: str, otherwise: int) -> int:
    """Rename the app's port of a name; return its number, `otherwise` where no container declares it."""
    for container in _all(pod):
        for port in container.get("ports") or []:
            if port.get("name") == name:
                port["name"] = _free_name(pod, name)
                _probe_by_number(container, name, port["containerPort"])
                number: int = port["containerPort"]
                return number
    return otherwise


def _free_name(pod: Document, name: str) -> str:
    """Return a name for the app's port that no other port has."""
    taken = {port.get("name") for container in _all(pod) for port in container.get("ports") or []}
    endings = ("-app", *(f"-app{number}" for number in range(2, 100)))
    return next(new for end in endings if (new := name[: _LONGEST_NAME - len(end)].rstrip("-") + end) not in taken)


def _probe_by_number(container: Document, name: str, number: int) -> None:
    for action in _actions(container):
        for kind in ("httpGet", "tcpSocket"):
            if (action.get(kind) or {}).get("port") == name:
                action[kind]["port"] = number


def _running(pod: Document) -> Iterator[Document]:
    """Give the containers that run as long as the pod does."""
    stays = (each for each in pod["spec"].get("initContainers") or [] if each.get("restartPolicy") == "Always")
    yield from (*pod["spec"]["containers"], *stays)


def _all(pod: Document) -> Iterator[Document]:
    """Give all containers."""
    yield from (*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or []))
