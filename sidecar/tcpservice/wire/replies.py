"""The shape of what replicas answer: for which request, whether it is the last word, and whether it is an error.

Used by the `exchange` on every frame of a NestJS replica. As for requests, the scan has found the values that matter.
Nothing is ever added to a reply: a NestJS 12 client takes a packet with a foreign
key for a value.
"""

from __future__ import annotations

from typing import Final

from tcpservice.errors import Code
from tcpservice.javascript import parse, truthy
from tcpservice.wire.ids import is_utf8
from tcpservice.wire.members import why_not_json
from tcpservice.wire.requests import Refused, TooDeep
from tcpservice.wire.scan import Frame, holds, part
from tcpservice.wire.shape import DEEP, OBJECT, OTHER

# CPython 3.11 looks up a member of an enum slowly; these names are as quick as any (docs/decisions.md).
_OK: Final = Code.OK
_RPC_EXCEPTION: Final = Code.RPC_EXCEPTION
_CODE_NO_HANDLER: Final = Code.NO_HANDLER

_NO_HANDLER: Final = b'"There is no matching message handler defined in the remote service."'
_TRUE: Final = b"true"
_FALSE: Final = frozenset({b"false", b"null", b"0", b'""'})
_SURELY_TRUE: Final = frozenset({b"{", b"[", b'"', b"t"})


class Reply:
    """What one frame of a replica says.

    `id` is the text of the id as callers decode it, found at `raw[id_at:id_end]`, None where there is none (then
    `id_at` is -1). `final` says that nothing follows; `code` is OK, RPC_EXCEPTION or NO_HANDLER.
    """

    __slots__ = ("code", "final", "id", "id_at", "id_end")

    code: Code
    final: bool
    id: bytes | None
    id_at: int
    id_end: int


def read_reply(frame: Frame) -> Reply:
    """Read a replica's frame. Raises Refused for a body that a caller could not read."""
    kind = frame.kind
    if kind == OBJECT:
        return _read(frame)
    if kind == DEEP:
        raise TooDeep(frame)
    if kind == OTHER:
        return _answer(None, -1, -1, False, _OK)
    raise Refused(why_not_json(frame.body))


def _read(frame: Frame) -> Reply:
    raw, id_at, id_end = frame.raw, frame.id_at, frame.id_end
    id_text = part(raw, id_at, id_end) if id_at >= 0 else None
    if id_text is not None and not is_utf8(id_text):
        id_text = id_text.decode("utf-8", "replace").encode()
    disposed_at = frame.is_disposed_at
    final = disposed_at >= 0 and (
        holds(raw, disposed_at, frame.is_disposed_end, _TRUE) or _is_true(raw[disposed_at : frame.is_disposed_end])
    )
    if frame.err_at < 0:
        return _answer(id_text, id_at, id_end, final, _OK)
    error = raw[frame.err_at : frame.err_end]
    if error == _NO_HANDLER and disposed_at < 0:
        return _answer(id_text, id_at, id_end, True, _CODE_NO_HANDLER)
    failed = _is_true(error)
    return _answer(id_text, id_at, id_end, final or failed, _RPC_EXCEPTION if failed else _OK)


def _answer(id_text: bytes | None, id_at: int, id_end: int, final: bool, code: Code) -> Reply:
    reply = Reply.__new__(Reply)
    reply.id = id_text
    reply.id_at = id_at
    reply.id_end = id_end
    reply.final = final
    reply.code = code
    return reply


def _is_true(text: bytes) -> bool:
    """`Boolean(value)` of a value's JSON text; a number may be written as nothing in many ways."""
    if text in _FALSE:
        return False
    return text[:1] in _SURELY_TRUE or truthy(parse(text.decode()))
