"""Addresses of services as people type them: `NAME=HOST:PORT`, and lists of those.

Used by `settings`. IPv6 addresses stand in brackets.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tcpservice_flags import Address, parse_address

_NAME = re.compile(r"(?:[a-z0-9]([a-z0-9-]*[a-z0-9])?/)?[a-z]([a-z0-9-]*[a-z0-9])?")


class Named(NamedTuple):
    """An address that belongs to a service; `name` may be `namespace/name`."""

    name: str
    address: Address


class Upstream(NamedTuple):
    """A service whose replicas were given on the command line."""

    name: str
    addresses: tuple[Address, ...]


def parse_named(text: str, *, lowest: int = 1) -> Named:
    """Read NAME=HOST:PORT. Raises ValueError."""
    name, rest = _split_name(text)
    return Named(name, parse_address(rest, lowest=lowest))


def parse_upstream(text: str) -> Upstream:
    """Read NAME=HOST:PORT,HOST:PORT. Raises ValueError."""
    name, rest = _split_name(text)
    addresses = tuple(parse_address(part) for part in rest.split(","))
    twice = next((address for address in addresses if addresses.count(address) > 1), None)
    if twice is not None:
        raise ValueError(f"the address {twice} is given twice")
    return Upstream(name, addresses)


def _split_name(text: str) -> tuple[str, str]:
    name, equals, rest = text.partition("=")
    if not equals or not _NAME.fullmatch(name):
        raise ValueError(f'expected NAME=HOST:PORT such as orders=127.0.0.1:3001, got "{text}"')
    return name, rest
