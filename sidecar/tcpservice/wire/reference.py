"""The scan in Python: frames cut out of a read, each with the shape of its JSON. What the compiled twin must equal.

Used through `scan` where the compiled module was not built, and by the tests that compare the two.
"""

from __future__ import annotations

import re
from typing import Any, Final, final

from tcpservice import javascript
from tcpservice.wire.nesting import MAX_NESTING, nesting
from tcpservice.wire.shape import DEEP, INVALID, KEYS, OBJECT, OTHER
from tcpservice.wire.utf16 import advance, units

__all__ = ["Frame", "advance", "cut", "holds", "is_plain", "part", "units"]

MAX_PREFIX: Final = 32

Ranges = dict[bytes, tuple[int, int]]

_ZERO: Final = ord("0")
_NOWHERE: Final = (-1, -1)
_UNKNOWN: Final = b""
_SPACES: Final = r"[ \t\n\r]*"
_STRING: Final = r'"((?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*)"'
_SPACE: Final = re.compile(_SPACES)
_MEMBER: Final = re.compile(f"{_SPACES}{_STRING}{_SPACES}:{_SPACES}")
_AFTER_MEMBER: Final = re.compile(f"{_SPACES}([,}}])")
_TOKEN: Final = re.compile(
    f"{_SPACES}(?:"
    r"(?P<open>[\[{])|(?P<close>[\]}])|(?P<comma>,)|(?P<colon>:)|"
    f"(?P<string>{_STRING})|"
    r"(?P<plain>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null))"
)


@final
class Frame:
    """A whole frame: `raw` holds its bytes with a plain prefix, the body begins at `at`.

    `units` is the body's length as the prefix gives it, `offset` where the frame began in its stream, `kind` one of
    the words of `shape`. The other numbers are where values begin and end in `raw`, -1 for what is not there;
    `unknown_at` and `unknown_end` are those of the first top-level key that is none of `shape.KEYS`.
    """

    __slots__ = (
        "at", "data_at", "err_at", "err_end", "id_at", "id_end", "is_disposed_at", "is_disposed_end", "kind",
        "metadata_at", "metadata_end", "offset", "pattern_at", "pattern_end", "raw", "units", "unknown_at",
        "unknown_end",
    )  # fmt: skip

    def __init__(self, raw: bytes, at: int, units: int, offset: int) -> None:
        self.raw = raw
        self.at = at
        self.units = units
        self.offset = offset
        ranges: Ranges = {}
        self.kind = _scan(raw, at, ranges)
        if self.kind != OBJECT:
            ranges.clear()
        self.pattern_at, self.pattern_end = ranges.get(b"pattern", _NOWHERE)
        self.data_at, _ = ranges.get(b"data", _NOWHERE)
        self.metadata_at, self.metadata_end = ranges.get(b"metadata", _NOWHERE)
        self.id_at, self.id_end = ranges.get(b"id", _NOWHERE)
        self.err_at, self.err_end = ranges.get(b"err", _NOWHERE)
        self.is_disposed_at, self.is_disposed_end = ranges.get(b"isDisposed", _NOWHERE)
        self.unknown_at, self.unknown_end = ranges.get(_UNKNOWN, _NOWHERE)

    @property
    def body(self) -> bytes:
        """The JSON text alone."""
        return self.raw[self.at :]


def part(text: bytes, start: int, end: int) -> bytes:
    """Copy bytes of a frame. The compiled form of a slice is slow."""
    return text[start:end]


def holds(text: bytes, start: int, end: int, value: bytes) -> bool:
    """Whether a part of a frame is this value, without a copy."""
    return text[start:end] == value


def is_plain(text: bytes) -> bool:
    """Whether text is ASCII. The compiled form of a call of a method is slow."""
    return text.isascii()


def cut(data: bytes, at: int, limit: int, offset: int, frames: list[Any], most: int) -> int:
    """Cut the run of plain frames at `at`: whole, digits alone as prefix, ASCII, `limit` bytes at most.

    Adds `most` of them at most to `frames`; returns where the run ends. `offset` is where `data` began in its stream.
    """
    size = len(data)
    while at < size and most > 0:
        mark = data.find(b"#", at, at + MAX_PREFIX + 1)
        prefix = data[at:mark] if mark >= 0 else b""
        if not prefix.isdigit() or prefix[0] == _ZERO:
            break
        length = int(prefix)
        end = mark + 1 + length
        if length > limit or end > size:
            break
        raw = data[at:end]
        if not raw.isascii():
            break
        frames.append(Frame(raw, mark + 1 - at, length, offset + at))
        at = end
        most -= 1
    return at


def _scan(raw: bytes, at: int, ranges: Ranges) -> int:
    """Read the body a byte a character, so that places in the text are places in `raw`."""
    text = raw.decode("latin-1")
    if nesting(raw, at) > MAX_NESTING:
        return DEEP if _gets_too_deep(text, at) else INVALID
    try:
        return _members(text, at, ranges)
    except ValueError:
        return INVALID


def _members(text: str, at: int, ranges: Ranges) -> int:
    """Read the whole text; note where the values stand of the keys that matter. Raises ValueError."""
    kind, at = OTHER, _skip(text, at)
    if text[at : at + 1] == "{":
        kind, at = OBJECT, _object(text, at + 1, ranges)
    else:
        _, at = javascript.parse_at(text, at)
    if _skip(text, at) != len(text):
        raise ValueError("something follows the JSON value")
    return kind


def _object(text: str, at: int, ranges: Ranges) -> int:
    empty = _skip(text, at)
    if text[empty : empty + 1] == "}":
        return empty + 1
    while True:
        member = _MEMBER.match(text, at)
        if member is None:
            raise ValueError("expected a key and its value")
        key = _key(member[1])
        _, end = javascript.parse_at(text, member.end())
        if key in KEYS:
            ranges[key] = (member.end(), end)
        else:
            ranges.setdefault(_UNKNOWN, member.span(1))
        after = _AFTER_MEMBER.match(text, end)
        if after is None:
            raise ValueError("expected a comma, or the end of the object")
        at = after.end()
        if after[1] == "}":
            return at


def _key(written: str) -> bytes:
    """Return the key that is written so; what it is beyond ASCII does not matter, since no key that counts is."""
    if "\\" not in written:
        return written.encode("ascii", "replace")
    return str(javascript.parse(f'"{written}"')).encode("ascii", "replace")


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()


def _gets_too_deep(text: str, at: int) -> bool:
    """Tell, token by token, what is nested too deeply from what is no JSON before it comes to that."""
    stack: list[str] = []
    wanted = "value"
    while len(stack) <= MAX_NESTING:
        match = _TOKEN.match(text, at)
        following = _after(match.lastgroup or "", match[0][-1], wanted, stack) if match else None
        if match is None or following is None:
            return False
        wanted, at = following, match.end()
    return True


def _after(kind: str, char: str, wanted: str, stack: list[str]) -> str | None:
    """Return what may follow a token, None where the token itself may not stand there."""
    if kind == "open" and "value" in wanted:
        stack.append(char)
        return "key or close" if char == "{" else "value or close"
    if kind == "string" and "key" in wanted:
        return "colon"
    if kind == "colon" and wanted == "colon":
        return "value"
    if kind == "comma" and wanted == "comma or close" and stack:
        return "key" if stack[-1] == "{" else "value"
    if kind == "close" and "close" in wanted and stack and stack[-1] + char in ("{}", "[]"):
        stack.pop()
        return "comma or close"
    return "comma or close" if kind in ("string", "plain") and "value" in wanted else None
