"""UTF-16 lengths and nesting, against slow and obvious oracles."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcpservice.wire.nesting import nesting
from tcpservice.wire.utf16 import advance, units

values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.text(alphabet='a"\\[]{}é😀', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


def depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(st.binary(max_size=40), st.integers(0, 8))
def test_advance_passes_whole_characters(data: bytes, start: int) -> None:
    total = units(data[start:])
    end, wanted = advance(data, start, total + 5)
    rest = data[end:]
    assert len(rest) <= 3
    assert wanted - units(rest) == 5
    assert units(data[start:end]) == total - units(rest)


def test_the_halves_of_a_surrogate_pair_count_a_byte_each() -> None:
    halves = b'"\xed\xa0\xbd\xed\xb8\x80"'
    assert [advance(halves, 0, wanted) for wanted in range(9)] == [(wanted, 0) for wanted in range(9)]


def test_units() -> None:
    assert [units(text.encode()) for text in ("", "a", "é", "漢", "😀")] == [0, 1, 1, 1, 2]


@given(values)
def test_nesting_is_the_depth_where_it_matters(value: object) -> None:
    deep = '{"a":' * 150 + '"]}\\\\\\"[["' + "}" * 150
    text = json.dumps([value, json.loads(deep), json.loads(deep)], ensure_ascii=False).encode()
    assert nesting(b"xx" + text, 2) == 1 + max(depth(value), 150)
    assert nesting(text) == nesting(text + b" ")


@pytest.mark.parametrize("brackets", [256, 257, 100_000])
def test_deep_nesting_is_measured(brackets: int) -> None:
    assert nesting(b"[" * brackets + b"]" * brackets) == brackets


def test_what_is_not_json_is_measured_all_the_same() -> None:
    assert nesting(b"]" * 300 + b"[" * 300) == 0
    assert isinstance(nesting(b'"' + b"[" * 300), int)
