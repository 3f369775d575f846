"""One socket of NestJS 10, 11 or 12, as WIRE.md describes it: the same class at a client and at a server.

From 11 on, a socket whose own writes are not taken stops reading until they are, and one that stands in the middle of a
frame for 30 seconds without a read is destroyed; 10 does neither. A FIN of the peer closes the socket at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from simulation.framing import Cutter
from simulation.network import End
from simulation.world import World
from tcpservice.snapshot import SECOND

INCOMPLETE_TIMEOUT: Final = 30 * SECOND


class NestSocket:
    """The owner of an end; it gives whole packets to `take`, and its end to `gone`."""

    __slots__ = ("_checking", "_cutter", "_gone", "_heard", "_modern", "_take", "_world", "end", "silenced")

    end: End

    def __init__(
        self,
        world: World,
        version: int,
        take: Callable[[NestSocket, bytes], None],
        gone: Callable[[NestSocket, str], None],
    ) -> None:
        self._world = world
        self._modern = version >= 11
        self._take = take
        self._gone = gone
        self._cutter = Cutter()
        self._heard = 0
        self._checking = False
        self.silenced = False

    def send(self, data: bytes) -> None:
        """Write, and stop reading while it is not taken."""
        end = self.end
        if end.closed:
            return
        journal = self._world.journal
        if journal is not None:
            journal.sent(end.name, end.remote, data)
        end.write(data)
        if self._modern and end.backlogged and not end.paused:
            end.pause()

    def data(self, _end: End, data: bytes) -> None:
        """Take a read."""
        for packet in self._cutter.feed(data):
            self._take(self, packet)
        if self._modern and self._cutter.rest:
            self._heard = self._world.clock.now
            if not self._checking:
                self._checking = True
                self._world.clock.after(INCOMPLETE_TIMEOUT, self._check)

    def _check(self) -> None:
        self._checking = False
        if not self._cutter.rest or self.end.closed:
            return
        due = self._heard + INCOMPLETE_TIMEOUT
        if self._world.clock.now >= due:
            self.destroy("stopped sending in the middle of a packet")
        else:
            self._checking = True
            self._world.clock.at(due, self._check)

    def finished(self, end: End) -> None:
        """Close, as `allowHalfOpen` is false."""
        end.close()
        self._gone(self, "Connection closed")

    def lost(self, _end: End, reason: str) -> None:
        """Handle a RST."""
        self._gone(self, reason)

    def drained(self, end: End) -> None:
        """Read again."""
        if self._modern and not self.silenced:
            end.resume()

    def destroy(self, reason: str) -> None:
        """Close from this side."""
        if not self.end.closed:
            self.end.close()
            self._gone(self, reason)
