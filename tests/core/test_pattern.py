"""Patterns to routes, against what NestJS 10 and 12 were seen to make of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcpservice.pattern import Dialect, PatternTooDeep, exact_route, route_of

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "vectors" / "pattern_vectors.json").read_text())


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: json.dumps(vector["pattern"])[:40])
@pytest.mark.parametrize("dialect", Dialect)
def test_a_pattern_is_looked_up_as_nestjs_does(vector: dict[str, Any], dialect: Dialect) -> None:
    looked_up = vector[f"lookup_v{dialect.value}"]
    assert route_of(vector["pattern"], dialect) == (looked_up if isinstance(looked_up, str) else None)


@given(st.dictionaries(st.text(max_size=5), st.integers(0, 9) | st.text(max_size=5), max_size=5), st.randoms())
def test_the_order_of_keys_is_no_matter(pattern: dict[str, object], random: Any) -> None:
    keys = list(pattern)
    random.shuffle(keys)
    shuffled = {key: pattern[key] for key in keys}
    assert route_of(pattern) == route_of(shuffled) == route_of(json.dumps(shuffled))


@pytest.mark.parametrize("dialect", Dialect)
def test_what_stands_in_an_object(dialect: Dialect) -> None:
    pattern = {"b": True, "a": False, "n": None, "i": float("inf"), "f": 1.5, "l": ["x", {"k": "é"}]}
    assert route_of(pattern, dialect) == '{"a":false,"b":true,"f":1.5,"i":null,"l":{"0":"x","1":{"k":"é"}},"n":null}'


def test_quotes_are_escaped_since_11_1_15_only() -> None:
    assert route_of({"a": '"\\'}, Dialect.V12) == r'{"a":"\"\\"}'
    assert route_of({"a": '"\\'}, Dialect.V10) == '{"a":""\\"}'


def test_limits_of_depth_and_keys() -> None:
    deep: object = "x"
    for _ in range(8):
        deep = {"a": deep}
    wide = {f"k{n}": n for n in range(21)}
    assert str(route_of(deep, Dialect.V12)).count("{") == 6
    assert str(route_of(deep, Dialect.V10)).count("{") == 8
    assert route_of(wide, Dialect.V12) == "[TOO_MANY_KEYS]"
    assert str(route_of(wide, Dialect.V10)).startswith('{"k0":0')


@pytest.mark.parametrize("pattern", [float("inf"), float("nan"), "true", "null", True, None])
def test_what_matches_no_handler(pattern: object) -> None:
    assert route_of(pattern) is None


def test_a_pattern_nested_too_deeply_is_refused() -> None:
    with pytest.raises(PatternTooDeep, match="256"):
        route_of("[" * 257 + "]" * 257)


def test_a_pattern_in_a_manifest_is_json_where_it_is_json() -> None:
    assert exact_route('{"cmd": "sum"}') == '{"cmd":"sum"}'
    assert exact_route("{not json") == "{not json"
    assert exact_route("5.0") == "5"
