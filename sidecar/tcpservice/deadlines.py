"""The deadline wheel: all that waits for a time, in buckets of a few milliseconds.

Used by all parts of the `exchange`, and by clients of the transport. Most deadlines never come (the reply is earlier),
so setting and cancelling one is adding to and removing from a set; only the buckets are ordered. A deadline comes up to
one bucket late, never early.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Final

_SHIFT: Final = 22
"""A bucket is 2^22 ns, 4.2 ms."""


class Waiting:
    """Base of what can wait on the wheel; each waits for one time at most."""

    __slots__ = ("bucket",)

    def __init__(self) -> None:
        self.bucket: int | None = None


class Wheel:
    """All deadlines of one exchange, or of one client."""

    __slots__ = ("_buckets", "_order")

    def __init__(self) -> None:
        self._buckets: dict[int, dict[Waiting, None]] = {}
        self._order: list[int] = []

    def set(self, waiting: Waiting, due: int) -> None:
        """Let it come up at `due` (ns), and no more at the time it was set to before."""
        bucket = (due >> _SHIFT) + 1
        if waiting.bucket == bucket:
            return
        self.cancel(waiting)
        fellows = self._buckets.get(bucket)
        if fellows is None:
            fellows = self._buckets[bucket] = {}
            heappush(self._order, bucket)
        fellows[waiting] = None
        waiting.bucket = bucket

    def cancel(self, waiting: Waiting) -> None:
        """Let it not come up."""
        if waiting.bucket is not None:
            del self._buckets[waiting.bucket][waiting]
            waiting.bucket = None

    def next_due(self) -> int | None:
        """Return the earliest time (ns) at which something comes up; None while nothing waits."""
        self._drop_empty()
        return self._order[0] << _SHIFT if self._order else None

    def pop(self, now: int) -> Waiting | None:
        """Take off one whose time has come by `now`, of the earliest bucket the first set; None when none is left."""
        self._drop_empty()
        if not self._order or self._order[0] << _SHIFT > now:
            return None
        waiting = next(iter(self._buckets[self._order[0]]))
        self.cancel(waiting)
        return waiting

    def _drop_empty(self) -> None:
        while self._order and not self._buckets[self._order[0]]:
            del self._buckets[heappop(self._order)]
