"""Which messages are recorded: a share of all by chance, plus a bounded number of those that failed or were slow.

Used by `exchange.tracing`. Rng is asked once for each sampled message, not for each message: it says how many are
passed over until the next one.
"""

from __future__ import annotations

from math import log, log1p
from typing import Final

from tcpservice.rng import Rng
from tcpservice.snapshot import SECOND

_BILLION: Final = 1_000_000_000
_FINE: Final = 1 << 32
_SECOND: Final = SECOND


class Sampler:
    """Takes a share of the messages, each by the same rng."""

    __slots__ = ("_per_billion", "_to_pass")

    def __init__(self, per_billion: int) -> None:
        self._per_billion = per_billion
        self._to_pass = -1

    def take(self, rng: Rng) -> bool:
        """Whether this message is one of them."""
        if not 0 < self._per_billion < _BILLION:
            return self._per_billion > 0
        if self._to_pass < 0:
            self._to_pass = self._draw(rng)
        self._to_pass -= 1
        return self._to_pass < 0

    def _draw(self, rng: Rng) -> int:
        """Draw how many messages are passed over before the next is sampled (a geometric distribution)."""
        even = (rng.below(_FINE) + 1) / _FINE
        return int(log(even) / log1p(-self._per_billion / _BILLION))


class Allowance:
    """So many in each second, and no more."""

    __slots__ = ("_limit", "_second", "_taken")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._second = -1
        self._taken = 0

    def take(self, now: int) -> bool:
        """Whether there is one left at `now` (ns); True takes it."""
        second = now // _SECOND
        if second != self._second:
            self._second, self._taken = second, 0
        self._taken += 1
        return self._taken <= self._limit
