"""Lengths in UTF-16 code units, which is how NestJS counts, over bytes that are UTF-8.

Used by `frames` to find where a body ends. A character beyond U+FFFF counts two; each maximal invalid subpart of bytes
that are not UTF-8 becomes U+FFFD and counts one, as in Node's decoder and Python's `replace`.
"""

from __future__ import annotations

import re
from codecs import utf_8_decode
from typing import Final

_SURROGATE: Final = re.compile(rb"\xed[\xa0-\xbf]")
"""Half a surrogate pair, which is not UTF-8, though Python's decoder waits for a third byte before it says so."""


def units(text: bytes) -> int:
    """Count the UTF-16 code units of UTF-8 bytes."""
    if text.isascii():
        return len(text)
    return _units(text.decode("utf-8", "replace"))


def advance(data: bytes, start: int, wanted: int) -> tuple[int, int]:
    """Walk over whole characters of `data` from `start` until `wanted` units are passed.

    Returns the end reached and the units still wanted. Where some are wanted, `data[end:]` is an incomplete character
    of at most three bytes, to be put before what arrives next. -1 units say that the length ended between the two
    halves of a surrogate pair, where no JSON text can end.

    Every unit takes at least one byte, so each step decodes as many bytes as units are wanted and never too many: the
    steps shrink geometrically and each byte is decoded once.
    """
    while wanted > 0:
        piece = data[start : start + wanted]
        if piece.isascii():
            start, wanted = start + len(piece), wanted - len(piece)
            if not piece:
                break
            continue
        text, used = utf_8_decode(piece, "replace", False)
        if not used:
            text, used = _next_character(data, start, len(piece))
            if not used:
                break
        start, wanted = start + used, wanted - _units(text)
    return start, wanted


def _next_character(data: bytes, start: int, known: int) -> tuple[str, int]:
    """Decode the character at `start`, of which `known` bytes are not enough; ("", 0) if it is not all there."""
    if _SURROGATE.match(data, start):
        return "\ufffd", 1
    size = known + 1
    while start + size <= len(data):
        text, used = utf_8_decode(data[start : start + size], "replace", False)
        if len(text) > 1:
            return text[0], size - 1
        if used:
            return text, used
        size += 1
    return "", 0


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
