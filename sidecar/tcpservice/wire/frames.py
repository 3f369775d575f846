"""Cutting a stream of bytes into frames: `<length>#<json>`, back to back, the length in UTF-16 code units.

Used by the `exchange`, one reader for each connection and direction. The reader takes whatever a read returned (many
frames, or a byte of one) and never raises: what is wrong with the stream is an item in its order among the frames,
`Malformed` the last. Each byte of a body is looked at once, however many pieces it arrives in. A call can be bounded to
so many items, since a single read may hold thousands.

A prefix is read as NestJS reads it, with JavaScript's `parseInt`: leading white space, a sign, digits, and then
anything up to the `#`. What can never become a length is malformed at once, where NestJS would wait for 30 seconds.
"""

from __future__ import annotations

import re
from codecs import utf_8_decode
from typing import Any, Final, final

from tcpservice.wire.reference import MAX_PREFIX
from tcpservice.wire.scan import Frame, advance, cut

__all__ = ["Control", "FrameReader", "Item", "Malformed", "Oversized", "encode_frame", "parse_length"]

HEAD_KEPT: Final = 4096
TAIL_KEPT: Final = 512
MAX_CONTROL: Final = 1024
"""The longest body of a frame of the mesh hop, in bytes."""

SMALL_PIECE: Final = 1024
UNBOUNDED: Final = 1 << 30

_WHITE_SPACE = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
_WHITE_SPACE_BEGUN = frozenset(char.encode()[:size] for char in _WHITE_SPACE for size in range(1, len(char.encode())))
_LONG_CONTROL = f"a control frame is longer than {MAX_CONTROL} bytes"
_LENGTH = re.compile(r"[+-]?[0-9]+")
_MAY_BECOME_LENGTH = re.compile(r"[+-]?(?:[0-9].*)?", re.DOTALL)
_HTTP = re.compile(rb"(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|CONNECT|TRACE|PRI) ")


@final
class Control:
    """A frame of the mesh hop itself, whose prefix began with `!`."""

    __slots__ = ("body", "offset")

    def __init__(self, body: bytes, offset: int) -> None:
        self.body = body
        self.offset = offset


@final
class Oversized:
    """A frame above the limit, skipped: only its `head` and `tail` are known, which may hold its id."""

    __slots__ = ("head", "offset", "tail")

    def __init__(self, head: bytes, tail: bytes, offset: int) -> None:
        self.head = head
        self.tail = tail
        self.offset = offset


@final
class Malformed:
    """The end of a stream that cannot be read any further: why, and at which byte."""

    __slots__ = ("offset", "reason")

    def __init__(self, reason: str, offset: int) -> None:
        self.reason = reason
        self.offset = offset


Item = Frame | Control | Oversized | Malformed


def encode_frame(body: bytes, units: int) -> bytes:
    """Put the prefix before a body of that many UTF-16 units."""
    return b"%d#%b" % (units, body)


class FrameReader:
    """Cuts one direction of one connection into frames of at most `limit` units and bytes.

    `control` says whether frames of the mesh hop may stand between the app's.

    A caller that bounds its work gives `most` to `feed`, and asks again with no bytes while `has_more`. What was fed
    meanwhile is kept in its order; each byte is copied at most once more than without a bound.
    """

    __slots__ = ("_at", "_body", "_control", "_data", "_dead", "_later", "_later_size", "_offset", "_waits", "limit")

    def __init__(self, limit: int, *, control: bool = False) -> None:
        self.limit = limit
        self._control = control
        self._data = b""
        self._at = 0
        self._offset = 0
        self._waits = False
        self._later: list[bytes] = []
        self._later_size = 0
        self._body: _Body | _Skipped | None = None
        self._dead = False

    @property
    def partial(self) -> bool:
        """Whether the stream stands in the middle of a frame."""
        return self._body is not None or self._waits

    @property
    def has_more(self) -> bool:
        """Whether bytes are kept that may hold whole frames."""
        return bool(self._later) or (not self._waits and self._at < len(self._data))

    @property
    def buffered(self) -> int:
        """How many bytes are held: those of a body that is arriving, and those that have not been looked at."""
        held = len(self._data) + self._later_size
        return held if self._body is None else held + self._body.held

    @property
    def wanted(self) -> int:
        """How many units are missing of the body that is arriving; 0 where none has begun."""
        return 0 if self._body is None else self._body.wanted

    def feed(self, data: bytes, most: int = UNBOUNDED) -> list[Item]:
        """Take the next bytes of the stream; return what became complete, in order, `most` items at most."""
        items: list[Any] = []
        if self._dead:
            return items
        if not (self._data or self._body or self._later):
            at = cut(data, 0, self.limit, self._offset, items, most)
            if at == len(data):
                self._offset += at
                return items
            self._data, self._at = data, at
        elif data:
            self._append(data)
        self._take(items, most)
        while self._later and len(items) < most:
            data, self._later, self._later_size = b"".join(self._later), [], 0
            self._append(data)
            self._take(items, most)
        return items

    def _append(self, data: bytes) -> None:
        """Put bytes behind those that are kept; only those of an unfinished prefix or character are moved for it."""
        if self.has_more:
            self._later.append(data)
            self._later_size += len(data)
        else:
            self._data = self._data + data if self._data else data
            self._waits = False

    def _take(self, items: list[Any], most: int) -> None:
        """Cut what is there, until there are so many items or no whole one is left."""
        data, at = self._data, self._at
        size = len(data)
        while at < size and not self._waits and len(items) < most:
            if self._body is not None:
                at = self._go_on(data, at, items)
            else:
                at = cut(data, at, self.limit, self._offset, items, most - len(items))
                if at < size and len(items) < most:
                    at = self._begin(data, at, items)
            if self._dead:
                return
        if at == size or self._waits:
            self._data, self._at = data[at:], 0
            self._offset += at
        else:
            self._at = at

    def _begin(self, data: bytes, at: int, items: list[Item]) -> int:
        """Read the prefix of a frame that is not plain, and begin its body; return where that starts."""
        mark = data.find(b"#", at, at + MAX_PREFIX + 1)
        prefix = data[at:mark] if mark >= 0 else data[at : at + MAX_PREFIX + 1]
        control = self._control and prefix[:1] == b"!"
        if mark < 0:
            if len(prefix) > MAX_PREFIX or not _may_become_length(prefix[1:] if control else prefix):
                return self._fail(_no_length(prefix), at, items)
            self._waits = True
            return at
        length = parse_length(prefix[1:] if control else prefix)
        if length is None:
            return self._fail(_no_length(prefix), at, items)
        if length <= 0:
            return self._fail(f"a frame of length {length} holds no JSON", at, items)
        offset = self._offset + at
        if control:
            if length > MAX_CONTROL:
                return self._fail(_LONG_CONTROL, at, items)
            self._body = _Body(length, offset, control=True)
        elif length > self.limit:
            self._body = _Skipped(length, offset)
        else:
            self._body = _Body(length, offset, control=False)
        return mark + 1

    def _go_on(self, data: bytes, at: int, items: list[Item]) -> int:
        """Give more bytes to the begun body; return where they end."""
        body = self._body
        assert body is not None
        end, body.wanted = advance(data, at, body.wanted)
        if body.wanted < 0:
            return self._fail("the length ends in the middle of a character", body.offset - self._offset, items)
        body.keep(data[at:end])
        if isinstance(body, _Body) and body.size > (MAX_CONTROL if body.control else self.limit):
            if body.control:
                return self._fail(_LONG_CONTROL, body.offset - self._offset, items)
            self._body = body = body.skipped()
        if body.wanted:
            self._waits = end < len(data)
            return end
        self._body = None
        items.append(body.item())
        return end

    def _fail(self, reason: str, at: int, items: list[Item]) -> int:
        """End the stream, and keep nothing of it."""
        items.append(Malformed(reason, self._offset + at))
        self._dead = True
        self._waits = False
        self._body = None
        self._data, self._at = b"", 0
        self._later, self._later_size = [], 0
        return at


class _Body:
    """A body that is arriving, behind its prefix, and the units still wanted.

    Small pieces are put together as they come: each would take many times its bytes in memory.
    """

    __slots__ = ("_length", "_pieces", "_small", "control", "offset", "size", "wanted")

    def __init__(self, length: int, offset: int, *, control: bool) -> None:
        self._length = length
        self._pieces: list[bytes] = [b"%d#" % length]
        self._small = bytearray()
        self.control = control
        self.size = 0
        self.wanted = length
        self.offset = offset

    @property
    def held(self) -> int:
        return self.size

    def keep(self, piece: bytes) -> None:
        self.size += len(piece)
        if len(piece) < SMALL_PIECE:
            self._small += piece
            if len(self._small) < SMALL_PIECE:
                return
            piece = b""
        if self._small:
            self._pieces.append(bytes(self._small))
            self._small.clear()
        if piece:
            self._pieces.append(piece)

    def skipped(self) -> _Skipped:
        """Go on without what came, but for its ends: it turned out to have too many bytes."""
        skipped = _Skipped(self.wanted, self.offset)
        skipped.keep(self._joined(self._pieces[1:]))
        return skipped

    def item(self) -> Item:
        if self.control:
            return Control(self._joined(self._pieces[1:]), self.offset)
        return Frame(self._joined(self._pieces), len(self._pieces[0]), self._length, self.offset)

    def _joined(self, pieces: list[bytes]) -> bytes:
        return b"".join([*pieces, bytes(self._small)])


class _Skipped:
    """A body above the limit: all but its ends is forgotten as it arrives."""

    __slots__ = ("_head", "_tail", "offset", "wanted")

    def __init__(self, wanted: int, offset: int) -> None:
        self._head = b""
        self._tail = b""
        self.wanted = wanted
        self.offset = offset

    @property
    def held(self) -> int:
        return len(self._head) + len(self._tail)

    def keep(self, piece: bytes) -> None:
        if len(self._head) < HEAD_KEPT:
            self._head += piece[: HEAD_KEPT - len(self._head)]
        self._tail = (self._tail + piece[-TAIL_KEPT:])[-TAIL_KEPT:]

    def item(self) -> Item:
        return Oversized(self._head, self._tail, self.offset)


def _may_become_length(prefix: bytes) -> bool:
    """Whether a prefix of which the `#` has not come yet can still become a number."""
    text, used = utf_8_decode(prefix, "replace", False)
    begun = prefix[used:]
    text = text.lstrip(_WHITE_SPACE)
    if not text:
        return not begun or begun in _WHITE_SPACE_BEGUN
    return _MAY_BECOME_LENGTH.fullmatch(text) is not None and not (begun and text in ("+", "-"))


def parse_length(prefix: bytes) -> int | None:
    """Read a prefix as JavaScript's `parseInt(prefix, 10)` does; None stands for NaN."""
    match = _LENGTH.match(prefix.decode("utf-8", "replace").lstrip(_WHITE_SPACE))
    return int(match[0]) if match else None


def _no_length(prefix: bytes) -> str:
    """Say what came where a length should stand, and guess who speaks."""
    if prefix[:2] == b"\x16\x03":
        return "expected a frame's length, got a TLS handshake: is the caller set up for TLS?"
    if _HTTP.match(prefix):
        return "expected a frame's length, got what looks like HTTP: is this port called as a web server?"
    return f"expected a frame's length followed by '#' within {MAX_PREFIX} bytes, got {prefix!r}"
