"""Readers that do not take their replies: when one is slow, and when one is given up.

Used by the `exchange` for callers, and by servers of the transport for Python apps. Progress counts, not size: a reader
that takes bytes keeps its connection, however slowly it reads and however much waits for it. While all readers together
leave too many bytes, the slow ones get no new replies, and one that takes nothing is given up sooner.
"""

from __future__ import annotations

from typing import Final

from tcpservice.snapshot import SECOND

PRESSURE_STALL: Final = 2 * SECOND
"""How long a reader may take nothing while memory is short (ns)."""


def has_large_share(size: int, total: int, readers: int) -> bool:
    """Whether `size` bytes for one reader, of `total` for so many `readers`, are at least half of the average."""
    return size * readers >= total // 2


def patience(stall: int, pressure_stall: int, *, short: bool) -> int:
    """Return how long a reader may take nothing (ns); `short` says that memory is short."""
    return min(stall, pressure_stall) if short else stall
