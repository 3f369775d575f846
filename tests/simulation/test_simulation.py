"""A fleet under faults: fixed seeds, schedules drawn by Hypothesis, and kept scenarios break no rule."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulation import kept
from simulation.fleet import run
from simulation.network import End
from simulation.report import conversation, first_of_each
from simulation.scenario import Scenario, draw_scenario
from simulation.sidecar_model import Sidecar

SEEDS_PER_TEST = 20


def _other_digit(found: re.Match[bytes]) -> bytes:
    return b"%d" % (9 - int(found[0]))


def check(scenario: Scenario) -> None:
    violations = first_of_each(run(scenario).violations)
    if violations:
        pytest.fail(conversation(scenario, violations[0].invariant), pytrace=False)


@pytest.mark.parametrize("first", range(0, 100, SEEDS_PER_TEST))
def test_fixed_seeds(first: int) -> None:
    for seed in range(first, first + SEEDS_PER_TEST):
        check(draw_scenario(Random(seed)))


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
def test_drawn_schedules(random: Random) -> None:
    check(draw_scenario(random, scale=20))


@pytest.mark.parametrize("name", kept.names())
def test_kept_scenarios(name: str) -> None:
    check(kept.load(name))


def test_a_run_is_the_same_each_time() -> None:
    scenario = draw_scenario(Random(3), scale=20)
    first, second = run(scenario, journal=True), run(scenario, journal=True)
    assert first.lines == second.lines
    assert first.messages == second.messages > 100


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        (lambda data: re.sub(rb'(?<="response":)\d', _other_digit, data), "a reply carries its own request's value"),
        (lambda data: data + data, "a reply belongs to an open request of its connection"),
        (lambda data: b"" if b'"isDisposed":true' in data else data, "nothing that can be answered stays pending"),
    ],
    ids=["changed", "doubled", "lost"],
)
def test_a_planted_fault_is_found(monkeypatch: pytest.MonkeyPatch, fault: Callable[[bytes], bytes], rule: str) -> None:
    written = Sidecar.write

    def write_wrongly(sidecar: Sidecar, end: End, data: bytes) -> None:
        replies = sidecar.name.startswith("caller") and b'"response":' in data and end.remote.startswith("client")
        written(sidecar, end, fault(data) if replies else data)

    monkeypatch.setattr(Sidecar, "write", write_wrongly)
    found = run(draw_scenario(Random(2), scale=20)).violations
    assert rule in {violation.invariant for violation in found}
