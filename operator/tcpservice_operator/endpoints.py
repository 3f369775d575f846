"""The replicas of a TcpService, from the EndpointSlices of its headless Service.

Used by `state`. A slice whose port `mesh` has a number lists pods with a sidecar, others list pods without one, which
are reached at the app itself. A pod that stands in several slices (two families of addresses, or just injected) is one
replica.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from tcpservice.snapshot import Endpoint
from tcpservice.spec.addresses import join
from tcpservice.spec.replicas import APP_PORT, MESH_PORT
from tcpservice.spec.slices import SERVICE_LABEL
from tcpservice_operator.objects import Body, Key, key_of

REPLICAS_SUFFIX: Final = "-replicas"


class Slice(Struct, frozen=True, kw_only=True):
    """A slice: the TcpService whose replicas it lists, and these, each with the pod's uid."""

    key: Key
    service: Key
    family: str
    replicas: tuple[tuple[str, Endpoint], ...]


def service_of(body: Body) -> Key | None:
    """Return the TcpService whose replicas a slice lists; None where it lists something else."""
    name: str = (body["metadata"].get("labels") or {}).get(SERVICE_LABEL, "")
    if not name.endswith(REPLICAS_SUFFIX):
        return None
    return body["metadata"]["namespace"], name.removesuffix(REPLICAS_SUFFIX)


def read_slice(body: Body, service: Key) -> Slice:
    """Keep what matters of a slice."""
    ports = {port.get("name"): port["port"] for port in body.get("ports") or [] if port.get("port")}
    number, mesh = ports.get(MESH_PORT), True
    if number is None:
        number, mesh = ports.get(APP_PORT), False
    listed = (body.get("endpoints") or []) if number is not None else []
    return Slice(
        key=key_of(body),
        service=service,
        family=body["addressType"],
        replicas=tuple(
            _replica(one, number or 0, mesh=mesh, app_port=ports.get(APP_PORT) if mesh else None)
            for one in listed
            if one["addresses"]
        ),
    )


def _replica(listed: Body, port: int, *, mesh: bool, app_port: int | None) -> tuple[str, Endpoint]:
    host: str = listed["addresses"][0]
    target: Body = listed.get("targetRef") or {}
    conditions: Body = listed.get("conditions") or {}
    ready = conditions.get("ready") is not False
    endpoint = Endpoint(
        host=host,
        port=port,
        name=target.get("name") or join(host, port),
        mesh=mesh,
        app_port=app_port,
        zone=listed.get("zone"),
        ready=ready,
        serving=ready if conditions.get("serving") is None else conditions["serving"],
        terminating=conditions.get("terminating") is True,
    )
    return target.get("uid") or endpoint.name, endpoint


def merge(slices: Iterable[Slice], is_served: Callable[[Endpoint], bool]) -> tuple[Endpoint, ...]:
    """Return the replicas, by name, each once: at its sidecar rather than its app, by IPv4 rather than IPv6.

    A pod whose sidecar does not serve this TcpService (`is_served`) is reached at its app. Two pods of one name (a
    StatefulSet's, one of which has gone) are the one that does not terminate.
    """
    chosen: dict[str, tuple[tuple[bool, str], Endpoint]] = {}
    for each in slices:
        for uid, listed in each.replicas:
            endpoint = listed if not listed.mesh or is_served(listed) else listed.at_app()
            if endpoint is None:
                continue
            rank = (not endpoint.mesh, each.family)
            if uid not in chosen or rank < chosen[uid][0]:
                chosen[uid] = rank, endpoint
    named: dict[str, Endpoint] = {}
    for _, endpoint in sorted(chosen.values(), key=lambda one: not one[1].terminating):
        named[endpoint.name] = endpoint
    return tuple(named[name] for name in sorted(named))
