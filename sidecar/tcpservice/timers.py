"""Timers with reasons: everything that waits for a time, in buckets of a few milliseconds.

Used by all parts of the `exchange`, and by clients of the transport. A record may wait for several times at once, each
for a reason of its own (an integer). A timer that fires reports its record and its reason, so that the handler never
has to guess why it runs. Most timers never fire, because the reply comes first: setting and cancelling one is an
insertion into and a deletion from a dict; only the buckets are ordered. A timer fires up to one bucket late, never
early.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Final

_SHIFT: Final = 22
"""A bucket is 2^22 ns, 4.2 ms."""


class TimerOwner:
    """Base of the records that can wait for a time. `timers` maps each reason to its bucket, None while empty."""

    __slots__ = ("timers",)

    def __init__(self) -> None:
        self.timers: dict[int, int] | None = None


class Timers:
    """All timers of one exchange, or of one client. Times are integer nanoseconds of a monotonic clock."""

    __slots__ = ("_buckets", "_order")

    def __init__(self) -> None:
        self._buckets: dict[int, dict[tuple[TimerOwner, int], None]] = {}
        self._order: list[int] = []

    def set(self, owner: TimerOwner, reason: int, due: int) -> None:
        """Fire for this reason at `due`, instead of the time that was set before."""
        bucket = (due >> _SHIFT) + 1
        timers = owner.timers
        if timers is None:
            timers = owner.timers = {}
        elif reason in timers:
            if timers[reason] == bucket:
                return
            del self._buckets[timers[reason]][owner, reason]
        entries = self._buckets.get(bucket)
        if entries is None:
            entries = self._buckets[bucket] = {}
            heappush(self._order, bucket)
        entries[owner, reason] = None
        timers[reason] = bucket

    def cancel(self, owner: TimerOwner, reason: int) -> None:
        """Do not fire for this reason."""
        if owner.timers is not None and reason in owner.timers:
            del self._buckets[owner.timers.pop(reason)][owner, reason]

    def cancel_all(self, owner: TimerOwner) -> None:
        """Do not fire for this record at all."""
        if owner.timers:
            for reason, bucket in owner.timers.items():
                del self._buckets[bucket][owner, reason]
            owner.timers = None

    def due(self, owner: TimerOwner, reason: int) -> int:
        """Return when a timer that is set fires (ns)."""
        assert owner.timers is not None
        return owner.timers[reason] << _SHIFT

    def next_due(self) -> int | None:
        """Return the earliest time (ns) at which a timer fires; None without timers."""
        self._drop_empty()
        return self._order[0] << _SHIFT if self._order else None

    def pop(self, now: int) -> tuple[TimerOwner, int] | None:
        """Take off one timer that is due at `now`: of the earliest bucket the one that was set first. Else None."""
        self._drop_empty()
        if not self._order or self._order[0] << _SHIFT > now:
            return None
        owner, reason = next(iter(self._buckets[self._order[0]]))
        self.cancel(owner, reason)
        return owner, reason

    def _drop_empty(self) -> None:
        while self._order and not self._buckets[self._order[0]]:
            del self._buckets[heappop(self._order)]
