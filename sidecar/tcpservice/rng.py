"""A small seeded generator of pseudo-random numbers, so that the core stays a pure function of its inputs.

Used by `balancer`, `backoff` and the `exchange`. The generator is xorshift64*; it serves load spreading, not secrets.
The same seed gives the same choices, compiled or not.
"""

from __future__ import annotations

_MASK = (1 << 64) - 1
_MULTIPLIER = 0x2545F4914F6CDD1D


class Rng:
    """Draws integers from a seed; a seed of 0, which xorshift cannot leave, counts as 1."""

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        self._state = (seed & _MASK) or 1

    def below(self, limit: int) -> int:
        """Draw an integer from 0 to `limit` - 1."""
        state = self._state
        state ^= state >> 12
        state ^= (state << 25) & _MASK
        state ^= state >> 27
        self._state = state
        drawn = ((state * _MULTIPLIER) & _MASK) >> 32
        return drawn * limit >> 32

    def jitter(self, duration: int) -> int:
        """Draw from the upper half of a duration in nanoseconds, so that many waiters do not act at once."""
        half = duration // 2
        return half + self.below(half + 1)
