"""The shape of what replicas answer: for which request, whether it is the last word, and whether it is an error.

Used by the `exchange` on every frame of a NestJS replica. As for requests, the forms that NestJS writes are recognised
by their fixed text and a proof of the one value in them; all others take the slow path. Nothing is ever added to a
reply: a NestJS 12 client takes a packet with a foreign key for a value.
"""

from __future__ import annotations

from typing import Final

import orjson

from tcpservice.errors import Code
from tcpservice.javascript import truthy
from tcpservice.wire.frames import Frame
from tcpservice.wire.ids import is_json, is_stable
from tcpservice.wire.members import Member, read_members
from tcpservice.wire.nesting import MAX_NESTING, nesting
from tcpservice.wire.requests import Refused, TooDeep

_RESPONSE: Final = b'{"response":'
_ERROR: Final = b'{"err":'
_DISPOSED: Final = b',"isDisposed":true'
_COMPLETION: Final = b'{"isDisposed":true'
_ID: Final = b',"id":'
_ID_FIRST: Final = b'{"id":'
_NO_HANDLER_TEXT: Final = "There is no matching message handler defined in the remote service."
_NO_HANDLER: Final = b',"status":"error","err":"%b"}' % _NO_HANDLER_TEXT.encode()


class Reply:
    """What one frame of a replica says.

    `id` is the text of the id, which stands in `raw[id_at:id_end]` (`id_at` is -1 where the range is not known), None
    where there is none. `final` says that nothing follows; `code` is OK, RPC_EXCEPTION or NO_HANDLER.
    """

    __slots__ = ("code", "final", "id", "id_at", "id_end")

    def __init__(self, id_text: bytes | None, id_at: int, id_end: int, *, final: bool, code: Code) -> None:
        self.id = id_text
        self.id_at = id_at
        self.id_end = id_end
        self.final = final
        self.code = code


def read_reply(frame: Frame) -> Reply:
    """Read a replica's frame. Raises Refused for a body that a caller could not read."""
    if nesting(frame.raw, frame.at) > MAX_NESTING:
        raise TooDeep(f"the JSON is nested deeper than {MAX_NESTING}")
    return _canonical(frame.raw, frame.at) or _slow(frame)


def _canonical(raw: bytes, at: int) -> Reply | None:
    if raw.endswith(_NO_HANDLER):
        return _no_handler(raw, at)
    cut = raw.rfind(_ID, at)
    if cut < 0 or raw[-1] != 0x7D:
        return None
    id_at, id_end = cut + len(_ID), len(raw) - 1
    text = raw[id_at:id_end]
    if not (is_stable(text) and text.isascii()):
        return None
    final = raw.endswith(_DISPOSED, at, cut)
    value_end = cut - len(_DISPOSED) if final else cut
    if raw.startswith(_RESPONSE, at):
        if is_json(memoryview(raw)[at + len(_RESPONSE) : value_end]):
            return Reply(text, id_at, id_end, final=final, code=Code.OK)
    elif raw[at:cut] == _COMPLETION:
        return Reply(text, id_at, id_end, final=True, code=Code.OK)
    elif raw.startswith(_ERROR, at):
        return _error(raw, at + len(_ERROR), value_end, Reply(text, id_at, id_end, final=final, code=Code.OK))
    return None


def _no_handler(raw: bytes, at: int) -> Reply | None:
    id_at, id_end = at + len(_ID_FIRST), len(raw) - len(_NO_HANDLER)
    text = raw[id_at:id_end]
    if not (raw.startswith(_ID_FIRST, at) and is_stable(text) and text.isascii()):
        return None
    return Reply(text, id_at, id_end, final=True, code=Code.NO_HANDLER)


def _error(raw: bytes, start: int, end: int, reply: Reply) -> Reply | None:
    try:
        error = orjson.loads(memoryview(raw)[start:end])
    except ValueError:
        return None
    if truthy(error):
        reply.final, reply.code = True, Code.RPC_EXCEPTION
    return reply


def _slow(frame: Frame) -> Reply:
    try:
        members = read_members(frame.body)
    except ValueError as error:
        raise Refused(f"the body is not JSON: {error}") from None
    failed = _is_true(members.get("err"))
    code = Code.RPC_EXCEPTION if failed else Code.OK
    if failed and "isDisposed" not in members and members["err"].value == _NO_HANDLER_TEXT:
        code = Code.NO_HANDLER
    found = members.get("id")
    text = found.text.encode("utf-8", "replace") if found else None
    return Reply(text, -1, -1, final=failed or _is_true(members.get("isDisposed")), code=code)


def _is_true(member: Member | None) -> bool:
    return member is not None and truthy(member.value)
