"""Somebody who connects to a sidecar's mesh port and does not speak its protocol: a port scanner, a health check.

Used by `faults`. A stranger sends nothing or the beginning of a preface. Later it sends FIN, resets the connection, or
does nothing more.
"""

from __future__ import annotations

from typing import Final

from simulation.network import Dial, End
from simulation.world import World
from tcpservice.snapshot import SECOND

_PATIENCE: Final = 60 * SECOND
_BEGINNINGS: Final = (b"", b"T", b"TCPS/1 ")


class Stranger:
    """One connection of a stranger. `number` says what it sends, and how it ends after `lasts` nanoseconds."""

    def __init__(self, world: World, address: str, number: int, lasts: int) -> None:
        self._world = world
        self._number = number
        self._lasts = lasts
        world.network.dial(address, self, "a stranger", ("downstream", "a stranger"), self._connected, self._failed)

    def _connected(self, _: Dial, end: End) -> None:
        end.cause = self._world.clock.now + self._lasts + _PATIENCE
        end.write(_BEGINNINGS[self._number % len(_BEGINNINGS)])
        self._world.clock.after(self._lasts, self._leave, end)

    def _failed(self, _: Dial, __: str) -> None:
        """Do nothing: no test depends on this connection."""

    def _leave(self, end: End) -> None:
        if self._number % 2:
            end.finish()
        else:
            end.abort()

    def data(self, end: End, data: bytes) -> None:
        """Take no notice of what is said."""

    def finished(self, end: End) -> None:
        """Close as well."""
        end.close()

    def lost(self, end: End, reason: str) -> None:
        """Take no notice."""

    def drained(self, end: End) -> None:
        """Take no notice."""
