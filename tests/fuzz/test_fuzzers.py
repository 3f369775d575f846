"""Each fuzzer for a few seconds; run one for longer as a command, `python -m fuzz.wire --seconds 600`, in tests/."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from fuzz import mesh, wire
from fuzz.campaign import Options, random_of, run

SECONDS = 4.0


@pytest.mark.parametrize("attempt", [wire.attempt, mesh.attempt], ids=["wire", "mesh"])
def test_a_fuzzer_finds_nothing(attempt: Callable[[Random], None]) -> None:
    result = run(Options(seed=1, seconds=SECONDS, inputs=0, first=0), attempt)
    assert result.finding is None
    assert result.inputs > 50


def test_an_input_follows_from_the_seed_and_its_number() -> None:
    assert random_of(1, 2).random() == random_of(1, 2).random() != random_of(1, 3).random()


def test_a_finding_ends_the_run_and_says_how_to_see_it_again() -> None:
    def attempt(random: Random) -> None:
        raise KeyError(random.random())

    result = run(Options(seed=7, seconds=SECONDS, inputs=0, first=3), attempt)
    assert result.inputs == 1
    assert "KeyError" in str(result.finding)
    assert "--seed 7 --first 3 --inputs 1" in str(result.finding)


def test_a_run_ends_after_its_inputs() -> None:
    assert run(Options(seed=7, seconds=60, inputs=5, first=0), lambda _: None).inputs == 5
