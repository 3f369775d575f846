"""The shape of what replicas answer: for which request, whether it is the last word, and whether it is an error.

Used by the `exchange` on every frame of a NestJS replica. As for requests, the scan has found the values that matter.
Nothing is ever added to a reply: a NestJS 12 client takes a packet with a foreign
key for a value.
"""

from __future__ import annotations

from typing import Final

from tcpservice.errors import Code
from tcpservice.javascript import parse, truthy
from tcpservice.wire.frames import Frame
from tcpservice.wire.ids import is_utf8
from tcpservice.wire.members import why_not_json
from tcpservice.wire.requests import Refused, TooDeep
from tcpservice.wire.shape import DEEP, OBJECT, OTHER

_NO_HANDLER: Final = b'"There is no matching message handler defined in the remote service."'
_FALSE: Final = frozenset({b"false", b"null", b"0", b'""'})
_SURELY_TRUE: Final = frozenset({b"{", b"[", b'"', b"t"})


class Reply:
    """What one frame of a replica says.

    `id` is the text of the id as callers decode it, which stands in `raw[id_at:id_end]`, None where there is none (then
    `id_at` is -1). `final` says that nothing follows; `code` is OK, RPC_EXCEPTION or NO_HANDLER.
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
    kind = frame.kind
    if kind == OBJECT:
        return _read(frame)
    if kind == DEEP:
        raise TooDeep(frame)
    if kind == OTHER:
        return Reply(None, -1, -1, final=False, code=Code.OK)
    raise Refused(why_not_json(frame.body))


def _read(frame: Frame) -> Reply:
    raw, id_at, id_end = frame.raw, frame.id_at, frame.id_end
    id_text = raw[id_at:id_end] if id_at >= 0 else None
    if id_text is not None and not is_utf8(id_text):
        id_text = id_text.decode("utf-8", "replace").encode()
    disposed_at = frame.is_disposed_at
    final = disposed_at >= 0 and _is_true(raw[disposed_at : frame.is_disposed_end])
    if frame.err_at < 0:
        return Reply(id_text, id_at, id_end, final=final, code=Code.OK)
    error = raw[frame.err_at : frame.err_end]
    if error == _NO_HANDLER and disposed_at < 0:
        return Reply(id_text, id_at, id_end, final=True, code=Code.NO_HANDLER)
    failed = _is_true(error)
    return Reply(id_text, id_at, id_end, final=final or failed, code=Code.RPC_EXCEPTION if failed else Code.OK)


def _is_true(text: bytes) -> bool:
    """`Boolean(value)` of a value's JSON text; a number may be written as nothing in many ways."""
    if text in _FALSE:
        return False
    return text[:1] in _SURELY_TRUE or truthy(parse(text.decode()))
