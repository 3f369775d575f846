"""The addresses in an EndpointSlice: which texts are some, and whose they are.

Used by `reading` (the check), `replicas` and the operator (how an address and its port are written).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from tcpservice.addresses import Address
from tcpservice.spec.checked import Checked
from tcpservice.spec.problems import Finding, Path, expected

_HOST: Final = re.compile(
    r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", re.IGNORECASE
)


def join(host: str, port: int) -> str:
    """Write an address as people do."""
    return str(Address(host, port))


def check_endpoints(each: Checked) -> Iterator[Finding]:
    """Give the endpoints of a slice whose addresses are none, and those that are one pod."""
    pods: dict[str, int] = {}
    for index in range(each.count(("endpoints",))):
        path = ("endpoints", index)
        yield from _check_addresses(each, (*path, "addresses"))
        uid = each.part((*path, "targetRef", "uid"), str)
        if uid and pods.setdefault(uid, index) != index:
            yield Finding((*path, "targetRef", "uid"), f"already the pod of endpoints[{pods[uid]}]")


def _check_addresses(each: Checked, path: Path) -> Iterator[Finding]:
    kind = each.part(("addressType",), str)
    for index in range(each.count(path)):
        address = each.part((*path, index), str)
        if kind is not None and address is not None and not _READERS[kind](address):
            yield expected((*path, index), f"an address of type {kind}", address)


def _parses(reader: Callable[[str], object], text: str) -> bool:
    try:
        reader(text)
    except ValueError:
        return False
    return True


_READERS: Final[dict[str, Callable[[str], bool]]] = {
    "IPv4": partial(_parses, IPv4Address),
    "IPv6": partial(_parses, IPv6Address),
    "FQDN": lambda text: _HOST.fullmatch(text) is not None,
}
