"""The shape of what callers send: pattern and id, of frames that a replica can read.

Used by the `exchange` on every frame of a caller. The scan has proved the frame to be JSON and found the values of the
keys that matter, in whatever order they stand; frames whose keys cannot be trusted take the slow path of `members`.
"""

from __future__ import annotations

from json import dumps
from typing import Final

from tcpservice.wire.frames import Frame, Oversized
from tcpservice.wire.ids import is_stable, is_utf8
from tcpservice.wire.members import read_members
from tcpservice.wire.nesting import MAX_NESTING
from tcpservice.wire.shape import DEEP, OBJECT, OTHER

_ID: Final = b',"id":'


class Request:
    """What one frame of a caller says.

    `pattern` is JSON text (the caller's own bytes, but for an odd frame), empty where there is none. `id` is the text
    of the id, None for an event, and stands in `raw[id_at:id_end]` (-1 where that is not known); `stable` says that
    NestJS returns it unchanged. `metadata` is where that value stands, None where there is none; `editable` says that
    members may be added to the frame.
    """

    __slots__ = ("editable", "id", "id_at", "id_end", "metadata", "pattern", "stable")

    def __init__(self, pattern: bytes, id_text: bytes | None, *, stable: bool = True) -> None:
        self.pattern = pattern
        self.id = id_text
        self.id_at = -1
        self.id_end = -1
        self.stable = stable
        self.metadata: tuple[int, int] | None = None
        self.editable = False


class Refused(ValueError):
    """A body that must not reach a replica: not JSON as JSON.parse has it, or nested too deeply."""


class TooDeep(Refused):
    """A body nested deeper than any receiver should have to take."""


def read_request(frame: Frame) -> Request:
    """Read a caller's frame. Raises Refused."""
    kind = frame.kind
    if kind == OBJECT:
        return _read(frame)
    if kind == DEEP:
        raise TooDeep(f"the JSON is nested deeper than {MAX_NESTING}")
    if kind == OTHER:
        return Request(b"", None)
    return _slow(frame)


def _read(frame: Frame) -> Request:
    raw, pattern_at, id_at = frame.raw, frame.pattern_at, frame.id_at
    if pattern_at < 0 and frame.data_at < 0:
        return Request(b"", None)
    pattern = raw[pattern_at : frame.pattern_end] if pattern_at >= 0 else b""
    id_text = raw[id_at : frame.id_end] if id_at >= 0 else None
    if not (is_utf8(pattern) and (id_text is None or is_utf8(id_text))):
        return _slow(frame)
    request = Request(pattern, id_text, stable=id_text is None or is_stable(id_text))
    request.id_at, request.id_end = id_at, frame.id_end
    request.editable = True
    if frame.metadata_at >= 0:
        request.metadata = (frame.metadata_at, frame.metadata_end)
    return request


def _slow(frame: Frame) -> Request:
    """Read a frame whose keys have to be parsed to be known, or find what is wrong with one that is not JSON."""
    try:
        members = read_members(frame.body)
    except ValueError as error:
        raise Refused(f"the body is not JSON: {error}") from None
    if "pattern" not in members and "data" not in members:
        return Request(b"", None)
    pattern = members.get("pattern")
    text = dumps(pattern.value).encode() if pattern else b""
    found = members.get("id")
    if found is None:
        return Request(text, None)
    id_text = found.text.encode("utf-8", "replace")
    return Request(text, id_text, stable=is_stable(id_text))


def oversized_id(item: Oversized) -> bytes | None:
    """Find the id of a frame of which only head and tail are known; None where it seems to be an event.

    In JSON text `,"id":` followed by a plain value and the closing brace at the very end can only be the top-level id;
    elsewhere the id is looked for among the members that are whole in the head.
    """
    id_at = item.tail.rfind(_ID)
    text = item.tail[id_at + len(_ID) : -1] if id_at >= 0 else b""
    if text and item.tail.endswith(b"}") and is_stable(text):
        return text
    return _id_in_head(item.head)


def _id_in_head(head: bytes) -> bytes | None:
    end = len(head)
    while (end := head.rfind(b",", 0, end)) > 0:
        try:
            members = read_members(head[:end] + b"}")
        except ValueError:
            continue
        found = members.get("id")
        return found.text.encode("utf-8", "replace") if found else None
    return None
