"""Real NestJS clients of Python's server are told what NestJS's own server tells them."""

from __future__ import annotations

import itertools
import json
import logging
import random
from typing import Any

import pytest

from interop.cells import CELLS
from interop.nest import NestClient
from interop.node import Major
from interop.rawpeer import RawCaller, frame, request, split
from interop.vectors import REQUESTS, large_ascii_request, recorded_reply
from transport.loop import Loop
from transport.twin import UNDEFINED_HERE, Twin

EMITTED = [["next", "<undefined>"], ["complete"]]
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
keys = (f"key-{number}" for number in itertools.count())

ECHO = b'45#{"response":12345,"isDisposed":true,"id":"1"}'
CLOSED_INSTEAD = {
    "good_then_bad": (ECHO, "the reply that the good frame is owed comes before the close; NestJS loses it"),
    "no_delimiter": (b"", "no number begins like this: closed at once; NestJS waits 30 s or for ever"),
}
WAITED_FOR = {"len_in_bytes_emoji"}  # two units short
SKIPPED = {"len_huge"}  # more units than any limit
CLOSED = [name for name, vector in REQUESTS.items() if vector.closed_by_server or name in CLOSED_INSTEAD]
PASSED = [name for name in REQUESTS if name not in {*CLOSED, *WAITED_FOR, *SKIPPED}]
OTHERWISE: dict[str, list[object]] = {
    "undefined_result.request": [None],
    "undefined_mid_stream.request": [1, None, 3],
    "no_data": ["object"],
    "request_to_event_handler": [None],
}
"""Where Python answers otherwise: it has no `undefined`, and one value for a request to two event handlers."""


def expected(name: str) -> Any:
    return UNDEFINED_HERE.get(name, CELLS[name].events)


@pytest.mark.parametrize("name", CELLS)
def test_every_cell(caller: NestClient, name: str) -> None:
    assert caller.send(CELLS[name].pattern, CELLS[name].data) == expected(name)


def test_all_cells_at_once_on_one_connection(caller: NestClient) -> None:
    together = caller.together([(cell.pattern, cell.data) for cell in CELLS.values()])
    assert dict(zip(CELLS, together["events"], strict=True)) == {name: expected(name) for name in CELLS}


def test_an_event_reaches_each_of_its_handlers_once(caller: NestClient, caplog: pytest.LogCaptureFixture) -> None:
    key = {"key": next(keys)}
    patterns: list[object] = ["ev", {"b": 1, "a": "x"}, 5, "evCrash", "once", "nope"]
    with caplog.at_level(logging.WARNING, "tcpservice_transport"):
        assert [caller.emit(pattern, key) for pattern in patterns] == [EMITTED] * len(patterns)
        ran = caller.value("runs", 1)
    names = ["ev1", "ev2", "objectEvent", "numberEvent", "evCrash", "once"]
    assert [ran.get(f"{name}:{key['key']}") for name in names] == [1] * len(names)
    assert "secret detail" in caplog.text


def test_replies_come_in_the_order_of_completion(caller: NestClient) -> None:
    wanted = [next(keys) for _ in range(50)]
    waiting = caller.begin("many", items=[["gate", key] for key in wanted])
    for key in wanted:
        caller.value("ran", {"key": f"gate:{key}"})
    order = random.Random(7).sample(range(50), 50)
    caller.together([("open", wanted[place]) for place in order])
    assert waiting.result(20)["order"] == order


def test_streams_of_one_connection_interleave(caller: NestClient) -> None:
    together = caller.together([("ticks", {"n": 20, "every": 3})] * 3 + [("echo", "beside")])
    kinds = [tuple(entry) for entry in together["log"]]
    first_end = min(kinds.index((stream, "complete")) for stream in range(3))
    assert all(kinds.index((stream, "next")) < first_end for stream in range(3))


def test_unsubscribing_stops_nothing_and_leaves_the_connection_usable(caller: NestClient) -> None:
    key = next(keys)
    events = caller.send("ticks", {"n": 30, "every": 2, "key": key}, unsubscribe=2)
    assert events == [["next", 0], ["next", 1], ["unsubscribed"]]
    assert caller.value("ran", {"key": f"ticks:{key}", "times": 30}) == 30


def test_closing_ends_what_is_in_flight_and_its_handler_comes_to_its_end(major: Major, twin: Twin, loop: Loop) -> None:
    key = next(keys)
    with NestClient(major, twin.server.port) as client:
        waiting = client.begin("send", pattern="gate", data=key)
        client.value("ran", {"key": f"gate:{key}"})
        client.call("close")
        assert waiting.result(10) == [["error", {"name": "Error", "message": "Connection closed"}]]
    loop.run(_open(twin, key))


async def _open(twin: Twin, key: str) -> None:
    twin.open(key)


@pytest.mark.parametrize("metadata", [{"traceparent": TRACEPARENT, "tenant": "größe"}, "text", [1, None], {}, 0])
def test_metadata(major: Major, twin: Twin, metadata: object) -> None:
    if major == 12:
        with NestClient(12, twin.server.port) as client:
            client.call("hook", metadata=metadata)
            assert client.value("metadata", 1) == metadata
            assert client.emit("evMetadata", 1) == EMITTED
            assert client.value("runs", 1)[f"evMetadata:{metadata}"] >= 1


def test_a_load_on_which_nestjs_stops_reading_finishes(caller: NestClient) -> None:
    fill = ["x", 256 * 1024]
    result = caller.call("many", items=None, pattern="echo", fill=fill, n=64, lengths=True)
    assert result["events"] == [[["next", fill[1]], ["complete"]]] * 64


# The captured bytes


def messages(data: bytes) -> list[Any]:
    return [piece.message for piece in split(data)[0]]


def words(data: bytes) -> list[str]:
    """The replies, sorted; a last value that says so is written as NestJS also may: the value, then the end."""
    apart: list[dict[str, object]] = []
    for message in messages(data):
        if "response" in message and "isDisposed" in message:
            apart.append({"isDisposed": message.pop("isDisposed"), "id": message["id"]})
        apart.append(message)
    return sorted(map(json.dumps, apart))


def answer(name: str) -> bytes:
    if name not in OTHERWISE:
        return recorded_reply(name)
    request_id = messages(REQUESTS[name].data)[0]["id"]
    values = [json.dumps({"response": value, "id": request_id}).encode() for value in OTHERWISE[name]]
    return b"".join(map(frame, [*values, json.dumps({"isDisposed": True, "id": request_id}).encode()]))


@pytest.mark.parametrize("name", PASSED)
def test_the_recorded_answer(twin: Twin, name: str) -> None:
    fence = frame(b'{"response":"fence","isDisposed":true,"id":"fence"}')
    with RawCaller(twin.server.port) as caller:
        caller.send(REQUESTS[name].data)
        caller.send(request("echo", "fence", "fence"))
        got = b""
        while fence not in got:
            got += caller.read(1)
        caller.end()
        got += caller.rest()
        assert words(got) == words(answer(name) + fence)


@pytest.mark.parametrize("name", CLOSED)
def test_who_breaks_the_protocol_is_closed(twin: Twin, name: str, caplog: pytest.LogCaptureFixture) -> None:
    owed, _ = CLOSED_INSTEAD.get(name, (recorded_reply(name), ""))
    with RawCaller(twin.server.port) as caller:
        caller.send(REQUESTS[name].data)
        assert messages(caller.rest()) == messages(owed)
    assert "at byte" in caplog.text


def test_byte_by_byte(twin: Twin) -> None:
    data = b"".join(request("echo", text, number) for number, text in enumerate(["é😀", "", "漢\u2028"]))
    with RawCaller(twin.server.port) as caller:
        for byte in data:
            caller.send(bytes([byte]))
        caller.end()
        assert [message["response"] for message in messages(caller.rest())] == ["é😀", "", "漢\u2028"]


def test_the_captured_mebibyte(twin: Twin) -> None:
    with RawCaller(twin.server.port) as caller:
        caller.send(large_ascii_request())
        caller.end()
        (message,) = messages(caller.rest())
        assert message["response"] == "A" * 1_048_576
