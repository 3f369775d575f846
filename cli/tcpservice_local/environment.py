"""The variables and the words of one replica's processes, once it has its ports.

Used by `pod`. What the cluster does by host aliases is done here by variables: a value that is the name of a service
becomes the address at which this replica's sidecar takes messages for it. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from tcpservice_local.fleet_plan import ServicePlan, Workload
from tcpservice_local.variables import expand, field_of

_HOST: Final = "127.0.0.1"
_ADDRESSED: Final = re.compile(r"(?<![A-Za-z0-9.-])(?P<name>[a-z][a-z0-9.-]*):(?P<port>[0-9]+)(?![0-9])")
_WEB: Final = re.compile(r"(?<=http://)(?P<name>[a-z][a-z0-9.-]*)(?![A-Za-z0-9.:@-])")
_HTTP: Final = "80"
_MEANS_HOST: Final = ("HOST", "HOSTNAME", "ADDR", "ADDRESS", "SERVER")


class Outlet(Struct, frozen=True):
    """Where a replica dials a service: the outbound listener of its own sidecar."""

    service: ServicePlan
    host: str
    port: int


class Place(Struct, frozen=True, kw_only=True):
    """What is a replica's own: its name, the local port for each port of its container, and its outlets."""

    name: str
    ports: Mapping[int, int]
    outlets: tuple[Outlet, ...]
    telemetry: Mapping[str, str]


def environment_of(workload: Workload, place: Place, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the app, in the kubelet's order: the services', then the container's own.

    `PORT` is the local port of the first port that the container serves, whatever the manifest gives it: three replicas
    cannot share one port of this machine. `HTTP_PORT` is that of the container's port named `http`, and so on. Each
    `..._PORT` in the manifest whose value is one of the container's ports is the local port, too.
    """
    variables = {**inherited, **place.telemetry, **_services(workload, place), "HOSTNAME": place.name}
    if workload.numbers:
        variables["PORT"] = str(place.ports[workload.numbers[0]])
    for name, number in workload.ports.items():
        if not name.isdecimal():
            variables[f"{name.upper().replace('-', '_')}_PORT"] = str(place.ports[number])
    dialled = _ports_of_hosts(workload, place)
    for variable in workload.variables:
        value = _value(workload, place, variable.field) if variable.field else expand(variable.value, variables)
        variables[variable.name] = dialled.get(variable.name) or _localised(variable.name, value, workload, place)
    return variables


def words_of(workload: Workload, variables: Mapping[str, str]) -> list[str]:
    """Return the command with its `$(NAME)`s replaced."""
    return [expand(word, variables) for word in workload.words]


def _localised(name: str, value: str, workload: Workload, place: Place) -> str:
    """Return a variable's value as it holds on this machine."""
    if _means(name, "PORT") and value.isdecimal() and int(value) in place.ports:
        return str(place.ports[int(value)])
    outlet = _outlet(value, workload, place)
    if outlet is not None and (_means(name, *_MEANS_HOST) or "." in value):
        return outlet.host
    value = _ADDRESSED.sub(lambda match: _dialled(match, workload, place, match["port"]), value)
    return _WEB.sub(lambda match: _dialled(match, workload, place, _HTTP), value)


def _dialled(match: re.Match[str], workload: Workload, place: Place, port: str) -> str:
    """Return a service's outlet in place of `NAME:PORT`, where the port is the service's; `http://NAME` means 80."""
    outlet = _outlet(match["name"], workload, place, port)
    return match[0] if outlet is None else f"{outlet.host}:{outlet.port}"


def _ports_of_hosts(workload: Workload, place: Place) -> dict[str, str]:
    """Where `X_HOST` names a service and `X_PORT` its port, give those of the outlet, not the container's own."""
    given = {variable.name: variable.value for variable in workload.variables}
    found = {}
    for name, value in given.items():
        port = name.removesuffix("HOST") + "PORT"
        if not _means(name, "HOST") or port not in given:
            continue
        outlet = _outlet(value, workload, place, given[port])
        if outlet is not None:
            found[name], found[port] = outlet.host, str(outlet.port)
    return found


def _outlet(name: str, workload: Workload, place: Place, port: str | None = None) -> Outlet | None:
    """Return where a service is dialled, by one of its names, and by its port where that is known."""
    named = (each for each in place.outlets if name in names_of(each.service, workload.namespace))
    return next((each for each in named if port in (None, str(each.service.port))), None)


def _means(name: str, *endings: str) -> bool:
    return name.upper().endswith(endings)


def names_of(service: ServicePlan, namespace: str) -> list[str]:
    """Return the names under which a pod of a namespace finds a service."""
    full = [f"{service.host}.{service.namespace}{suffix}" for suffix in ("", ".svc", ".svc.cluster.local")]
    return [service.host, *full] if service.namespace == namespace else full


def _services(workload: Workload, place: Place) -> dict[str, str]:
    """Return what Kubernetes tells every pod about the services of its namespace."""
    found = {}
    for outlet in place.outlets:
        if outlet.service.namespace == workload.namespace:
            prefix = outlet.service.name.upper().replace("-", "_")
            found[f"{prefix}_SERVICE_HOST"] = outlet.host
            found[f"{prefix}_SERVICE_PORT"] = str(outlet.port)
    return found


def _value(workload: Workload, place: Place, path: str) -> str:
    pod = {
        "metadata.name": place.name,
        "metadata.namespace": workload.namespace,
        "metadata.uid": place.name,
        "spec.nodeName": "localhost",
        "spec.serviceAccountName": workload.account,
        "status.hostIP": _HOST,
        "status.podIP": _HOST,
        "status.podIPs": _HOST,
    }
    return field_of(path, pod, workload.labels, workload.annotations)
