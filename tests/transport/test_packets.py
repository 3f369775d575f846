"""Packets to bytes and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcpservice_transport.errors import ConnectionLost, RemoteError
from tcpservice_transport.packets import PacketReader, encode


@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers() | st.none())), st.integers(1, 50))
def test_what_is_written_is_read(packets: list[dict[str, object]], step: int) -> None:
    data = b"".join(map(encode, packets))
    reader = PacketReader()
    read = [packet for at in range(0, len(data), step) for packet in reader.feed(data[at : at + step])]
    assert read == packets


def test_a_packet_is_as_nestjs_writes_it() -> None:
    assert encode({"pattern": {"cmd": "é😀"}, "data": None}) == '37#{"pattern":{"cmd":"é😀"},"data":null}'.encode()


@pytest.mark.parametrize("data", [b"garbage#", b"5#{bad}", b"2#{]", b"-1#{}"])
def test_what_is_no_packet(data: bytes) -> None:
    with pytest.raises(ConnectionLost, match="at byte 0"):
        PacketReader().feed(data)


def test_a_value_that_is_no_object_is_a_packet_without_members() -> None:
    assert PacketReader().feed(b"2#[]") == [{}]


@pytest.mark.parametrize("value", [float("nan"), object()])
def test_what_json_does_not_have(value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        encode({"data": value})


@pytest.mark.parametrize(
    ("error", "text", "code"),
    [
        ("no", "no", None),
        ({"message": "late", "code": "timeout"}, "late", "timeout"),
        ({"code": 5}, "{'code': 5}", None),
        ([1], "[1]", None),
    ],
)
def test_an_error_says_what_it_is(error: object, text: str, code: str | None) -> None:
    raised = RemoteError(error)
    assert (str(raised), raised.code, raised.error) == (text, code, error)
