"""Packets to bytes and back: what NestJS's clients and servers say to each other, key by key in their order.

Used by `session` and `server`. The frames around them are the sidecar's own (`tcpservice.wire`).
"""

from __future__ import annotations

from typing import Any, Final

from tcpservice.wire.frames import HEAD_KEPT, TAIL_KEPT, Oversized, encode_frame
from tcpservice.wire.nesting import MAX_NESTING
from tcpservice.wire.scan import Frame, units
from tcpservice.wire.shape import DEEP, INVALID
from tcpservice_transport.errors import NO_HANDLER, NoHandlerError, RpcError
from tcpservice_transport.values import from_json, to_json

Packet = dict[str, Any]

GOAWAY_ID: Final = "tcpservice/goaway"
"""The id of the packet by which a server that closes asks its clients to go elsewhere.

To a NestJS client it is the late end of a request that it does not know, and ignored; it is no handshake's business.
"""


class Unreadable(ValueError):
    """A body that is no packet."""


class TooDeep(Unreadable):
    """A body that is nested so deeply that no parser here takes it."""


def encode(packet: object) -> bytes:
    """Write a packet as a frame. Raises NotJson."""
    body = to_json(packet)
    return encode_frame(body, len(body) if body.isascii() else units(body))


def decode(frame: Frame) -> object:
    """Read the body of a frame. Raises TooDeep, and Unreadable for what is not JSON."""
    if frame.kind == DEEP:
        raise TooDeep(f"the JSON is nested deeper than {MAX_NESTING}")
    if frame.kind == INVALID:
        raise Unreadable(f"the body is not JSON: {frame.body[:80]!r}")
    try:
        return from_json(memoryview(frame.raw)[frame.at :])
    except ValueError as error:
        raise Unreadable(f"the body is not JSON: {error}") from None


def outline(frame: Frame) -> Oversized:
    """Return what is needed of a frame to find its id without reading all of it."""
    body = frame.body
    return Oversized(body[:HEAD_KEPT], body[-TAIL_KEPT:], frame.offset)


def members(value: object) -> Packet:
    """Return what was decoded as a packet; what is no object has no members."""
    return value if isinstance(value, dict) else {}


# What clients say


def request(pattern: object, data: object, metadata: object, request_id: str) -> Packet:
    """Ask; `metadata` is left out where it is None."""
    if metadata is None:
        return {"pattern": pattern, "data": data, "id": request_id}
    return {"pattern": pattern, "data": data, "metadata": metadata, "id": request_id}


def event(route: str, data: object, metadata: object) -> Packet:
    """Tell; the pattern of an event travels as its route."""
    if metadata is None:
        return {"pattern": route, "data": data}
    return {"pattern": route, "data": data, "metadata": metadata}


# What servers say


def answer(value: object, request_id: object) -> Packet:
    """Answer with one value."""
    return {"response": value, "isDisposed": True, "id": request_id}


def response(value: object, request_id: object) -> Packet:
    """Answer with one value of a stream."""
    return {"response": value, "id": request_id}


def completion(request_id: object) -> Packet:
    """End a stream."""
    return {"isDisposed": True, "id": request_id}


def failure(error: RpcError, request_id: object) -> Packet:
    """Answer with an error, in the shape that NestJS gives it."""
    if isinstance(error, NoHandlerError):
        return {"id": request_id, "status": "error", "err": NO_HANDLER}
    payload = error.payload
    err = payload if isinstance(payload, dict | list | tuple) else {"status": "error", "message": payload}
    return {"err": err, "isDisposed": True, "id": request_id}


def own_error(message: str, code: str | None = None) -> RpcError:
    """Make an error of the server's own, with its code."""
    payload = {"status": "error", "message": message}
    return RpcError(payload if code is None else payload | {"code": code})


def error_of(err: object, packet: Packet) -> RpcError:
    """Make the exception of an error that came; NestJS says that there is no handler without `isDisposed`."""
    if err == NO_HANDLER and "isDisposed" not in packet:
        return NoHandlerError(err)
    return RpcError(err)
