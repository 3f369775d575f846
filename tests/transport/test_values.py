"""Python values as JSON text and back, in frames."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcpservice.wire.frames import FrameReader
from tcpservice.wire.scan import Frame
from tcpservice_transport.errors import NotJson, UnexpectedValue
from tcpservice_transport.packets import Unreadable, decode, encode
from tcpservice_transport.values import as_type, to_json

TEXTS = st.text(st.characters(exclude_categories=[]))  # lone surrogates, too
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=20)


def read(data: bytes, step: int = 0) -> list[object]:
    reader, values = FrameReader(1 << 20), []
    for at in range(0, len(data), step or len(data)):
        for item in reader.feed(data[at : at + (step or len(data))]):
            assert isinstance(item, Frame)
            values.append(decode(item))
    assert not reader.partial
    return values


@given(st.lists(VALUES, min_size=1, max_size=5), st.integers(1, 50))
def test_what_is_written_is_read(values: list[object], step: int) -> None:
    data = b"".join(map(encode, values))
    assert [same(value) for value in read(data, step)] == [same(json.loads(json.dumps(value))) for value in values]


def same(value: object) -> object:
    """Numbers above 64 bits are read as JavaScript reads them."""
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**64:
        return float(value) if abs(value) < 10**308 else "huge"
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return "huge"
    if isinstance(value, list):
        return [same(one) for one in value]
    return {key: same(one) for key, one in value.items()} if isinstance(value, dict) else value


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int


class Order(msgspec.Struct):
    id: int
    colour: Colour = Colour.RED


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("é😀\u2028\x7f/", '"é😀\u2028\x7f/"'),
        ("\ud83d", '"\\ud83d"'),
        (10**30, "1" + "0" * 30),
        ({1: "a"}, '{"1":"a"}'),
        (Order(7), '{"id":7,"colour":"red"}'),
        ([Point(1), None], '[{"x":1},null]'),
        ({"at": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)}, '{"at":"2026-01-02T00:00:00+00:00"}'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (decimal.Decimal("1.50"), '"1.50"'),
        ({3}, "[3]"),
        ((1, "a"), '[1,"a"]'),
        ("null", '"null"'),
        ({uuid.UUID(int=2): None}, '{"00000000-0000-0000-0000-000000000002":null}'),
    ],
)
def test_what_python_has(value: object, text: str) -> None:
    assert to_json(value).decode() == text


def cycle() -> object:
    value: list[object] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (float("nan"), "Out of range float values are not JSON compliant"),
        ({"a": [None, float("inf")]}, "Out of range float values are not JSON compliant"),
        (b"x", "bytes: decode them, or write them as text, such as base64"),
        (object(), "Encoding objects of type object is unsupported"),
        ({(1, 2): 3}, "Dict key must a type serializable with OPT_NON_STR_KEYS"),
        (cycle(), "Recursion limit reached"),
    ],
)
def test_what_json_cannot_hold(value: object, said: str) -> None:
    with pytest.raises(NotJson) as raised:
        encode({"data": value})
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (rb'{"a":"\ud800"}', {"a": "\ud800"}),
        (b"1e999", float("inf")),
        (b'"\xff"', "\ufffd"),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b"12345678901234567890123", 1.2345678901234568e22),
        (
            b"[18446744073709551615,18446744073709551616,-9223372036854775808,1e999]",
            [2**64 - 1, 1.8446744073709552e19, -(2**63), float("inf")],
        ),
        (b"1" * 5000, float("inf")),
        (b" [1] ", [1]),
    ],
)
def test_what_javascript_reads(body: bytes, value: object) -> None:
    units = len(body.decode("utf-8", "replace"))
    assert read(b"%d#%b" % (units, body)) == [value]


@pytest.mark.parametrize("body", [b"{]", b"NaN", b"{'a':1}", b"[" * 300 + b"]" * 300, b"01", b'{"a":1,}'])
def test_what_is_no_json(body: bytes) -> None:
    with pytest.raises(Unreadable, match=r"the body is not JSON: |nested deeper than 256"):
        read(b"%d#%b" % (len(body), body))


def test_types() -> None:
    assert as_type({"id": 1}, Order) == Order(1)
    assert as_type([1], list[int]) == [1]
    with pytest.raises(UnexpectedValue, match=r"Object missing required field `id` - at `\$\[0\]`"):
        as_type([{}], list[Order])
