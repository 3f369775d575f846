"""The shape of what callers send: pattern, id, and the proof that a replica can read it.

Used by the `exchange` on every frame of a caller. NestJS writes `{"pattern":P,"data":D}`, then perhaps
`,"metadata":M`, and `,"id":I` for requests. A frame is *canonical* when it is just that: the fixed text between the
values is found by plain search, and then each value is proved to be one JSON value by itself. JSON's grammar is
unambiguous, so a frame for which all proofs hold has exactly these keys, once each, in this order, wherever the search
had landed. Anything else takes the slow path of `members`.
"""

from __future__ import annotations

from collections.abc import Mapping
from json import dumps
from typing import Final

from tcpservice.wire.frames import Frame, Oversized
from tcpservice.wire.ids import is_json, is_stable
from tcpservice.wire.members import Member, read_members
from tcpservice.wire.nesting import MAX_NESTING, nesting

_HEAD: Final = b'{"pattern":'
_DATA: Final = b',"data":'
_METADATA: Final = b',"metadata":'
_ID: Final = b',"id":'


class Request:
    """What one frame of a caller says.

    `pattern` is JSON text (of a canonical frame, the caller's own bytes), empty where there is none. `id` is the text
    of the id, None for an event. `id_at` is where that text begins in the frame, -1 where it is not the frame's last
    member. `stable` says that NestJS returns the id unchanged. `metadata` is where that value stands, None where there
    is none; `room` is where a member could be put in its place, -1 in a frame that is not canonical.
    """

    __slots__ = ("id", "id_at", "metadata", "pattern", "room", "stable")

    def __init__(self, pattern: bytes, id_text: bytes | None, id_at: int, *, stable: bool) -> None:
        self.pattern = pattern
        self.id = id_text
        self.id_at = id_at
        self.stable = stable
        self.metadata: tuple[int, int] | None = None
        self.room = -1


class Refused(ValueError):
    """A body that must not reach a replica: not JSON as JSON.parse has it, or nested too deeply."""


class TooDeep(Refused):
    """A body nested deeper than any receiver should have to take."""


def read_request(frame: Frame, known: Mapping[bytes, object]) -> Request:
    """Read a caller's frame. `known` holds patterns already proved to be JSON, so that they need not be proved again.

    Raises Refused.
    """
    if nesting(frame.raw, frame.at) > MAX_NESTING:
        raise TooDeep(f"the JSON is nested deeper than {MAX_NESTING}")
    return _canonical(frame.raw, frame.at, known) or _slow(frame)


def _canonical(raw: bytes, at: int, known: Mapping[bytes, object]) -> Request | None:
    data_at = raw.find(_DATA, at)
    if data_at < 0 or not raw.startswith(_HEAD, at) or raw[-1] != 0x7D:
        return None
    pattern = raw[at + len(_HEAD) : data_at]
    if pattern not in known and not is_json(pattern):
        return None
    data_at += len(_DATA)
    id_at = raw.rfind(_ID, data_at)
    if id_at >= 0:
        id_text = raw[id_at + len(_ID) : -1]
        stable = is_stable(id_text)
        if (stable and id_text.isascii()) or is_json(id_text):
            request = Request(pattern, id_text, id_at + len(_ID), stable=stable)
            if _values(raw, data_at, id_at, request):
                return request
    request = Request(pattern, None, -1, stable=True)
    return request if _values(raw, data_at, len(raw) - 1, request) else None


def _values(raw: bytes, start: int, end: int, request: Request) -> bool:
    """Prove that `raw[start:end]` is one value, or two with the metadata key between; note where a third fits."""
    view = memoryview(raw)
    request.room = end
    if is_json(view[start:end]):
        return True
    split = raw.rfind(_METADATA, start, end)
    request.metadata = (split + len(_METADATA), end)
    return split >= 0 and is_json(view[start:split]) and is_json(view[split + len(_METADATA) : end])


def _slow(frame: Frame) -> Request:
    try:
        members = read_members(frame.body)
    except ValueError as error:
        raise Refused(f"the body is not JSON: {error}") from None
    if "pattern" not in members and "data" not in members:
        return Request(b"", None, -1, stable=True)
    pattern = members.get("pattern")
    text = dumps(pattern.value).encode() if pattern else b""
    return _with_id(text, members.get("id"))


def _with_id(pattern: bytes, member: Member | None) -> Request:
    if member is None:
        return Request(pattern, None, -1, stable=True)
    text = member.text.encode("utf-8", "replace")
    return Request(pattern, text, -1, stable=is_stable(text))


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
