"""Unpacking a body: what comes out, and that a small body cannot make much of itself."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcpservice_traces.body import Refused, unpack

PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "identity": bytes,
    "gzip": gzip.compress,
    "GZIP ": gzip.compress,
    "deflate": zlib.compress,
}


@pytest.mark.parametrize("encoding", PACK)
@given(data=st.binary(max_size=100))
def test_what_was_packed_comes_out(encoding: str, data: bytes) -> None:
    assert unpack(PACK[encoding](data), encoding, 100) == data


@pytest.mark.parametrize("encoding", PACK)
def test_a_body_of_the_limit_is_taken_and_one_byte_more_is_not(encoding: str) -> None:
    assert unpack(PACK[encoding](b"x" * 5000), encoding, 5000) == b"x" * 5000
    with pytest.raises(Refused, match=r"^the body is larger than 5,000 bytes; export in smaller batches$") as raised:
        unpack(PACK[encoding](b"x" * 5001), encoding, 5000)
    assert raised.value.status == 413


@pytest.mark.parametrize(
    ("data", "encoding", "status", "message"),
    [
        (b"", "br", 415, "Content-Encoding is to be gzip, deflate or none, not 'br'"),
        (b"", "gzip, gzip", 415, "Content-Encoding is to be gzip, deflate or none, not 'gzip, gzip'"),
        (b"", "gzip", 400, "the body ends in the middle of its gzip"),
        (gzip.compress(b"spans")[:-1], "gzip", 400, "the body ends in the middle of its gzip"),
        (
            b"spans",
            "gzip",
            400,
            "the body is not gzip, as its Content-Encoding says (Error -3 while decompressing data",
        ),
        (gzip.compress(b"spans"), "deflate", 400, "the body is not deflate, as its Content-Encoding says ("),
    ],
)
def test_what_cannot_be_unpacked_is_said(data: bytes, encoding: str, status: int, message: str) -> None:
    with pytest.raises(Refused) as raised:
        unpack(data, encoding, 100)
    assert (raised.value.status, str(raised.value)[: len(message)]) == (status, message)


def test_a_bomb_is_not_unpacked() -> None:
    limit = 1 << 20
    bomb = gzip.compress(bytes(64 * limit))
    tracemalloc.start()
    try:
        with pytest.raises(Refused, match="larger"):
            unpack(bomb, "gzip", limit)
        assert tracemalloc.get_traced_memory()[1] < 4 * limit
    finally:
        tracemalloc.stop()
