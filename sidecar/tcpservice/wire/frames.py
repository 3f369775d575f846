"""Cutting a stream of bytes into frames: `<length>#<json>`, back to back, the length in UTF-16 code units.

Used by the `exchange`, one reader for each connection and direction. The reader takes whatever a read returned (many
frames, or a byte of one) and never raises: what is wrong with the stream is an item in its order among the frames,
`Malformed` the last. Each byte of a body is looked at once, however many pieces it arrives in.

A prefix is read as NestJS reads it, with JavaScript's `parseInt`: leading white space, a sign, digits, and then
anything up to the `#`. What can never become a length is malformed at once, where NestJS would wait for 30 seconds.
"""

from __future__ import annotations

import re
from codecs import utf_8_decode
from typing import Final, final

from tcpservice.wire.reference import MAX_PREFIX
from tcpservice.wire.scan import Frame, advance, cut

__all__ = ["Control", "Frame", "FrameReader", "Item", "Malformed", "Oversized", "encode_frame", "parse_length"]

HEAD_KEPT: Final = 4096
TAIL_KEPT: Final = 512

_WHITE_SPACE = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
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
    """

    __slots__ = ("_body", "_control", "_dead", "_offset", "_rest", "limit")

    def __init__(self, limit: int, *, control: bool = False) -> None:
        self.limit = limit
        self._control = control
        self._rest = b""
        self._body: _Body | _Skipped | None = None
        self._offset = 0
        self._dead = False

    @property
    def partial(self) -> bool:
        """Whether the stream stands in the middle of a frame."""
        return not self._dead and (self._body is not None or bool(self._rest))

    def feed(self, data: bytes) -> list[Item]:
        """Take the next bytes of the stream; return what became complete, in order."""
        items: list[Item] = []
        if self._rest:
            data, self._rest = self._rest + data, b""
        at, size = 0, len(data)
        while at < size and not self._dead and not self._rest:
            if self._body is not None:
                at = self._go_on(data, at, items)
                continue
            frames: list[Frame] = []
            at = cut(data, at, self.limit, self._offset, frames)
            items += frames
            if at < size:
                at = self._begin(data, at, items)
        self._offset += at
        return items

    def _begin(self, data: bytes, at: int, items: list[Item]) -> int:
        """Read the prefix of a frame that is not plain, and begin its body; return where that starts."""
        mark = data.find(b"#", at, at + MAX_PREFIX + 1)
        prefix = data[at:mark] if mark >= 0 else data[at : at + MAX_PREFIX + 1]
        control = self._control and prefix[:1] == b"!"
        if mark < 0:
            if len(prefix) > MAX_PREFIX or not _may_become_length(prefix[1:] if control else prefix):
                return self._fail(_no_length(prefix), at, items)
            self._rest = prefix
            return at
        length = parse_length(prefix[1:] if control else prefix)
        if length is None:
            return self._fail(_no_length(prefix), at, items)
        if length <= 0:
            return self._fail(f"a frame of length {length} holds no JSON", at, items)
        offset = self._offset + at
        if length > self.limit:
            self._body = _Skipped(length, offset)
        else:
            self._body = _Body(length, offset, control=control)
        return mark + 1

    def _go_on(self, data: bytes, at: int, items: list[Item]) -> int:
        """Give more bytes to the begun body; return where they end."""
        body = self._body
        assert body is not None
        end, body.wanted = advance(data, at, body.wanted)
        if body.wanted < 0:
            return self._fail("the length ends in the middle of a character", body.offset - self._offset, items)
        body.keep(data[at:end])
        if body.wanted:
            self._rest = data[end:]
            return end
        self._body = None
        items.append(body.item(self.limit))
        return end

    def _fail(self, reason: str, at: int, items: list[Item]) -> int:
        self._dead = True
        items.append(Malformed(reason, self._offset + at))
        return at


class _Body:
    """A body that is arriving: its pieces, and the units still wanted."""

    __slots__ = ("_control", "_length", "_pieces", "offset", "wanted")

    def __init__(self, length: int, offset: int, *, control: bool) -> None:
        self._length = length
        self._control = control
        self._pieces: list[bytes] = [b"%d#" % length]
        self.wanted = length
        self.offset = offset

    def keep(self, piece: bytes) -> None:
        self._pieces.append(piece)

    def item(self, limit: int) -> Item:
        raw = b"".join(self._pieces)
        at = len(self._pieces[0])
        if self._control:
            return Control(raw[at:], self.offset)
        if len(raw) - at > limit:
            return Oversized(raw[at : at + HEAD_KEPT], raw[-TAIL_KEPT:], self.offset)
        return Frame(raw, at, self._length, self.offset)


class _Skipped:
    """A body above the limit: all but its ends is forgotten as it arrives."""

    __slots__ = ("_head", "_tail", "offset", "wanted")

    def __init__(self, length: int, offset: int) -> None:
        self._head = b""
        self._tail = b""
        self.wanted = length
        self.offset = offset

    def keep(self, piece: bytes) -> None:
        if len(self._head) < HEAD_KEPT:
            self._head += piece[: HEAD_KEPT - len(self._head)]
        self._tail = (self._tail + piece[-TAIL_KEPT:])[-TAIL_KEPT:]

    def item(self, _limit: int) -> Item:
        return Oversized(self._head, self._tail, self.offset)


def _may_become_length(prefix: bytes) -> bool:
    """Whether a prefix of which the `#` has not come yet can still become a number."""
    text, _ = utf_8_decode(prefix, "replace", False)
    return _MAY_BECOME_LENGTH.fullmatch(text.lstrip(_WHITE_SPACE)) is not None


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
