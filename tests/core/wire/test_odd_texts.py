"""Whatever JSON a peer makes up: what reads it raises nothing but the exceptions that are documented."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.wire import texts
from tcpservice import javascript
from tcpservice.pattern import PatternTooDeep, exact_route, read_routes
from tcpservice.policy import Policies
from tcpservice.snapshot import MatchType, Route, Service
from tcpservice.wire.ids import is_utf8, with_id
from tcpservice.wire.replies import read_reply
from tcpservice.wire.requests import Refused, TooDeep, read_request
from tcpservice.wire.scan import Frame
from tcpservice.wire.shape import DEEP, INVALID
from tcpservice.wire.utf16 import units

HUGE = ("1e999", "-1e999", "9" * 400, "-" + "9" * 5000, "1e-999", "1e99999999999999999999", "-0", "0e0", "-0.0e-0")
STRINGS = ('""', '"\\ud800"', '"\\udfff\\ud800"', '"\\u0000"', '"1e999"', '"{\\"a\\":1e999}"', '"[1,"', '"\\\\"')
DEEP_TEXTS = ("[" * 250 + "]" * 250, '{"a":' * 250 + "1" + "}" * 250, '"' + "[" * 300 + '"', '"' + '[\\"' * 300 + '"')
RAW = (b'"\xff"', b'"\xed\xa0\x80"', b'"\xf0\x9f"', b'{"\xff":1}')
VALUES = [*(text.encode() for text in (*HUGE, *STRINGS, *DEEP_TEXTS)), *RAW]

policies = Policies(
    Service(
        namespace="shop",
        name="orders",
        port=3000,
        routes=(
            Route(name="r", match=MatchType.PREFIX, pattern="a"),
            Route(name="s", match=MatchType.EXACT, pattern="b"),
        ),
    )
)
values = st.sampled_from(VALUES)
keys = st.sampled_from(
    [b'"pattern"', b'"p\\u0061ttern"', b'"data"', b'"id"', b'"\\u0069d"', b'"err"', b'"isDisposed"', b'"x"']
)


def read_all(body: bytes) -> None:
    """Read a body in all ways in which the sidecar reads one."""
    frame = Frame(b"#" + body, 1, units(body), 0)
    if frame.kind in (DEEP, INVALID):
        with pytest.raises(TooDeep if frame.kind == DEEP else Refused):
            read_request(frame)
        with pytest.raises(TooDeep if frame.kind == DEEP else Refused):
            read_reply(frame)
        return
    request = read_request(frame)
    if request.pattern:
        javascript.parse(request.pattern.decode())
    try:
        policies.find(request.pattern)
        assert request.pattern == b"" or read_routes(request.pattern)
    except PatternTooDeep:
        assert request.pattern.count(b"[") + request.pattern.count(b"{") > 256
    reply = read_reply(frame)
    for text, id_at, id_end in ((request.id, request.id_at, request.id_end), (reply.id, reply.id_at, reply.id_end)):
        if text is not None:
            assert is_utf8(text)
            javascript.parse(text.decode())
            changed = with_id(frame, id_at, id_end, b'"new"')
            again = Frame(changed, changed.index(b"#") + 1, 0, 0)
            assert (again.kind, again.raw[again.id_at : again.id_end]) == (frame.kind, b'"new"')


@settings(max_examples=500)
@given(st.lists(st.tuples(keys, values), max_size=5))
def test_messages_of_odd_values(members: list[tuple[bytes, bytes]]) -> None:
    read_all(b"{" + b",".join(key + b":" + value for key, value in members) + b"}")


@settings(max_examples=1000)
@given(st.randoms(use_true_random=False))
def test_odd_texts(random: Random) -> None:
    read_all(texts.text(random))


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value[:24]))
@pytest.mark.parametrize("key", [b"pattern", b"id", b"data", b"err", b"isDisposed", b"\\u0069d"])
def test_an_odd_value_in_each_place(key: bytes, value: bytes) -> None:
    read_all(b'{"%b":%b}' % (key, value))
    read_all(b'{"pattern":1,"\\u0070attern":2,"%b":%b,"id":"1"}' % (key, value))


@given(st.text())
def test_any_text_in_a_manifest(text: str) -> None:
    exact_route(text)


@given(st.binary())
def test_any_pattern(text: bytes) -> None:
    try:
        read_routes(text)
    except ValueError:
        with pytest.raises(ValueError, match=r".*"):
            javascript.parse(text.decode("utf-8", "replace"))
