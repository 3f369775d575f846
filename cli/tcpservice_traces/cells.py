"""Text on a terminal: made safe to print, measured in columns, cut to fit.

Used by `labels` and `lines`. Names of spans come from anywhere. An escape sequence in one must not reach the terminal,
and one character more or less than was counted would break every bar below it. So characters whose width differs from
terminal to terminal (joined emoji, flags, variation selectors) are reduced to ones whose width does not.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from itertools import accumulate
from typing import Final

ELLIPSIS: Final = "…"

_PICTURES: Final = 0x2400
_REPLACED: Final = "\N{REPLACEMENT CHARACTER}"
_FLAGS: Final = range(0x1F1E6, 0x1F200)
_DROPPED: Final = (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0), range(0x1F3FB, 0x1F400))
_FILLERS: Final = (range(0x3164, 0x3165), range(0xFFA0, 0xFFA1))
_WIDENED: Final = (
    range(0x2630, 0x2638), range(0x268A, 0x2690), range(0x4DC0, 0x4E00),
    range(0x1D300, 0x1D357), range(0x1D360, 0x1D377),
)  # fmt: skip
"""Became wide with Unicode 16: whether a terminal knows that cannot be told."""
_JOINING_JAMO: Final = (range(0x1160, 0x1200), range(0xD7B0, 0xD800))
_MARKS: Final = ("Mn", "Me", "Mc")
_CACHED: Final = 4096


def safe(text: str) -> str:
    """Return the text in one line and without anything that a terminal would obey."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_safe(character) for character in unicodedata.normalize("NFC", text))


def columns(text: str) -> int:
    """Return how many columns a safe text takes."""
    return len(text) if text.isascii() else sum(_columns(character) for character in text)


def cut(text: str, width: int) -> str:
    """Return a safe text in at most `width` columns, with an ellipsis where something is missing."""
    if columns(text) <= width:
        return text
    return _beginning(text, width - 1) + ELLIPSIS if width > 0 else ""


def cut_start(text: str, width: int) -> str:
    """Return a safe text in at most `width` columns, with its end kept and an ellipsis before it."""
    if columns(text) <= width:
        return text
    return ELLIPSIS + _beginning(text[::-1], width - 1)[::-1] if width > 0 else ""


def pad(text: str, width: int) -> str:
    """Return a safe text that takes at most `width` columns in exactly that many."""
    return text + " " * (width - columns(text))


def _beginning(text: str, width: int) -> str:
    ends = accumulate(_columns(character) for character in text)
    return text[: sum(end <= width for end in ends)]


@lru_cache(_CACHED)
def _safe(character: str) -> str:
    code, category = ord(character), unicodedata.category(character)
    if category == "Cc":
        return chr(_PICTURES + code) if code < 0x20 else _REPLACED
    if category == "Cf" or any(code in each for each in (*_DROPPED, *_FILLERS)):
        return ""
    if category in ("Cs", "Co", "Cn") or any(code in each for each in _WIDENED):
        return _REPLACED
    if category in ("Zs", "Zl", "Zp"):
        return " "
    return chr(code - _FLAGS.start + ord("A")) if code in _FLAGS else character


@lru_cache(_CACHED)
def _columns(character: str) -> int:
    if unicodedata.category(character) in _MARKS or any(ord(character) in each for each in _JOINING_JAMO):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
