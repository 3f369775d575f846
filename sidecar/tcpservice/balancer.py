"""Choosing a replica for one message: small strategies behind one call.

Used by `exchange.dispatch`. A strategy sees only loads and its own state; which replicas may be chosen at all is
decided before (`Backend.candidates`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from tcpservice.chance import Chance
from tcpservice.snapshot import Algorithm


class Loaded(Protocol):
    """What a strategy must know of a replica: its requests in flight."""

    in_flight: int


R = TypeVar("R", bound=Loaded)


class Balancer(Protocol):
    """One strategy, with the state that one service needs."""

    def choose(self, replicas: Sequence[R], chance: Chance) -> R:
        """Choose one of the replicas, of which there is at least one."""
        ...


class LeastRequest:
    """The less loaded of two random replicas: near-even without comparing all, and quick to avoid a slow one."""

    def choose(self, replicas: Sequence[R], chance: Chance) -> R:
        """Draw two different replicas; on a tie the first drawn wins, so equals share evenly."""
        count = len(replicas)
        if count == 1:
            return replicas[0]
        first, step = divmod(chance.below(count * (count - 1)), count - 1)
        one, other = replicas[first], replicas[first - 1 - step]
        return other if other.in_flight < one.in_flight else one


class RoundRobin:
    """Each replica in turn."""

    def __init__(self) -> None:
        self._turn = 0

    def choose(self, replicas: Sequence[R], chance: Chance) -> R:  # noqa: ARG002 - the face of Balancer
        """Go on where the last message stopped, also when the number of replicas has changed."""
        self._turn += 1
        return replicas[self._turn % len(replicas)]


class Random:
    """Any replica, each with the same chance."""

    def choose(self, replicas: Sequence[R], chance: Chance) -> R:
        """Draw one."""
        return replicas[chance.below(len(replicas))]


_STRATEGIES: dict[Algorithm, type[Balancer]] = {
    Algorithm.LEAST_REQUEST: LeastRequest,
    Algorithm.ROUND_ROBIN: RoundRobin,
    Algorithm.RANDOM: Random,
}


def balancer_for(algorithm: Algorithm) -> Balancer:
    """Make the strategy that a manifest names."""
    return _STRATEGIES[algorithm]()
