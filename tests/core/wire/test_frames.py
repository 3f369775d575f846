"""Streams cut into frames: any split gives the same, and what is wrong is told once, with its offset."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcpservice.wire.frames import Control, FrameReader, Item, Malformed, Oversized, encode_frame, parse_length
from tcpservice.wire.scan import Frame

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "vectors.json").read_text())
LIMIT = 1 << 20

bodies = st.lists(
    st.one_of(
        st.text(min_size=1, max_size=40).map(
            lambda text: json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")
        ),
        st.binary(min_size=1, max_size=20).map(lambda junk: b'"' + junk + b'"'),
    ),
    max_size=8,
)


def described(items: list[Item]) -> list[object]:
    """Describe items, but for the words of a reason: they quote what had come until then."""
    return [
        (item.raw, item.at, item.units, item.offset)
        if isinstance(item, Frame)
        else (type(item).__name__, item.offset, getattr(item, "body", None))
        for item in items
    ]


def units_of(body: bytes) -> int:
    return len(body.decode("utf-8", "replace").encode("utf-16-le")) // 2


def fed(stream: bytes, cuts: list[int], limit: int = LIMIT, *, control: bool = False) -> list[Item]:
    reader = FrameReader(limit, control=control)
    edges = [0, *sorted(cuts), len(stream)]
    return [item for start, end in pairwise(edges) for item in reader.feed(stream[start:end])]


def only(stream: bytes, limit: int = LIMIT, *, control: bool = False) -> Item:
    (item,) = FrameReader(limit, control=control).feed(stream)
    return item


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_vector_byte_by_byte_is_the_vector_at_once(vector: dict[str, str]) -> None:
    stream = bytes.fromhex(vector["bytes_hex"])
    at_once = FrameReader(LIMIT).feed(stream)
    assert described(fed(stream, list(range(1, len(stream))))) == described(at_once)
    if vector["source"] == "captured":
        assert b"".join(item.raw for item in at_once if isinstance(item, Frame)) == stream


@given(bodies=bodies, data=st.data())
def test_any_split_gives_the_frames_that_were_sent(bodies: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(encode_frame(body, units_of(body)) for body in bodies)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=6))
    items = fed(stream, cuts)
    assert [item.body for item in items if isinstance(item, Frame)] == bodies
    assert len(items) == len(bodies)


@given(st.lists(st.binary(max_size=60), max_size=6), st.booleans())
def test_no_bytes_raise_and_nothing_follows_the_malformed(chunks: list[bytes], control: bool) -> None:
    reader = FrameReader(50, control=control)
    items = [item for chunk in chunks for item in reader.feed(chunk)]
    ends = [place for place, item in enumerate(items) if isinstance(item, Malformed)]
    assert ends in ([], [len(items) - 1])


@pytest.mark.parametrize("prefix", [" 7", "\n+7", "0007", "7abc", "7.9", "\ufeff7", "\r\n7", "\u20287"])
def test_prefixes_that_parse_int_takes(prefix: str) -> None:
    item = only(prefix.encode() + b'#{"a":1}')
    assert isinstance(item, Frame)
    assert (item.raw, item.units, item.offset) == (b'7#{"a":1}', 7, 0)


@pytest.mark.parametrize(
    ("stream", "reason", "offset"),
    [
        (b"#{}", "got b''", 0),
        (b"abc#{}", "got b'abc'", 0),
        (b"NaN#{}", "got b'NaN'", 0),
        (b"-5#{}", "length -5", 0),
        (b"-0#", "length 0", 0),
        (b"0#", "length 0", 0),
        (b"0x28#", "length 0", 0),
        (b"2#{}x", "got b'x'", 4),
        (b"2#{}+x", "got b'+x'", 4),
        (b"7" * 33, "within 32 bytes", 0),
        (b"7" * 33 + b"#", "within 32 bytes", 0),
        (b"GET / HTTP/1.1\r\n", "HTTP", 0),
        (b"\x16\x03\x01\x02\x00", "TLS", 0),
        ("1#\U0001f600".encode(), "middle of a character", 0),
        ("3#{}\U0001f600".encode(), "middle of a character", 0),
        (b"!4#ping", "got b'!4'", 0),
        (b"\xe2\x82", "got b'\\xe2\\x82'", 0),
        (b"\xc3", "got b'\\xc3'", 0),
        (b"+\xe2\x80", "got b'+\\xe2\\x80'", 0),
    ],
)
def test_what_cannot_become_a_frame(stream: bytes, reason: str, offset: int) -> None:
    *_, item = FrameReader(LIMIT).feed(stream)
    assert isinstance(item, Malformed)
    assert reason in item.reason
    assert item.offset == offset


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b" \r\n",
        b"-",
        b"12",
        b"12abc",
        b"5#{}",
        b"\xef\xbb",
        b" \xe2\x80",
        b"7\xe2\x82",
        '9#"\U0001f600'.encode()[:5],
    ],
)
def test_what_may_become_a_frame_is_waited_for(stream: bytes) -> None:
    reader = FrameReader(LIMIT)
    assert reader.feed(stream) == []
    assert reader.partial == bool(stream)


@pytest.mark.parametrize(
    ("bad", "units"),
    [(b"\xff\xfe", 2), (b"\xed\xa0\xbd", 3), (b"\xf0\x9f\x98", 1), (b"\xf0\x9fA", 2), (b"\xe2\x82\xff", 2)],
)
def test_invalid_utf8_counts_as_nestjs_counts(bad: bytes, units: int) -> None:
    body = b'"' + bad + b'"'
    stream = b"%d#%b" % (units + 2, body) + b"2#{}"
    for cuts in ([], list(range(len(stream)))):
        assert [item.body for item in fed(stream, cuts) if isinstance(item, Frame)] == [body, b"{}"]


def test_an_oversized_frame_is_skipped_and_its_ends_are_kept() -> None:
    body = b'{"pattern":"a","data":"' + b"x" * 9000 + b'","id":"1"}'
    stream = encode_frame(body, len(body)) + b"2#{}"
    for cuts in ([], [10, 3000, 4200, 9000]):
        big, small = fed(stream, cuts, limit=100)
        assert isinstance(big, Oversized)
        assert isinstance(small, Frame)
        assert body.startswith(big.head)
        assert len(big.head) == 4096
        assert big.tail.endswith(b'"id":"1"}')


@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_a_frame_of_exactly_the_limit_is_taken_however_it_arrives(pieces: int) -> None:
    body = b'{"data":"%b"}' % (b"x" * 89)
    stream = encode_frame(body, len(body))
    cuts = [len(stream) * piece // pieces for piece in range(1, pieces)]
    (taken,) = fed(stream, cuts, limit=len(body))
    assert isinstance(taken, Frame)
    (refused,) = fed(stream, cuts, limit=len(body) - 1)
    assert isinstance(refused, Oversized)


def test_the_limit_holds_for_bytes_too() -> None:
    body = '"漢漢漢漢"'.encode()
    assert isinstance(only(encode_frame(body, 6), limit=10), Oversized)
    assert isinstance(only(encode_frame(body, 6), limit=14), Frame)


def test_control_frames_stand_between_frames() -> None:
    stream = b'2#{}!6#goaway2#{}!11#cancel "id"'
    for cuts in ([], list(range(len(stream)))):
        items = fed(stream, cuts, control=True)
        assert [type(item) for item in items] == [Frame, Control, Frame, Control]
        assert [item.body for item in items if isinstance(item, Control)] == [b"goaway", b'cancel "id"']


@pytest.mark.parametrize("prefix", [b"!1025#", b"!99999999#", b"!" + b"9" * 30 + b"#"])
def test_a_long_control_frame_is_malformed_once_its_length_is_known(prefix: bytes) -> None:
    item = only(prefix, control=True)
    assert isinstance(item, Malformed)
    assert "longer than 1024" in item.reason


def test_the_bound_of_control_frames_is_one_of_bytes_and_not_that_of_frames() -> None:
    assert isinstance(only(b"!1024#" + b"x" * 1024, limit=10, control=True), Control)
    assert isinstance(only(b"!512#" + "é".encode() * 512, control=True), Control)
    reader = FrameReader(LIMIT, control=True)
    assert reader.feed(b"!600#" + "é".encode() * 500) == []
    (item,) = reader.feed("é".encode() * 13)
    assert isinstance(item, Malformed)
    assert item.offset == 0
    assert reader.feed("é".encode() * 87) == []


@pytest.mark.parametrize("prefix", [b"!0#", b"!#", b"!-1#", b"!x#"])
def test_a_control_frame_without_a_length_is_malformed(prefix: bytes) -> None:
    assert isinstance(only(prefix + b"x", control=True), Malformed)


@settings(max_examples=500)
@given(bodies=bodies, junk=st.binary(max_size=9), most=st.integers(1, 4), data=st.data())
def test_a_bound_of_items_changes_nothing_but_when_they_come(
    bodies: list[bytes], junk: bytes, most: int, data: st.DataObject
) -> None:
    stream = b"!6#goaway".join(encode_frame(body, units_of(body)) for body in bodies) + junk
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=6))
    reader, items = FrameReader(20, control=True), list[Item]()
    for start, end in pairwise([0, *sorted(cuts), len(stream)]):
        found = reader.feed(stream[start:end], most)
        assert len(found) <= most
        items += found
        if data.draw(st.booleans()):
            items += reader.feed(b"", most)
    while reader.has_more:
        found = reader.feed(b"", most)
        assert len(found) <= most
        items += found
    assert described(items) == described(FrameReader(20, control=True).feed(stream))
    assert reader.feed(b"") == []


def test_what_is_kept_back_is_counted_and_given_later() -> None:
    reader = FrameReader(LIMIT)
    assert len(reader.feed(b"2#{}" * 10, 3)) == 3
    assert (reader.has_more, reader.partial, reader.buffered) == (True, False, 40)
    assert len(reader.feed(b"2#{}" * 10 + b"9#{", 3)) == 3
    assert reader.buffered == 83
    assert len(reader.feed(b"", 14)) == 14
    assert (reader.has_more, reader.partial, reader.wanted) == (True, False, 0)
    assert reader.feed(b"", 1) == []
    assert (reader.has_more, reader.partial, reader.wanted) == (False, True, 8)
    assert len(reader.feed(b'"a":"b"}')) == 1
    assert (reader.has_more, reader.partial, reader.wanted, reader.buffered) == (False, False, 0, 0)


def test_what_came_while_some_was_kept_back_stays_in_its_order() -> None:
    reader = FrameReader(LIMIT)
    assert len(reader.feed(b"2#{}2#[]", 1)) == 1
    assert len(reader.feed(b'3#"a"3#', 1)) == 1
    assert reader.has_more
    assert len(reader.feed(b'"b"', 1)) == 1
    assert [item.body for item in reader.feed(b"") if isinstance(item, Frame)] == [b'"b"']


def test_a_bound_that_is_met_at_the_end_leaves_nothing() -> None:
    reader = FrameReader(LIMIT)
    assert len(reader.feed(b"2#{}2#{}", 2)) == 2
    assert not reader.has_more
    assert reader.feed(b"", 2) == []


def test_a_body_that_drips_in_holds_little_more_than_its_bytes() -> None:
    reader = FrameReader(LIMIT)
    reader.feed(b"100000#")
    for _ in range(50_000):
        assert reader.feed(b" ") == []
    assert 50_000 <= reader.buffered < 50_100
    assert reader.wanted == 50_000


def test_a_body_of_too_many_bytes_is_not_kept_until_it_is_whole() -> None:
    reader = FrameReader(10_000)
    reader.feed(b"9000#" + "漢".encode() * 3000)
    assert reader.buffered < 10_000
    reader.feed("漢".encode() * 5999)
    assert reader.buffered < 5000
    (item,) = reader.feed("漢".encode())
    assert isinstance(item, Oversized)
    assert item.head == ("漢".encode() * 3000)[:4096]
    assert len(item.tail) == 512


def test_a_dead_reader_holds_nothing() -> None:
    reader = FrameReader(LIMIT)
    reader.feed(b"2#{}" * 3 + b"x" + b" " * 1000, 2)
    reader.feed(b" " * 1000, 1)
    assert len(reader.feed(b"", 5)) == 1
    assert (reader.has_more, reader.partial, reader.buffered, reader.wanted) == (False, False, 0, 0)


def test_nothing_is_taken_after_the_end() -> None:
    reader = FrameReader(LIMIT)
    assert len(reader.feed(b"x")) == 1
    assert reader.feed(b"2#{}") == []
    assert not reader.partial


def test_parse_length_of_nothing() -> None:
    assert parse_length(b"") is None
