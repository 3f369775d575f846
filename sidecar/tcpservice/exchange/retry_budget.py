"""The retry budget: retries may be a share of the requests, so that they cannot multiply an overload.

Used by `exchange.attempts`, one for each service. As in Gateway API's retryConstraint: `percent` of the requests of the
last `interval`, and always `min_count` in each `min_interval`.
"""

from __future__ import annotations

from typing import Final

from tcpservice.snapshot import RetryConstraint

_SLICES: Final = 10


class RetryBudget:
    """Counts requests and retries in slices of the interval."""

    __slots__ = (
        "_constraint", "_current", "_free", "_free_since", "_head", "_interval", "_requests", "_retries", "_slice_ends",
    )  # fmt: skip

    def __init__(self, constraint: RetryConstraint) -> None:
        self._constraint = constraint
        self._interval = constraint.interval
        self._requests = [0] * _SLICES  # of the current slice, without the last `_current`
        self._current = 0
        self._slice_ends = 0
        self._retries = [0] * _SLICES
        self._head = 0
        self._free = 0
        self._free_since = 0

    def count_request(self, now: int) -> None:
        """Note one request."""
        if now >= self._slice_ends:
            self._slice(now)
        self._current += 1

    def take(self, now: int) -> bool:
        """Ask for one retry at `now` (ns); True takes it from the budget."""
        limits = self._constraint
        place = self._slice(now)
        if now - self._free_since >= limits.min_interval:
            self._free_since, self._free = now, 0
        if self._free < limits.min_count:
            self._free += 1
        elif (sum(self._retries) + 1) * 100 > sum(self._requests) * limits.percent:
            return False
        self._retries[place] += 1
        return True

    def _slice(self, now: int) -> int:
        """Return the slice of `now`, with its requests counted, emptying those that have gone by."""
        self._requests[self._head % _SLICES] += self._current
        self._current = 0
        head = now * _SLICES // self._interval
        if head <= self._head:
            return self._head % _SLICES
        self._slice_ends = (head + 1) * self._interval // _SLICES
        for passed in range(max(self._head + 1, head - _SLICES + 1), head + 1):
            self._requests[passed % _SLICES] = self._retries[passed % _SLICES] = 0
        self._head = head
        return self._head % _SLICES
