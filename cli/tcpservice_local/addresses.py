"""Addresses on this machine: which ports a replica's processes get, and where a service is dialled.

Used by `designs`. A port is given once for each purpose, and kept: a replica that is started again is where it was.
Ports come from below the range out of which systems draw those of outgoing connections (Linux 32768, macOS 49152), so
that none is taken between being chosen and being bound; and from blocks that a run claims for itself by listening on
the first port of each, so that two runs never draw the same.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final

LOOPBACK: Final = "127.0.0.1"
_FIRST: Final = 20_000
_BLOCK: Final = 100
_BLOCKS: Final = 120


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


def claim(port: int) -> socket.socket | None:
    """Listen on a port of 127.0.0.1 as long as what is returned lives; None where somebody else does."""
    claimed = socket.socket()
    try:
        claimed.bind((LOOPBACK, port))
        claimed.listen(1)
    except OSError:
        claimed.close()
        return None
    return claimed


def hold(port: int) -> socket.socket | None:
    """Hold a port of 127.0.0.1 for a process that is about to listen there; None where another run holds it.

    It is held in UDP, where nobody listens, so that the process can have it in TCP.
    """
    held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        held.bind((LOOPBACK, port))
    except OSError:
        held.close()
        return None
    return held


class Addresses:
    """The ports and addresses that one run has given out."""

    def __init__(
        self,
        free: Callable[[str, int], bool] = is_free,
        claim: Callable[[int], object] = claim,
        hold: Callable[[int], object] = hold,
    ) -> None:
        self._free = free
        self._claim = claim
        self._hold = hold
        self._held: dict[str, object] = {}
        self._claims: list[object] = []
        self._block = -1
        self._port = self._outlet = _BLOCK
        self._ports: dict[tuple[str, object], int] = {}
        self._fronts: dict[str, tuple[int, int]] = {}
        self._outlets: dict[tuple[str, str], tuple[str, int]] = {}

    def port(self, owner: str, purpose: object) -> int:
        """Return the port of a replica's process. Raises NoPortError."""
        if (owner, purpose) not in self._ports:
            self._ports[owner, purpose] = self._take()
        return self._ports[owner, purpose]

    def outlet(self, owner: str, service: str, port: int) -> tuple[str, int]:
        """Return where a replica dials a service: the service's own port on a loopback address that is only theirs.

        Where a system has no more than 127.0.0.1 (macOS), it is a port of its own there. Raises NoPortError.
        """
        known = self._outlets.get((owner, service))
        if known is None or (known[0] != LOOPBACK and known[1] != port):
            host = self._host()
            known = (host, port) if self._free(host, port) else (LOOPBACK, self._take())
            self._outlets[owner, service] = known
        return known

    def front(self, service: str, wanted: int, *, exactly: bool) -> int:
        """Return the port on 127.0.0.1 for callers from outside: the one wanted, or another where that is taken.

        Raises NoPortError where it must be exactly that one, or none is left.
        """
        known = self._fronts.get(service)
        if known is not None and known[0] == wanted:
            return known[1]
        port = wanted
        self._let_go(self._held.pop(service, None))
        held = self._hold(wanted) if self._is_open(wanted) else None
        if held is not None:
            self._held[service] = held
        else:
            if exactly:
                raise NoPortError(f"the port {wanted}, asked for {service}, is taken on this machine")
            port = self._take()
        self._fronts[service] = (wanted, port)
        self._ports[service, "front"] = port
        return port

    def close(self) -> None:
        """Give the blocks and the ports back."""
        for each in (*self._claims, *self._held.values()):
            self._let_go(each)

    def _let_go(self, claimed: object) -> None:
        if isinstance(claimed, socket.socket):
            claimed.close()

    def _is_open(self, port: int) -> bool:
        return port not in self._ports.values() and self._free(LOOPBACK, port)

    def _take(self) -> int:
        while True:
            if self._port >= _BLOCK - 1:
                self._next_block()
            self._port += 1
            port = _FIRST + self._block * _BLOCK + self._port
            if self._is_open(port):
                return port

    def _host(self) -> str:
        """Return the next loopback address of the block."""
        if self._outlet >= _BLOCK - 1:
            self._next_block()
        self._outlet += 1
        return f"127.77.{self._block}.{self._outlet}"

    def _next_block(self) -> None:
        for block in range(self._block + 1, _BLOCKS):
            claimed = self._claim(_FIRST + block * _BLOCK)
            if claimed is not None:
                self._claims.append(claimed)
                self._block, self._port, self._outlet = block, 0, 0
                return
        last = _FIRST + _BLOCKS * _BLOCK - 1
        raise NoPortError(f"no port from {_FIRST} to {last} is free on this machine")
