"""Packets to bytes and back, as NestJS writes and reads them.

Used by `client` and `server`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from tcpservice.wire.frames import Frame, FrameReader, Malformed, encode_frame
from tcpservice.wire.scan import units
from tcpservice_transport.errors import ConnectionLost

LARGEST = 128 * 1024 * 1024
"""NestJS's own limit for what it buffers, in characters."""


def encode(packet: Mapping[str, object]) -> bytes:
    """Write a packet. Raises ValueError for what JSON does not have (NaN, cycles) and TypeError for other types."""
    text = json.dumps(packet, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    body = text.encode("utf-8", "surrogatepass")
    return encode_frame(body, units(body) if not text.isascii() else len(body))


class PacketReader:
    """Cuts one direction of a connection into packets."""

    def __init__(self) -> None:
        self._frames = FrameReader(LARGEST)

    def feed(self, data: bytes) -> list[dict[str, object]]:
        """Take the next bytes; return the packets that became complete. Raises ConnectionLost for anything else."""
        packets = []
        for item in self._frames.feed(data):
            if isinstance(item, Malformed):
                raise ConnectionLost(f"{item.reason} (at byte {item.offset})")
            if isinstance(item, Frame):
                packets.append(_packet(item))
        return packets


def _packet(frame: Frame) -> dict[str, object]:
    try:
        value = json.loads(frame.body.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise ConnectionLost(f"the body is not JSON: {error} (at byte {frame.offset})") from None
    return value if isinstance(value, dict) else {}
