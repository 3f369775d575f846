"""Replies that the peers of a server have not taken: who is not read meanwhile, and who is cut off.

Used by `serving`, and by `connection`. The rule is the sidecar's, in the core's `unread`. A client needs none of this,
because it sends no further message while much waits to be sent.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol

from tcpservice.snapshot import SECOND
from tcpservice.unread import PRESSURE_STALL, has_large_share, patience
from tcpservice_transport.options import Limits

_CHECK_S: Final = 0.5


class Reader(Protocol):
    """A connection whose peer has replies to take."""

    @property
    def unsent(self) -> int:
        """How many bytes wait in this process."""

    @property
    def taken(self) -> int:
        """How many bytes the peer has taken since the connection was opened."""

    def throttle(self, *, slow: bool) -> None:
        """Read nothing from a slow reader; read again from one that is slow no more."""

    def abort(self, reason: str) -> None:
        """Close at once."""


class _Backlog:
    """What waits for one reader, what it had taken when it last took something, and when that was (ns)."""

    __slots__ = ("progress_at", "size", "taken")

    def __init__(self, taken: int, now: int) -> None:
        self.size = 0
        self.taken = taken
        self.progress_at = now


class Unread:
    """The readers of one server for whom much waits, until they have taken all of it."""

    def __init__(self, limits: Limits) -> None:
        self._most = limits.unread
        self._stall = int(limits.stall * SECOND)
        self._backlogs: dict[Reader, _Backlog] = {}
        self._bytes = 0
        self._check: asyncio.TimerHandle | None = None

    def report(self, reader: Reader) -> None:
        """Note how much waits for a reader now, and do what follows."""
        size, taken, now = reader.unsent, reader.taken, time.monotonic_ns()
        if not size:
            self.forget(reader)
            reader.throttle(slow=False)
            return
        backlog = self._backlogs.get(reader)
        if backlog is None:
            backlog = self._backlogs[reader] = _Backlog(taken, now)
        if taken > backlog.taken:
            backlog.taken, backlog.progress_at = taken, now
        self._bytes += size - backlog.size
        backlog.size = size
        short = self._bytes > self._most
        limit = patience(self._stall, PRESSURE_STALL, short=short)
        if now - backlog.progress_at >= limit:
            reader.abort(f"it took none of {size} bytes for {limit / SECOND:g} s")
            return
        reader.throttle(slow=short and has_large_share(size, self._bytes, len(self._backlogs)))
        if self._check is None:
            self._check = asyncio.get_running_loop().call_later(_CHECK_S, self._check_all)

    def forget(self, reader: Reader) -> None:
        """Note that a reader has taken everything, or is gone."""
        backlog = self._backlogs.pop(reader, None)
        if backlog is not None:
            self._bytes -= backlog.size

    def _check_all(self) -> None:
        self._check = None
        for reader in list(self._backlogs):
            self.report(reader)
