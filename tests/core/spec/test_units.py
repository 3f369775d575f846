from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcpservice.spec.units import parse_duration, parse_quantity

UNITS = {"h": 3_600_000_000_000, "m": 60_000_000_000, "s": 1_000_000_000, "ms": 1_000_000}
SUFFIXES = {"": 1, "k": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4, "P": 1000**5, "E": 1000**6} | {
    "Ki": 1024,
    "Mi": 1024**2,
    "Gi": 1024**3,
    "Ti": 1024**4,
    "Pi": 1024**5,
    "Ei": 1024**6,
    "e3": 1000,
    "E3": 1000,
    "e0": 1,
}


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0s", 0),
        ("0ms", 0),
        ("1ms", 1_000_000),
        ("250ms", 250_000_000),
        ("5s", 5_000_000_000),
        ("1m", 60_000_000_000),
        ("1h30m", 5_400_000_000_000),
        ("1m1ms", 60_001_000_000),
        ("30m1h", 5_400_000_000_000),
        ("1s1s1s1s", 4_000_000_000),
        ("99999h", 359_996_400_000_000_000),
    ],
)
def test_a_duration(text: str, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize(
    "text", ["", "5", "fast", "1.5s", "-1s", "1d", "1us", "PT5S", " 5s", "5s\n", "5 s", "5S", "100000s", "1s" * 5, "٣s"]
)
def test_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration such as 250ms, got "):
        parse_duration(text)


@given(st.lists(st.tuples(st.integers(0, 99_999), st.sampled_from(sorted(UNITS))), min_size=1, max_size=4))
def test_durations_round_trip(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{count}{unit}" for count, unit in parts)
    assert parse_duration(text) == sum(count * UNITS[unit] for count, unit in parts)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1024", 1024),
        ("4Mi", 4_194_304),
        ("16Mi", 16_777_216),
        ("1G", 1_000_000_000),
        ("500k", 500_000),
        ("1.5Ki", 1536),
        ("1.1", 2),
        ("0.5k", 500),
        ("1e3", 1000),
        ("2E", 2 * 10**18),
        ("2E2", 200),
    ],
)
def test_a_quantity(text: str, size: int) -> None:
    assert parse_quantity(text) == size


@pytest.mark.parametrize("text", ["", "big", "4MiB", "4 Mi", "-1", "+1", "1K", "1m", "1ki", ".5", "1.", "1e", "1Mi\n"])
def test_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="expected a size such as 4Mi, got "):
        parse_quantity(text)


@given(st.integers(0, 10**15 - 1), st.sampled_from(sorted(SUFFIXES)))
def test_quantities_round_trip(count: int, suffix: str) -> None:
    assert parse_quantity(f"{count}{suffix}") == count * SUFFIXES[suffix]
