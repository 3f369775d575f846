"""Addresses on this machine: which ports a replica's processes get, and where a service is dialled.

Used by `fleet`. A port is given once for each purpose, and kept: a replica that is started again is where it was. Ports
come from below the range out of which systems draw those of outgoing connections (Linux 32768, macOS 49152), so that
none is taken between being chosen and being bound.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from itertools import chain
from typing import Final

LOOPBACK: Final = "127.0.0.1"
_FIRST: Final = 20_000
_LAST: Final = 32_000
_PER_NET: Final = 250


class NoPortError(Exception):
    """There is no port left on this machine."""


def is_free(host: str, port: int) -> bool:
    """Whether one can listen at an address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


class Addresses:
    """The ports and addresses that one run has given out; `free` says which others have."""

    def __init__(self, free: Callable[[str, int], bool] = is_free) -> None:
        self._free = free
        self._ports: dict[tuple[str, object], int] = {}
        self._outlets: dict[tuple[str, str], tuple[str, int]] = {}
        self._next = _FIRST

    def port(self, owner: str, purpose: object) -> int:
        """Return the port of a replica's process. Raises NoPortError."""
        if (owner, purpose) not in self._ports:
            self._ports[owner, purpose] = self._take()
        return self._ports[owner, purpose]

    def outlet(self, owner: str, service: str, port: int) -> tuple[str, int]:
        """Return where a replica dials a service: the service's own port on a loopback address that is only theirs.

        Where a system has no more than 127.0.0.1 (macOS), it is a port of its own there.
        """
        known = self._outlets.get((owner, service))
        if known is None or (known[0] != LOOPBACK and known[1] != port):
            number = len(self._outlets)
            host = f"127.77.{number // _PER_NET}.{number % _PER_NET + 1}"
            known = (host, port) if self._free(host, port) else (LOOPBACK, self._take())
            self._outlets[owner, service] = known
        return known

    def front(self, service: str, wanted: int, *, exactly: bool) -> int:
        """Return the port on 127.0.0.1 for callers from outside: the one wanted, or another where that is taken.

        Raises NoPortError where it must be exactly that one.
        """
        known = self._ports.get((service, "front"))
        if known is not None and (known == wanted or not exactly):
            return known
        if not self._is_open(wanted):
            if exactly:
                raise NoPortError(f"the port {wanted}, asked for {service}, is taken on this machine")
            wanted = self._take()
        self._ports[service, "front"] = wanted
        return wanted

    def _is_open(self, port: int) -> bool:
        return port not in self._ports.values() and self._free(LOOPBACK, port)

    def _take(self) -> int:
        for port in chain(range(self._next, _LAST), range(_FIRST, self._next)):
            if self._is_open(port):
                self._next = port + 1
                return port
        raise NoPortError(f"no port from {_FIRST} to {_LAST} is free on this machine")
