"""NestJS's framing for the simulated apps and clients: small, fast, and only for the ASCII packets of the simulation.

The core's own reader is not used here, so that a fault in it cannot hide itself.
"""

from __future__ import annotations


def frame(body: bytes) -> bytes:
    """Encode a packet."""
    return b"%d#%b" % (len(body), body)


class Cutter:
    """Cuts what was read into packets, as NestJS does."""

    __slots__ = ("rest",)

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the packets that became complete. Raises ValueError for a length that is none."""
        if self.rest:
            data = self.rest + data
        at, size = 0, len(data)
        packets = []
        while at < size:
            mark = data.find(b"#", at)
            if mark < 0:
                break
            end = mark + 1 + int(data[at:mark])
            if end > size:
                break
            packets.append(data[mark + 1 : end])
            at = end
        self.rest = data[at:]
        return packets
