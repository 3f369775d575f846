"""The replicas of a TcpService, read from EndpointSlices.

Used by `cluster_state`. The slices of the headless Service `<name>-replicas` tell most: if their port `mesh` has a
number, the pods have a sidecar; otherwise they have none and are reached at the app. Where that Service does not exist
(a full quota, a Service whose EndpointSlices were made by hand), the slices of the user's own Service are read, and the
pods tell who has a sidecar. A pod can be in several slices (IPv4 and IPv6, or just injected); it counts as one replica.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from msgspec import Struct

from tcpservice.snapshot import Endpoint
from tcpservice.spec.addresses import join
from tcpservice.spec.replicas import APP_PORT, MESH_PORT
from tcpservice.spec.slices import SERVICE_LABEL
from tcpservice_operator.api.plain_objects import Body, Key, key_of

REPLICAS_SUFFIX: Final = "-replicas"


class Listed(Struct, frozen=True, kw_only=True):
    """One address of a slice. `uid` is that of the pod; `name` and `uid` are empty for an address without a pod."""

    uid: str
    name: str
    host: str
    zone: str | None
    ready: bool
    serving: bool
    terminating: bool

    def at(self, port: int, *, mesh: bool = False, app_port: int | None = None) -> Endpoint:
        """Return the endpoint at a port of this address."""
        return Endpoint(
            host=self.host,
            port=port,
            name=self.name or join(self.host, port),
            mesh=mesh,
            app_port=app_port,
            zone=self.zone,
            ready=self.ready,
            serving=self.serving,
            terminating=self.terminating,
        )


class Slice(Struct, frozen=True, kw_only=True):
    """An EndpointSlice. `service` is the Service that it belongs to, `ports` has the port numbers by name."""

    key: Key
    service: Key
    family: str
    ports: dict[str, int]
    listed: tuple[Listed, ...]


class SidecarPorts(Struct, frozen=True):
    """The mesh port of a pod's sidecar, and the port of the app, None if it is not known."""

    mesh: int
    app: int | None


Replica = tuple[str, Endpoint]
"""The uid of a pod, or the address of an endpoint without a pod, and the endpoint."""


def read_slice(body: Body) -> Slice | None:
    """Make the record of a slice; None if it belongs to no Service."""
    namespace, _ = key = key_of(body)
    service: str = (body["metadata"].get("labels") or {}).get(SERVICE_LABEL, "")
    if not service:
        return None
    return Slice(
        key=key,
        service=(namespace, service),
        family=body.get("addressType", ""),
        ports={port.get("name") or "": port["port"] for port in body.get("ports") or [] if port.get("port")},
        listed=tuple(_listed(one) for one in body.get("endpoints") or [] if one["addresses"]),
    )


def _listed(one: Body) -> Listed:
    target: Body = one.get("targetRef") or {}
    conditions: Body = one.get("conditions") or {}
    ready = conditions.get("ready") is not False
    return Listed(
        uid=target.get("uid") or "",
        name=target.get("name") or "",
        host=one["addresses"][0],
        zone=one.get("zone"),
        ready=ready,
        serving=ready if conditions.get("serving") is None else conditions["serving"],
        terminating=conditions.get("terminating") is True,
    )


def in_replicas(found: Slice, is_served: Callable[[str], bool]) -> Iterator[Replica]:
    """Yield the replicas in a slice of `<name>-replicas`.

    `is_served` returns whether the sidecar of a pod, given by name, serves this TcpService; if not, the endpoint is the
    app.
    """
    mesh, app = found.ports.get(MESH_PORT), found.ports.get(APP_PORT)
    for each in found.listed:
        if mesh is not None and is_served(each.name):
            endpoint = each.at(mesh, mesh=True, app_port=app)
        elif app is not None:
            endpoint = each.at(app)
        else:
            continue
        yield each.uid or endpoint.name, endpoint


def in_own_service(
    found: Slice, port_name: str, sidecar_of: Callable[[str, int], SidecarPorts | None]
) -> Iterator[Replica]:
    """Yield the replicas in a slice of the user's own Service.

    `sidecar_of` takes the name of a pod and the port of the slice, and returns the ports of its sidecar; None if the
    pod has no sidecar that serves this TcpService.
    """
    number = found.ports.get(port_name)
    if number is None:
        return
    for each in found.listed:
        sidecar = sidecar_of(each.name, number)
        endpoint = each.at(number) if sidecar is None else each.at(sidecar.mesh, mesh=True, app_port=sidecar.app)
        yield each.uid or endpoint.name, endpoint


def merge(families: Iterable[tuple[str, Iterable[Replica]]]) -> tuple[Endpoint, ...]:
    """Return each replica once, sorted by name; `families` has the address family of each slice, and its replicas.

    The sidecar is preferred to the app, and IPv4 to IPv6. If two pods have the same name (a StatefulSet replaces one),
    the pod that is not terminating is used.
    """
    chosen: dict[str, tuple[tuple[bool, str], Endpoint]] = {}
    for family, replicas in families:
        for uid, endpoint in replicas:
            rank = (not endpoint.mesh, family)
            if uid not in chosen or rank < chosen[uid][0]:
                chosen[uid] = rank, endpoint
    named: dict[str, Endpoint] = {}
    for _, endpoint in sorted(chosen.values(), key=lambda one: not one[1].terminating):
        named[endpoint.name] = endpoint
    return tuple(named[name] for name in sorted(named))
