"""Lines cut out of chunks, however they are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcpservice.lines import Lines, TooLong


@given(st.lists(st.binary(max_size=6).filter(lambda line: b"\n" not in line), max_size=8), st.data())
def test_however_a_stream_is_cut_the_lines_are_the_same(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    cutter, found = Lines(100), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += cutter.feed(stream[:size])
        stream = stream[size:]
    assert found == lines


def test_a_line_without_an_end_is_refused() -> None:
    cutter = Lines(10)
    assert cutter.feed(b"0123456789") == []
    assert cutter.feed(b"\n0123456789") == [b"0123456789"]
    with pytest.raises(TooLong, match="a line of more than 10 bytes"):
        cutter.feed(b"x")
