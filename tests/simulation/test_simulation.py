"""A fleet under faults: fixed seeds, schedules drawn by Hypothesis, and kept scenarios break no rule."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulation import kept
from simulation.fleet import run
from simulation.report import conversation, first_of_each
from simulation.scenario import Scenario, draw_scenario

SEEDS_PER_TEST = 20


def check(scenario: Scenario) -> None:
    violations = first_of_each(run(scenario).violations)
    if violations:
        pytest.fail(conversation(scenario, violations[0].invariant), pytrace=False)


@pytest.mark.parametrize("first", range(0, 100, SEEDS_PER_TEST))
def test_fixed_seeds(first: int) -> None:
    for seed in range(first, first + SEEDS_PER_TEST):
        check(draw_scenario(Random(seed)))


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
def test_drawn_schedules(random: Random) -> None:
    check(draw_scenario(random, scale=20))


@pytest.mark.parametrize("name", kept.names())
def test_kept_scenarios(name: str) -> None:
    check(kept.load(name))
