"""Times in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcpservice_traces.durations import duration

US, MS, S = 1_000, 1_000_000, 1_000_000_000


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0 µs"),
        (499, "0 µs"),
        (85 * US, "85 µs"),
        (99_499, "99 µs"),
        (99_500, "0.10 ms"),
        (850 * US, "0.85 ms"),
        (9_994_999, "9.99 ms"),
        (9_995_000, "10.0 ms"),
        (12_400 * US, "12.4 ms"),
        (99_950 * US, "100 ms"),
        (999 * MS, "999 ms"),
        (999_500 * US, "1.00 s"),
        (12_500 * MS, "12.5 s"),
        (59_949 * MS, "59.9 s"),
        (59_950 * MS, "1 m 00 s"),
        (185 * S, "3 m 05 s"),
        (3600 * S, "1 h 00 m"),
        (7_830 * S, "2 h 10 m"),
        (2**64 - 1, "5124095 h 34 m"),
    ],
)
def test_a_time_in_words(nanoseconds: int, text: str) -> None:
    assert duration(nanoseconds) == text


@given(st.integers(0, 3600 * S))
def test_a_time_of_up_to_an_hour_takes_nine_columns_at_most(nanoseconds: int) -> None:
    assert len(duration(nanoseconds)) <= 9
