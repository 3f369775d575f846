"""Picking an endpoint for one message: small strategies behind one call.

Used by `exchange.picking` and by the Python transport. A strategy sees only loads and its own state; which endpoints
may be picked at all is decided before (`Upstream.candidates`).
"""

from __future__ import annotations

from typing import TypeVar

from tcpservice.rng import Rng
from tcpservice.snapshot import Algorithm
from tcpservice.timers import TimerOwner


class Loaded(TimerOwner):
    """Base of what can be chosen: all that a strategy knows of an endpoint is how much it has to do."""

    __slots__ = ("load",)

    load: int


R = TypeVar("R", bound=Loaded)


class Balancer:
    """One strategy, with the state that one service needs."""

    def choose(self, endpoints: list[R], rng: Rng) -> R:
        """Choose one of the endpoints, of which there is at least one."""
        raise NotImplementedError


class LeastRequest(Balancer):
    """The less loaded of two random endpoints: near-even without comparing all, and quick to avoid a slow one."""

    def choose(self, endpoints: list[R], rng: Rng) -> R:
        """Draw two different endpoints; on a tie the first drawn wins, so equals share evenly."""
        count = len(endpoints)
        if count == 1:
            return endpoints[0]
        drawn = rng.below(count * (count - 1))
        first, step = drawn // (count - 1), drawn % (count - 1)
        one, other = endpoints[first], endpoints[first - 1 - step]
        return other if other.load < one.load else one


class RoundRobin(Balancer):
    """Each endpoint in turn."""

    def __init__(self) -> None:
        self._turn = 0

    def choose(self, endpoints: list[R], rng: Rng) -> R:  # noqa: ARG002 - the interface of Balancer
        """Go on where the last message stopped, also when the number of endpoints has changed."""
        self._turn += 1
        return endpoints[self._turn % len(endpoints)]


class Random(Balancer):
    """Any endpoint, each equally likely."""

    def choose(self, endpoints: list[R], rng: Rng) -> R:
        """Draw one."""
        return endpoints[rng.below(len(endpoints))]


_STRATEGIES: dict[Algorithm, type[Balancer]] = {
    Algorithm.LEAST_REQUEST: LeastRequest,
    Algorithm.ROUND_ROBIN: RoundRobin,
    Algorithm.RANDOM: Random,
}


def balancer_for(algorithm: Algorithm) -> Balancer:
    """Make the strategy that a manifest names."""
    return _STRATEGIES[algorithm]()
