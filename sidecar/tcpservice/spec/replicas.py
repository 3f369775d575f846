"""The replicas of a service, from the EndpointSlices that list them.

Used by `reading`. A slice tells more addresses than messages should go to: of its ports one is right, a pod in several
slices is one replica, and an address that is listed for two is a mistake.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct

from tcpservice.snapshot import Endpoint
from tcpservice.spec.addresses import join
from tcpservice.spec.checked import Checked
from tcpservice.spec.problems import Finding, Path, expected
from tcpservice.spec.slices import Conditions, SliceEndpoint, SlicePort, TargetRef

MESH_PORT: Final = "mesh"
APP_PORT: Final = "app"
_TARGET: Final = ("spec", "targetPort")
_DIALLED: Final = ("spec", "port")


class _Replica(Struct, frozen=True, eq=False):
    """An endpoint, and where it was found."""

    endpoint: Endpoint
    uid: str | None
    found_in: Checked
    path: Path

    @property
    def place(self) -> str:
        """Where it was found, for people."""
        return self.found_in.document.place(self.path)


def replicas_of(service: Checked, slices: Iterable[Checked]) -> tuple[Endpoint, ...]:
    """Give the replicas of a service; what is wrong with them is added to the slices."""
    chosen: dict[object, _Replica] = {}
    for each in slices:
        for replica in _replicas_in(each, service):
            known = chosen.setdefault(replica.uid or replica, replica)
            if replica.endpoint.mesh and not known.endpoint.mesh:
                chosen[replica.uid] = replica
    _refuse_shared_addresses(chosen.values())
    return tuple(replica.endpoint for replica in chosen.values())


def _refuse_shared_addresses(replicas: Iterable[_Replica]) -> None:
    known: dict[tuple[str, int], _Replica] = {}
    for replica in replicas:
        endpoint = replica.endpoint
        first = known.setdefault((endpoint.host.lower(), endpoint.port), replica)
        if first is not replica:
            address = join(endpoint.host, endpoint.port)
            replica.found_in.add(Finding(replica.path, f"{address} is already the address of {first.place}"))


def _replicas_in(each: Checked, service: Checked) -> Iterator[_Replica]:
    port = _port(each, service)
    if port is None:
        return
    number, mesh, app_port = port
    for index in range(each.count(("endpoints",))):
        path = ("endpoints", index)
        found = each.part(path, SliceEndpoint)
        if found is not None:
            target = found.target_ref or TargetRef()
            yield _Replica(_endpoint(found, target, number, mesh=mesh, app_port=app_port), target.uid, each, path)


def _endpoint(found: SliceEndpoint, target: TargetRef, port: int, *, mesh: bool, app_port: int | None) -> Endpoint:
    conditions = found.conditions or Conditions()
    ready = conditions.ready is not False
    host = found.addresses[0]
    return Endpoint(
        host=host,
        port=port,
        name=target.name or join(host, port),
        mesh=mesh,
        app_port=app_port,
        zone=found.zone,
        ready=ready,
        serving=ready if conditions.serving is None else conditions.serving,
        terminating=conditions.terminating is True,
    )


def _port(each: Checked, service: Checked) -> tuple[int, bool, int | None] | None:
    """Give the port to dial in a slice, whether a sidecar waits there, and if so the app's port behind it.

    None where that cannot be said.
    """
    if not each.whole(("ports",)):
        return None
    listed = each.part(("ports",), tuple[SlicePort, ...]) or ()
    ports = [(port.name, port.port) for port in listed if port.port is not None and port.protocol in (None, "TCP")]
    wanted = _wanted(service)
    matching = [port for want in wanted for port in ports if want in port]
    if matching or len(ports) == 1:
        name, number = (matching or ports)[0]
        mesh = name == MESH_PORT
        return number, mesh, dict(ports).get(APP_PORT) if mesh else None
    if each.count(("endpoints",)) and service.whole(_TARGET) and service.whole(_DIALLED):
        words = f"one TCP port, or one that is {', '.join(map(str, wanted[:-1]))} or {wanted[-1]}"
        each.add(expected(("ports",), words, [number for _, number in ports]))
    return None


def _wanted(service: Checked) -> list[object]:
    """Give the names and numbers that tell the port of a service from others, best first."""
    target = service.part(_TARGET, object)
    number = None if isinstance(target, int) else service.part(_DIALLED, int)
    return [MESH_PORT, APP_PORT, *(want for want in (target, number) if want is not None)]
