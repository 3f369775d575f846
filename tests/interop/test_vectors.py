"""The wire's vectors through running sidecars: what is passed on keeps its bytes, what is malformed goes nowhere.

First between a plain socket and a scripted replica, where both ends of the way are seen; then in front of NestJS 12,
whose recorded replies have to come back byte for byte.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import pytest

from interop.rawpeer import Arrived, Piece, RawCaller, RawReplica, frame, request, split
from interop.vectors import REPLIES, REQUESTS, large_ascii_request, recorded_reply
from interop.ways import SIDECAR_WAYS, UNTOUCHED_WAYS, WAYS, Way, front

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interop.bench import Bench

ECHO = b'45#{"response":12345,"isDisposed":true,"id":"1"}'

# Where the sidecar does better than NestJS: what the caller gets before it is closed, and why.
CLOSED_INSTEAD = {
    "good_then_bad": (ECHO, "the reply that the good frame is owed comes before the close; NestJS loses it"),
    "no_delimiter": (b"", "no number begins like this: closed at once; NestJS waits 30 s or for ever"),
}
UNENDING = "len_huge"  # more units than any limit: skipped as they come, nothing reaches a replica
INCOMPLETE = "len_in_bytes_emoji"  # two units short: waited for, as NestJS does
CLOSED = [name for name, vector in REQUESTS.items() if vector.closed_by_server or name in CLOSED_INSTEAD]
EXCHANGED = {"dup_ids", "len_newline_between"}  # the same id twice: the replica may not see it twice in flight
PASSED = [name for name in REQUESTS if name not in {*CLOSED, UNENDING, INCOMPLETE}]

# What of a reply vector nobody waits for, by the place of its frame: dropped here, ignored by NestJS's clients.
UNASKED = {"reply_unknown_id": 0, "reply_after_completion": 1}

FENCE = request("echo", "fence", "fence")
FENCE_REPLY = frame(b'{"response":"fence","isDisposed":true,"id":"fence"}')


class Scripted(NamedTuple):
    """A scripted replica, and where callers dial to reach it."""

    replica: RawReplica
    port: int


@pytest.fixture(scope="module", params=UNTOUCHED_WAYS)
def scripted(request: pytest.FixtureRequest) -> Iterator[Scripted]:
    with RawReplica() as replica, front(request.param, {"scripted": [replica.port]}) as way:
        yield Scripted(replica, way.ports["scripted"])


def cross_fence(scripted: Scripted, caller: RawCaller) -> None:
    """Prove by one more exchange that nothing else was under way in either direction."""
    caller.send(FENCE)
    arrived = scripted.replica.next()
    assert arrived.piece.raw == FENCE
    arrived.answer(FENCE_REPLY)
    assert caller.read(len(FENCE_REPLY)) == FENCE_REPLY


def completion(request_id: object) -> bytes:
    return frame(b'{"isDisposed":true,"id":%b}' % json.dumps(request_id).encode())


@pytest.mark.parametrize("name", PASSED)
def test_a_message_reaches_the_replica_with_the_same_bytes(scripted: Scripted, name: str) -> None:
    sent, _ = split(REQUESTS[name].data)
    with RawCaller(scripted.port) as caller:
        caller.send(REQUESTS[name].data)
        arrived = [scripted.replica.next() for _ in sent]
        bodies = [
            restored(each, piece) if name in EXCHANGED else each.piece.body
            for each, piece in zip(arrived, sent, strict=True)
        ]
        assert bodies == [piece.body for piece in sent]
        for each, piece in zip(arrived, sent, strict=True):
            assert each.piece.raw == frame(each.piece.body)
            if is_request(piece.message):
                each.answer(completion(each.id))
                reply = completion(piece.message["id"])
                assert caller.read(len(reply)) == reply
        cross_fence(scripted, caller)


def is_request(message: object) -> bool:
    return isinstance(message, dict) and "id" in message and ("pattern" in message or "data" in message)


def restored(arrived: Arrived, sent: Piece) -> bytes:
    """The body that arrived, with the caller's id where that was exchanged for one of the sidecar's own."""
    ids = (json.dumps(arrived.id).encode(), json.dumps(sent.message["id"]).encode())
    return arrived.piece.body.replace(*ids) if arrived.id.startswith("tcps-") else arrived.piece.body


@pytest.mark.parametrize("name", CLOSED)
def test_a_malformed_message_never_reaches_the_replica(scripted: Scripted, name: str) -> None:
    vector = REQUESTS[name]
    with RawCaller(scripted.port) as caller, RawCaller(scripted.port) as other:
        caller.send(vector.data)
        owed = b""
        if name == "good_then_bad":
            scripted.replica.next().answer(ECHO)
            owed = ECHO
        assert caller.rest() == owed
        cross_fence(scripted, other)


def test_a_frame_of_unending_length_reaches_nobody_and_harms_nobody(scripted: Scripted) -> None:
    with RawCaller(scripted.port) as caller, RawCaller(scripted.port) as other:
        caller.send(REQUESTS[UNENDING].data)
        cross_fence(scripted, other)
        caller.end()
        assert caller.rest() == b""


def test_a_frame_whose_end_is_missing_is_waited_for(scripted: Scripted) -> None:
    with RawCaller(scripted.port) as caller, RawCaller(scripted.port) as other:
        caller.send(REQUESTS[INCOMPLETE].data)
        cross_fence(scripted, other)
        caller.send(b"  ")
        arrived = scripted.replica.next()
        assert arrived.piece.raw == REQUESTS[INCOMPLETE].data + b"  "
        arrived.answer(completion("e"))
        assert caller.read(len(completion("e"))) == completion("e")


@pytest.mark.parametrize("name", REPLIES)
def test_a_reply_reaches_the_caller_with_the_same_bytes(scripted: Scripted, name: str) -> None:
    pieces, _ = split(REPLIES[name].data)
    unasked = UNASKED.get(name)
    with RawCaller(scripted.port) as caller:
        asked = ids(pieces) - {"zzz"}
        for each in sorted(asked):
            caller.send(request("ask", 1, each))
        arrived = [scripted.replica.next() for _ in asked]
        arrived[0].answer(REPLIES[name].data)
        expected = b"".join(piece.raw for place, piece in enumerate(pieces) if place != unasked)
        assert caller.read(len(expected)) == expected
        cross_fence(scripted, caller)


def ids(pieces: list[Piece]) -> set[str]:
    return {piece.message["id"] for piece in pieces}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", PASSED)
def test_nestjs_answers_with_the_recorded_bytes(bench: Bench, way: Way, name: str) -> None:
    with RawCaller(bench.port(way, 12)) as caller:
        caller.send(REQUESTS[name].data)
        expected = recorded_reply(name)
        assert caller.read(len(expected)) == expected
        caller.send(FENCE)
        assert caller.read(len(FENCE_REPLY)) == FENCE_REPLY


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize("way", SIDECAR_WAYS)
def test_a_caller_that_breaks_the_protocol_is_closed(bench: Bench, way: Way, name: str) -> None:
    owed, _ = CLOSED_INSTEAD.get(name, (recorded_reply(name), ""))
    with RawCaller(bench.port(way, 12)) as caller:
        caller.send(REQUESTS[name].data)
        assert caller.rest() == owed


@pytest.mark.parametrize("way", WAYS)
def test_all_messages_in_one_write(bench: Bench, way: Way) -> None:
    wanted = b"".join(recorded_reply(name) for name in PASSED)
    with RawCaller(bench.port(way, 12)) as caller:
        caller.send(b"".join(REQUESTS[name].data for name in PASSED))
        replies, _ = split(caller.read(len(wanted)))
        assert sorted(replies) == sorted(split(wanted)[0])


@pytest.mark.parametrize("way", WAYS)
def test_all_messages_byte_by_byte(bench: Bench, way: Way) -> None:
    wanted = b"".join(recorded_reply(name) for name in PASSED)
    with RawCaller(bench.port(way, 12)) as caller:
        for name in PASSED:
            for byte in REQUESTS[name].data:
                caller.send(bytes([byte]))
        replies, _ = split(caller.read(len(wanted)))
        assert sorted(replies) == sorted(split(wanted)[0])


@pytest.mark.parametrize("way", WAYS)
def test_the_captured_mebibyte(bench: Bench, way: Way) -> None:
    data = large_ascii_request()
    body = split(data)[0][0].body
    reply = frame(
        body.replace(b'{"pattern":"echo","data":', b'{"response":').replace(b',"id"', b',"isDisposed":true,"id"')
    )
    with RawCaller(bench.port(way, 12)) as caller:
        caller.send(data)
        assert caller.read(len(reply)) == reply
