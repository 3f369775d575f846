"""How deeply JSON text is nested, without parsing it.

Deep nesting is the one valid input that harms a receiver: NestJS 10 overflows its stack and dies, and recursive
parsers refuse it. Used on every frame, so the common case (few brackets in all) is two counts.
"""

from __future__ import annotations

from array import array
from itertools import accumulate

MAX_NESTING = 256

_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_AS_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")


def nesting(text: bytes, start: int = 0) -> int:
    """Return the depth of the JSON in `text[start:]`, or some number up to MAX_NESTING where it is surely no deeper.

    For text that is not JSON the number has no meaning, but is found in linear time all the same.
    """
    opened = text.count(b"{", start) + text.count(b"[", start)
    if opened <= MAX_NESTING:
        return opened
    outside = text[start:]
    if b"\\" in outside:
        outside = outside.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = b"".join(outside.split(b'"')[::2]).translate(_AS_STEPS, _NOT_BRACKETS)
    return max(accumulate(array("b", brackets)), default=0)
