"""Aliases: host names that lead a calling pod to its own sidecar, with one loopback address for each TcpService.

Used by `pod_patch`. An alias captures every port of its name. Its address conflicts with an app that listens on the
same port of all addresses. If one of these may break the app, the pod gets no alias for that TcpService, and its calls
go to the Service.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from msgspec import Struct

from tcpservice_operator.api.names import APP_PORTS_ANNOTATION
from tcpservice_operator.api.plain_objects import Key
from tcpservice_operator.cache.pod_roles import Called
from tcpservice_operator.inject.pod_ports import AppPorts

DOMAIN: Final = "cluster.local"
_OURS: Final = "127.77."
_HOSTS: Final = 254

Document = dict[str, Any]


class Alias(Struct, frozen=True, kw_only=True):
    """The alias of one TcpService: address, host names, and Kubernetes' variable (empty for other namespaces)."""

    called: Called
    address: str
    names: tuple[str, ...]
    variable: str


def left_out(pod: Document, calls: Sequence[Called], listened: AppPorts, served: Collection[int]) -> dict[Key, str]:
    """Return the TcpServices that get no alias, with the reasons."""
    others = [each for each in pod["spec"].get("hostAliases") or [] if not each["ip"].startswith(_OURS)]
    taken = {name for each in others for name in each.get("hostnames") or []}
    reasons = (
        (called.key, _why_not(called, listened, served) or _why_taken(list(_names(called.key, _home(pod))), taken))
        for called in calls
    )
    return {key: reason for key, reason in sorted(reasons) if reason}


def aliases_of(pod: Document, calls: Sequence[Called]) -> list[Alias]:
    """Return an alias for each TcpService, by name."""
    home, aliases = _home(pod), list[Alias]()
    for called in sorted(calls, key=lambda called: called.key):
        address = _address(called.key, {alias.address for alias in aliases})
        variable = f"{called.key[1].upper().replace('-', '_')}_SERVICE_HOST" if called.key[0] == home else ""
        names = tuple(_names(called.key, home))
        aliases.append(Alias(called=called, address=address, names=names, variable=variable))
    return aliases


def _home(pod: Document) -> str:
    namespace: str = (pod.get("metadata") or {}).get("namespace") or ""
    return namespace


def _why_not(called: Called, listened: AppPorts, served: Collection[int]) -> str:
    if called.refused:
        return called.refused
    if called.others:
        others = ", ".join(map(str, called.others))
        return f"the alias would also redirect the other ports of the Service ({others})"
    if not listened.known:
        return (
            f"the pod declares no port, so the app itself may listen on port {called.port} "
            f'(fix: list the ports of the app: {APP_PORTS_ANNOTATION}: "...")'
        )
    if called.port in listened.numbers or called.port in served:
        return (
            f"the app itself may listen on port {called.port} (fix: change spec.port but not targetPort of the "
            f'TcpService, or list the ports of the app: {APP_PORTS_ANNOTATION}: "...")'
        )
    return ""


def _why_taken(names: Sequence[str], taken: Collection[str]) -> str:
    twice = next((name for name in names if name in taken), None)
    return f"the pod's own hostAliases contain {twice}" if twice else ""


def _names(key: Key, home: str) -> Iterator[str]:
    namespace, name = key
    if namespace == home:
        yield name
    yield f"{name}.{namespace}"
    yield f"{name}.{namespace}.svc"
    yield f"{name}.{namespace}.svc.{DOMAIN}"


def _address(key: Key, taken: Collection[str]) -> str:
    """Return a loopback address from the hash of a name: the same in every pod, unless two hashes collide."""
    digest = hashlib.blake2b("/".join(key).encode(), digest_size=2).digest()
    start = int.from_bytes(digest) % (_HOSTS * _HOSTS)
    for step in range(_HOSTS * _HOSTS):
        high, low = divmod((start + step) % (_HOSTS * _HOSTS), _HOSTS)
        address = f"{_OURS}{high + 1}.{low + 1}"
        if address not in taken:
            return address
    raise AssertionError("more TcpServices than loopback addresses")
