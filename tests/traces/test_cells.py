"""Text on a terminal: safe, measured as rich measures it, cut to fit."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tcpservice_traces.cells import columns, cut, cut_start, pad, safe

OBEYED = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"cmd":"sum"}', '{"cmd":"sum"}'),
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("two\nlines\ttab\x00", "two␊lines␉tab␀"),
        ("\x7f\x9b31m", "��31m"),
        ("left\u202eright\u200b\u00ad", "leftright"),
        ("a\u2028b\u00a0c", "a b c"),
        ("👩‍👩‍👧 👍🏽 ❤️ 🇩🇪", "👩👩👧 👍 ❤ DE"),
        ("e\u0301", "é"),
        ("\ud800\ue000\uffff", "���"),
        ("注文 ｶﾀｶﾅ", "注文 ｶﾀｶﾅ"),
    ],
)
def test_a_text_becomes_safe(text: str, expected: str) -> None:
    assert safe(text) == expected


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_left_in_a_safe_text(text: str) -> None:
    assert not [each for each in safe(text) if unicodedata.category(each) in OBEYED]
    assert safe(safe(text)) == safe(text)


def test_each_character_takes_the_columns_that_rich_counts() -> None:
    characters = [safe(chr(code)) for code in range(0x20000)]
    assert [each for each in characters if columns(each) != cell_len(each)] == []


@given(st.text())
def test_columns_are_what_rich_counts(text: str) -> None:
    assert columns(safe(text)) == cell_len(safe(text))


@pytest.mark.parametrize(
    ("text", "width", "end", "start"),
    [
        ("orders", 6, "orders", "orders"),
        ("orders", 5, "orde…", "…ders"),
        ("orders", 1, "…", "…"),
        ("orders", 0, "", ""),
        ("", 0, "", ""),
        ("注文", 4, "注文", "注文"),
        ("注文", 3, "注…", "…文"),
        ("注文", 2, "…", "…"),
    ],
)
def test_a_cut_shows(text: str, width: int, end: str, start: str) -> None:
    assert (cut(text, width), cut_start(text, width)) == (end, start)


@given(st.text(), st.integers(0, 20))
def test_a_cut_text_fits_and_a_padded_one_fills(text: str, width: int) -> None:
    for short in (cut(safe(text), width), cut_start(safe(text), width)):
        assert columns(short) <= width
        assert columns(pad(short, width)) == width
