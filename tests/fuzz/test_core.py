"""The fuzzer of the core for a few seconds."""

from __future__ import annotations

from fuzz import core
from fuzz.campaign import Options, run


def test_a_fuzzer_of_the_core_finds_nothing() -> None:
    result = run(Options(seed=1, seconds=5.0, inputs=0, first=0), core.attempt)
    assert result.finding is None
