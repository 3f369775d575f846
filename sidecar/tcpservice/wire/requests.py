"""The shape of what callers send: pattern and id, of frames that a replica can read.

Used by the `exchange` on every frame of a caller. The scan has proved the frame to be JSON and found the values of the
keys that matter, however they are written and in whatever order; nothing is parsed here. So no message, however large
or odd, costs more than its bytes, or raises anything but Refused.
"""

from __future__ import annotations

from typing import Final

from tcpservice.wire.frames import HEAD_KEPT, TAIL_KEPT, Oversized
from tcpservice.wire.ids import is_stable, looks_stable
from tcpservice.wire.members import first_members, why_not_json
from tcpservice.wire.nesting import MAX_NESTING
from tcpservice.wire.scan import Frame, is_plain, part
from tcpservice.wire.shape import DEEP, OBJECT, OTHER

_ID: Final = b',"id":'
_KEY_SHOWN: Final = 40


class Request:
    """What one frame of a caller says.

    `pattern` is JSON text (the caller's own bytes, as NestJS decodes them), empty where there is none. `id` is the text
    of the id, None for an event, and is at `raw[id_at:id_end]` (-1 where there is none); `stable` says that NestJS
    returns it unchanged. `raw[metadata_at:metadata_end]` is that value (-1 where there is none).

    `passable` is False for a frame with neither `pattern` nor `data`: no NestJS server can answer it, and some stop
    when they get it. `foreign` is why the frame is surely not of NestJS's protocol, None where it may be: a service
    with a serializer of its own needs `protocol: Opaque`.
    """

    __slots__ = (
        "foreign", "id", "id_at", "id_end", "metadata_at", "metadata_end", "passable", "pattern", "stable",
    )  # fmt: skip

    pattern: bytes
    id: bytes | None
    id_at: int
    id_end: int
    stable: bool
    metadata_at: int
    metadata_end: int
    passable: bool
    foreign: str | None


class Refused(ValueError):
    """A body that must not reach a replica: not JSON as JSON.parse has it, or nested too deeply."""


class TooDeep(Refused):
    """A body nested deeper than any receiver should have to take; `id_text` is its id, None where that is not known."""

    def __init__(self, frame: Frame) -> None:
        super().__init__(f"the JSON is nested deeper than {MAX_NESTING}")
        raw, at = frame.raw, frame.at
        ends = Oversized(raw[at : at + HEAD_KEPT], raw[max(at, len(raw) - TAIL_KEPT) :], frame.offset)
        self.id_text = oversized_id(ends)


def read_request(frame: Frame) -> Request:
    """Read a caller's frame. Raises Refused."""
    kind = frame.kind
    if kind == OBJECT:
        return _read(frame)
    if kind == DEEP:
        raise TooDeep(frame)
    if kind == OTHER:
        return _not_passable("it is no JSON object")
    raise Refused(why_not_json(frame.body))


def _read(frame: Frame) -> Request:
    raw, id_at = frame.raw, frame.id_at
    id_text = _decoded(part(raw, id_at, frame.id_end)) if id_at >= 0 else None
    stable = id_text is None or is_stable(id_text)
    if frame.pattern_at >= 0:
        request = _request(_decoded(part(raw, frame.pattern_at, frame.pattern_end)), id_text, stable)
    elif frame.data_at >= 0:
        request = _request(b"", id_text, stable)
        request.foreign = _why_foreign(frame)
    else:
        return _not_passable(_why_foreign(frame))
    request.id_at, request.id_end = id_at, frame.id_end
    request.metadata_at, request.metadata_end = frame.metadata_at, frame.metadata_end
    return request


def _request(pattern: bytes, id_text: bytes | None, stable: bool) -> Request:
    request = Request.__new__(Request)
    request.pattern = pattern
    request.id = id_text
    request.id_at = -1
    request.id_end = -1
    request.stable = stable
    request.metadata_at = -1
    request.metadata_end = -1
    request.passable = True
    request.foreign = None
    return request


def _not_passable(foreign: str | None) -> Request:
    request = _request(b"", None, True)
    request.passable = False
    request.foreign = foreign
    return request


def _decoded(text: bytes) -> bytes:
    """Return the text as a receiver has it, which decodes what is not UTF-8 to U+FFFD."""
    return text if is_plain(text) else text.decode("utf-8", "replace").encode()


def _why_foreign(frame: Frame) -> str | None:
    """Say why a frame without a pattern is none of NestJS's; None where nothing else stands in it either."""
    if frame.unknown_at < 0:
        return None
    key = frame.raw[frame.unknown_at : min(frame.unknown_end, frame.unknown_at + _KEY_SHOWN)]
    return f'it has no "pattern", but a "{key.decode("utf-8", "replace")}"'


def oversized_id(item: Oversized) -> bytes | None:
    """Find the id of a frame of which only head and tail are known; None where it seems to be an event.

    In JSON text `,"id":` followed by a plain value and the closing brace at the very end can only be the top-level id;
    elsewhere the id is looked for among the members that are whole in the head.
    """
    id_at = item.tail.rfind(_ID)
    text = item.tail[id_at + len(_ID) : -1] if id_at >= 0 else b""
    if text and item.tail.endswith(b"}") and looks_stable(text):
        return _decoded(text)
    found = first_members(item.head).get("id")
    return found.encode() if found is not None else None
