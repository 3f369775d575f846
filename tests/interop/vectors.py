"""The captured and constructed byte vectors of the wire, read from tests/vectors."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

DIRECTORY = Path(__file__).parents[1] / "vectors"


class Vector(NamedTuple):
    """Bytes of one direction. `reply` is what a NestJS server answered, None where that was not recorded with it."""

    name: str
    to_server: bool
    data: bytes
    reply: bytes | None
    closed_by_server: bool


def _vector(raw: dict[str, Any]) -> Vector:
    reply = raw.get("reply_hex")
    return Vector(
        name=raw["name"],
        to_server=raw["direction"] == "client->server",
        data=bytes.fromhex(raw["bytes_hex"]),
        reply=None if reply is None else bytes.fromhex(reply),
        closed_by_server=raw.get("closed_by_server", False),
    )


VECTORS = {raw["name"]: _vector(raw) for raw in json.loads((DIRECTORY / "vectors.json").read_text())}
REQUESTS = {name: vector for name, vector in VECTORS.items() if vector.to_server}
REPLIES = {name: vector for name, vector in VECTORS.items() if not vector.to_server}


def recorded_reply(name: str) -> bytes:
    """What a NestJS server answered to a request vector."""
    vector = REQUESTS[name]
    if vector.reply is not None:
        return vector.reply
    pair = name.removesuffix(".request").replace("_requests", "_replies")
    found = REPLIES.get(f"{pair}.reply") or REPLIES.get(pair)
    return found.data if found else b""


def large_ascii_request() -> bytes:
    """The captured request of 1 MiB, made anew and proved by its digest."""
    captured = json.loads((DIRECTORY / "vectors_large.json").read_text())["ascii"]
    request_id = captured["reply"]["suffix"].partition('"id":"')[2].removesuffix('"}')
    body = b'{"pattern":"echo","data":"%b","id":"%b"}' % (b"A" * 1_048_576, request_id.encode())
    data = b"%d#%b" % (len(body), body)
    assert hashlib.sha256(data).hexdigest() == captured["request"]["sha256"]
    return data
