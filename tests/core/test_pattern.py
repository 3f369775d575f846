"""Patterns to routes, against what NestJS 10 and 12 were seen to make of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcpservice.pattern import (
    LONGEST_READ,
    Dialect,
    PatternTooDeep,
    Routes,
    exact_route,
    read_routes,
    route_in,
    route_of,
    routes_of,
)

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


@pytest.mark.parametrize(
    ("text", "route"),
    [
        ("1e999", None),
        ("-1e999", None),
        ('{"a":1e999}', '{"a":null}'),
        ('"1e999"', "Infinity"),
        ('"-1e999"', "-Infinity"),
        ('"{\\"a\\":[-1e999]}"', '{"a":{"0":-Infinity}}'),
        ("9" * 400, None),
        ('{"a":-%s}' % ("9" * 400), '{"a":null}'),
        ('"%s"' % ("9" * 400), "Infinity"),
        ('"\\ud800"', "\ud800"),
        ('{"\\ud800":"\\udfff"}', '{"\ud800":"\udfff"}'),
    ],
)
def test_numbers_beyond_all_bounds_and_halves_of_characters(text: str, route: str | None) -> None:
    assert read_routes(text.encode()) == Routes(route, route, ambiguous=False)


@pytest.mark.parametrize(("number", "route"), [(10**400, None), (-(10**400), None), (10**20, "1" + "0" * 20)])
def test_integers_of_any_length(number: int, route: str | None) -> None:
    assert route_of(number) == route
    assert route_of({"a": number}) == '{"a":%s}' % (route or "null")


def test_many_accents_take_no_time_to_speak_of() -> None:
    assert read_routes(b'{"a%b":1}' % ("\u0301\u0327" * 10_000).encode()).ambiguous is False


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


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: json.dumps(vector["pattern"])[:40])
def test_both_routes_of_a_pattern_and_whether_they_differ(vector: dict[str, Any]) -> None:
    v10, v12 = (value if isinstance(value, str) else None for value in (vector["lookup_v10"], vector["lookup_v12"]))
    found = read_routes(json.dumps(vector["pattern"]).encode())
    assert found == routes_of(vector["pattern"]) == Routes(v10, v12, ambiguous=v10 != v12)
    assert (found.of(Dialect.V10), found.of(Dialect.V12)) == (v10, v12)


def test_a_pattern_that_is_another_handlers_in_the_older_dialect() -> None:
    found = read_routes(rb'{"cmd":"delete\",\"role\":\"admin"}')
    assert found.v10 == route_of({"cmd": "delete", "role": "admin"}, Dialect.V10)
    assert found.v12 != route_of({"cmd": "delete", "role": "admin"}, Dialect.V12)
    assert found.ambiguous


def test_a_pattern_that_is_too_long_to_be_read_is_not_taken_for_any() -> None:
    assert read_routes(b'"%b"' % (b"x" * LONGEST_READ)) == Routes(None, None, ambiguous=True)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: json.dumps(vector["pattern"])[:40])
def test_a_route_in_the_older_dialect(vector: dict[str, Any]) -> None:
    v10, v12 = vector["lookup_v10"], vector["lookup_v12"]
    if isinstance(v12, str) and "[" not in v12:
        assert route_in(v12, Dialect.V10) == v10
        assert route_in(v12, Dialect.V12) == v12


@pytest.mark.parametrize("route", ["[TOO_MANY_KEYS]", "{bad", '{"a":[MAX_DEPTH_REACHED]}'])
def test_a_route_that_was_cut_short_stays(route: str) -> None:
    assert route_in(route, Dialect.V10) == route


def test_the_deepest_pattern_has_a_route_in_both_dialects() -> None:
    text = b'{"a":' * 255 + b"{}" + b"}" * 255
    assert str(read_routes(text).v10).count("{") == 256
    assert str(read_routes(json.dumps(text.decode()).encode()).v10).count("{") == 256


def test_an_object_that_is_deeper_than_any_frame_is_refused() -> None:
    deep: object = "x"
    for _ in range(300):
        deep = {"a": deep}
    with pytest.raises(PatternTooDeep, match="256"):
        route_of(deep, Dialect.V10)
