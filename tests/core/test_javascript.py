"""JSON and numbers as JavaScript has them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcpservice.javascript import as_number, number_text, parse, parse_at, parse_loosely, truthy


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (-1.5, "-1.5"),
        (123456789.25, "123456789.25"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e21, "1.5e+21"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (1.25e-7, "1.25e-7"),
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (2**53 + 0.0, "9007199254740992"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (math.nan, "NaN"),
        (10**400, "Infinity"),
        (-(10**400), "-Infinity"),
        (2**64, "18446744073709552000"),
    ],
)
def test_a_number_as_string_of_it_writes_it(number: float, text: str) -> None:
    assert number_text(number) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_reads_back(number: float) -> None:
    assert float(number_text(number)) == number


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "[1,]", "01", "1 2", "'a'", ""])
def test_what_json_parse_throws_at(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse(text)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000])
def test_what_is_nested_too_deeply_is_refused_like_what_is_not_json(text: str) -> None:
    with pytest.raises(ValueError, match="nested"):
        parse(text)
    with pytest.raises(ValueError, match="nested"):
        parse_at(text, 0)
    assert parse_loosely(text) is None


def test_a_number_as_a_double() -> None:
    assert [as_number(number) for number in (5, 10**400, -(10**400))] == [5.0, math.inf, -math.inf]


def test_control_characters_are_taken_where_they_may_stand() -> None:
    assert parse_loosely('{"a":"x\ny"}') == {"a": "x\ny"}
    assert parse_loosely("{bad") is None


def test_what_json_parse_takes() -> None:
    assert parse('{"a":1,"a":2}') == {"a": 2.0}
    assert parse("1e999") == math.inf
    assert parse("9" * 400) == math.inf
    assert parse('"\\ud83d"') == "\ud83d"
    assert parse_at('xx "a" y', 3) == ("a", 6)


@pytest.mark.parametrize(
    ("value", "truth"),
    [
        ({}, True),
        ([], True),
        ("", False),
        ("0", True),
        (0.0, False),
        (math.nan, False),
        (None, False),
        (False, False),
        (1.0, True),
    ],
)
def test_truth(value: object, truth: bool) -> None:
    assert truthy(value) is truth
