"""The names that lead a calling pod to its own sidecar: one loopback address for each TcpService that it calls.

Used by `injection`. An alias takes every port of its name, and its address cannot be shared with an app that listens on
the same port of all addresses: where either may hurt, the alias is left out, and calls take the Service's address.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from msgspec import Struct

from tcpservice_operator.objects import APP_PORTS, NO_ALIAS, Key
from tcpservice_operator.ports import AppPorts
from tcpservice_operator.roles import Called

DOMAIN: Final = "cluster.local"
_OURS: Final = "127.77."
_HOSTS: Final = 254

Document = dict[str, Any]


class Alias(Struct, frozen=True, kw_only=True):
    """One TcpService's address in a pod, its names, and Kubernetes' variable for it (none in other namespaces)."""

    called: Called
    address: str
    names: tuple[str, ...]
    variable: str


def addresses_of(
    pod: Document, calls: Sequence[Called], listened: AppPorts, served: Collection[int]
) -> tuple[list[Alias], list[str]]:
    """Return the aliases of a pod, and why others are left out."""
    home = (pod.get("metadata") or {}).get("namespace", "")
    others = [each for each in pod["spec"].get("hostAliases") or [] if not each["ip"].startswith(_OURS)]
    taken = {name for each in others for name in each.get("hostnames") or []}
    aliases: list[Alias] = []
    notes: list[str] = []
    for called in sorted(calls, key=lambda called: called.key):
        names = tuple(_names(called.key, home))
        reason = _why_not(called, listened, served) or _why_taken(names, taken)
        if reason:
            notes.append(f"{'/'.join(called.key)}{NO_ALIAS}{reason}")
            continue
        address = _address(called.key, {alias.address for alias in aliases})
        variable = f"{called.key[1].upper().replace('-', '_')}_SERVICE_HOST" if called.key[0] == home else ""
        aliases.append(Alias(called=called, address=address, names=names, variable=variable))
    return aliases, notes


def _why_not(called: Called, listened: AppPorts, served: Collection[int]) -> str:
    if called.others:
        others = ", ".join(map(str, called.others))
        return f"the Service has other ports, too ({others}), which the alias would take"
    if not listened.known:
        return f'the pod declares no port, and its app may listen on {called.port}; list them: {APP_PORTS}: "..."'
    if called.port in listened.numbers or called.port in served:
        return (
            f"the app may listen on port {called.port} itself; give the TcpService another port (its targetPort may "
            f'stay), or list where the app listens: {APP_PORTS}: "..."'
        )
    return ""


def _why_taken(names: Sequence[str], taken: Collection[str]) -> str:
    twice = next((name for name in names if name in taken), None)
    return f"the pod has a host alias {twice} of its own" if twice else ""


def _names(key: Key, home: str) -> Iterator[str]:
    namespace, name = key
    if namespace == home:
        yield name
    yield f"{name}.{namespace}"
    yield f"{name}.{namespace}.svc"
    yield f"{name}.{namespace}.svc.{DOMAIN}"


def _address(key: Key, taken: Collection[str]) -> str:
    """Return a loopback address that is the same in every pod, but for clashes."""
    digest = hashlib.blake2b("/".join(key).encode(), digest_size=2).digest()
    start = int.from_bytes(digest) % (_HOSTS * _HOSTS)
    for step in range(_HOSTS * _HOSTS):
        high, low = divmod((start + step) % (_HOSTS * _HOSTS), _HOSTS)
        address = f"{_OURS}{high + 1}.{low + 1}"
        if address not in taken:
            return address
    raise AssertionError("more TcpServices than loopback addresses")
