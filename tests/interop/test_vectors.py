"""The wire's vectors through running sidecars: what is passed on keeps its bytes, what is malformed goes nowhere.

First between a plain socket and a scripted replica, where both ends of the way are seen; then in front of NestJS 12,
whose recorded replies have to come back byte for byte.
"""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import pytest

from interop.rawpeer import Arrived, Piece, RawCaller, RawReplica, frame, request, split
from interop.vectors import REPLIES, REQUESTS, large_ascii_request, recorded_reply
from interop.ways import SIDECAR_WAYS, UNTOUCHED_WAYS, WAYS, Way, front
from tcpservice.exchange.attempts import SHORT_ID

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from interop.bench import Bench

ECHO = b'45#{"response":12345,"isDisposed":true,"id":"1"}'

# Where the sidecar does better than NestJS: what the caller gets before it is closed, and why.
CLOSED_INSTEAD = {
    "good_then_bad": (ECHO, "the reply that the good frame is owed comes before the close; NestJS loses it"),
    "no_delimiter": (b"", "no number begins like this: closed at once; NestJS waits 30 s or for ever"),
}


def is_message(piece: Piece) -> bool:
    return isinstance(piece.message, dict) and ("pattern" in piece.message or "data" in piece.message)


UNENDING = "len_huge"  # more units than any limit: skipped as they come, nothing reaches a replica
INCOMPLETE = "len_in_bytes_emoji"  # two units short: waited for, as NestJS does
CLOSED = [name for name, vector in REQUESTS.items() if vector.closed_by_server or name in CLOSED_INSTEAD]
PASSED = [name for name in REQUESTS if name not in {*CLOSED, UNENDING, INCOMPLETE}]

# No pattern and no data: not passed on, since NestJS up to 11.1.18 ends its process over it. NestJS answers nothing.
DROPPED = [name for name in PASSED if not any(is_message(piece) for piece in split(REQUESTS[name].data)[0])]

# What of a reply vector nobody waits for, by the place of its frame: dropped here, ignored by NestJS's clients.
UNASKED = {"reply_unknown_id": 0, "reply_after_completion": 1}

_fences = count()


class Scripted(NamedTuple):
    """A scripted replica, and where callers dial to reach it."""

    replica: RawReplica
    port: int


@contextmanager
def a_scripted_replica(way: Way) -> Iterator[Scripted]:
    with RawReplica() as replica, front(way, {"scripted": [replica.port]}) as opened:
        yield Scripted(replica, opened.ports["scripted"])


@pytest.fixture(scope="module", params=UNTOUCHED_WAYS)
def scripted(request: pytest.FixtureRequest) -> Iterator[Scripted]:
    with a_scripted_replica(request.param) as one:
        yield one


def cross_fence(scripted: Scripted, caller: RawCaller) -> None:
    """Prove by one more exchange that nothing else was under way in either direction."""
    fence_id = f"fence number {next(_fences)}"
    fence = request("echo", "fence", fence_id)
    answer = frame(b'{"response":"fence","isDisposed":true,"id":"%b"}' % fence_id.encode())
    caller.send(fence)
    arrived = scripted.replica.next()
    assert arrived.piece.raw == fence
    arrived.answer(answer)
    assert caller.read(len(answer)) == answer


def completion(request_id: object) -> bytes:
    return frame(b'{"isDisposed":true,"id":%b}' % json.dumps(request_id).encode())


@pytest.mark.parametrize("name", [name for name in PASSED if name not in DROPPED])
def test_a_message_reaches_the_replica_with_the_same_bytes(scripted: Scripted, name: str) -> None:
    sent, _ = split(REQUESTS[name].data)
    with RawCaller(scripted.port) as caller:
        caller.send(REQUESTS[name].data)
        arrived = [scripted.replica.next() for _ in sent]
        bodies = [restored(each, piece) for each, piece in zip(arrived, sent, strict=True)]
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
    """The body that arrived, with the caller's id where that was exchanged for one of the sidecar's own.

    It is exchanged where the same short id was used before on the connection to the replica.
    """
    if not isinstance(arrived.piece.message, dict) or not str(arrived.piece.message.get("id")).startswith("tcps-"):
        return arrived.piece.body
    ids = (json.dumps(arrived.id).encode(), json.dumps(sent.message["id"]).encode())
    return arrived.piece.body.replace(*ids)


@pytest.mark.parametrize("name", DROPPED)
def test_what_is_no_message_never_reaches_the_replica(scripted: Scripted, name: str) -> None:
    with RawCaller(scripted.port) as caller:
        caller.send(REQUESTS[name].data)
        cross_fence(scripted, caller)


@pytest.mark.parametrize("name", CLOSED)
def test_a_malformed_message_never_reaches_the_replica(scripted: Scripted, name: str) -> None:
    vector = REQUESTS[name]
    with RawCaller(scripted.port) as caller, RawCaller(scripted.port) as other:
        caller.send(vector.data)
        owed = b""
        if name == "good_then_bad":
            arrived = scripted.replica.next()
            arrived.answer(ECHO if arrived.id == "1" else completion(arrived.id))
            owed = ECHO if arrived.id == "1" else completion("1")
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
        sent, _ = split(REQUESTS[INCOMPLETE].data + b"  ")
        assert restored(arrived, sent[0]) == sent[0].body
        arrived.answer(completion(arrived.id))
        assert caller.read(len(completion("e"))) == completion("e")


class Ways:
    """Ways that tests share. Ids that are short need a way of their own: one that came before would be exchanged."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._shared: dict[Way, Scripted] = {}

    def to(self, way: Way, asked: set[str]) -> AbstractContextManager[Scripted]:
        """Open the way for requests with these ids."""
        if min(map(len, asked)) < SHORT_ID:
            return a_scripted_replica(way)
        if way not in self._shared:
            self._shared[way] = self._stack.enter_context(a_scripted_replica(way))
        return nullcontext(self._shared[way])


@pytest.fixture(scope="module")
def ways() -> Iterator[Ways]:
    with ExitStack() as stack:
        yield Ways(stack)


@pytest.mark.parametrize("way", UNTOUCHED_WAYS)
@pytest.mark.parametrize("name", REPLIES)
def test_a_reply_reaches_the_caller_with_the_same_bytes(ways: Ways, way: Way, name: str) -> None:
    pieces, _ = split(REPLIES[name].data)
    unasked = UNASKED.get(name)
    asked = ids(pieces) - {"zzz"}
    with ways.to(way, asked) as scripted, RawCaller(scripted.port) as caller:
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
        caller.send(request("echo", "fence", "fence"))
        fence = frame(b'{"response":"fence","isDisposed":true,"id":"fence"}')
        assert caller.read(len(fence)) == fence


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
