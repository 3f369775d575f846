"""Chance, the strategies that rest on it, and the pause after failures."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcpservice.backoff import FIRST_BACKOFF, LONGEST_BACKOFF, backoff
from tcpservice.balancer import Balancer, Loaded, balancer_for
from tcpservice.rng import Rng
from tcpservice.snapshot import Algorithm


class Replica(Loaded):
    def __init__(self, load: int = 0) -> None:
        self.load = load


@given(st.integers(), st.integers(1, 1000))
def test_chance_stays_below_its_limit_and_repeats_with_its_seed(seed: int, limit: int) -> None:
    one, other = Rng(seed), Rng(seed)
    drawn = [one.below(limit) for _ in range(20)]
    assert all(0 <= number < limit for number in drawn)
    assert drawn == [other.below(limit) for _ in range(20)]


def test_chance_is_even() -> None:
    rng = Rng(0)
    drawn = Counter(rng.below(10) for _ in range(10_000))
    assert all(850 <= drawn[number] <= 1150 for number in range(10))


@given(st.integers(), st.integers(0, 10**12))
def test_jitter_keeps_to_the_upper_half(seed: int, duration: int) -> None:
    assert duration // 2 <= Rng(seed).jitter(duration) <= duration


@pytest.mark.parametrize("algorithm", Algorithm)
def test_equal_replicas_share_evenly(algorithm: Algorithm) -> None:
    replicas, balancer, rng = [Replica() for _ in range(3)], balancer_for(algorithm), Rng(7)
    chosen = Counter(id(balancer.choose(replicas, rng)) for _ in range(9000))
    assert all(2700 <= chosen[id(replica)] <= 3300 for replica in replicas)


@pytest.mark.parametrize("algorithm", Algorithm)
def test_one_replica_is_always_chosen(algorithm: Algorithm) -> None:
    replica, balancer = Replica(5), balancer_for(algorithm)
    assert balancer.choose([replica], Rng(1)) is replica


def test_least_request_avoids_the_loaded() -> None:
    loaded, idle = Replica(10), [Replica(), Replica()]
    balancer, rng = balancer_for(Algorithm.LEAST_REQUEST), Rng(3)
    assert all(balancer.choose([loaded, *idle], rng) in idle for _ in range(1000))


def test_round_robin_takes_turns_also_when_replicas_come_and_go() -> None:
    replicas, balancer, rng = [Replica() for _ in range(4)], balancer_for(Algorithm.ROUND_ROBIN), Rng(1)
    turns = [replicas.index(balancer.choose(replicas, rng)) for _ in range(8)]
    assert all(second == (first + 1) % 4 for first, second in pairwise(turns))
    assert {balancer.choose(replicas[:2], rng) for _ in range(2)} == set(replicas[:2])


@given(st.integers(1, 200), st.integers())
def test_the_pause_doubles_up_to_its_limit(failures: int, seed: int) -> None:
    full = min(FIRST_BACKOFF * 2 ** (failures - 1), LONGEST_BACKOFF)
    assert full // 2 <= backoff(failures, Rng(seed)) <= full


def test_a_strategy_has_to_choose() -> None:
    with pytest.raises(NotImplementedError):
        Balancer().choose([Replica()], Rng(1))
