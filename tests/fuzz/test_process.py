"""The fuzzer of the running process for a few seconds."""

from __future__ import annotations

from fuzz.campaign import Options
from fuzz.process import fuzz


def test_a_fuzzer_of_the_process_finds_nothing() -> None:
    result = fuzz(Options(seed=1, seconds=300.0, inputs=4000, first=0))
    assert result.finding is None
    assert result.inputs >= 4000
