"""Callers that send anything, stall, do not read, or come in crowds: nobody else is harmed, memory stays bounded."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from interop.rawpeer import RawCaller, RawReplica, frame, request
from shell.running import (
    ask,
    balancing,
    between,
    caller,
    events,
    logged,
    memory,
    packet,
    reply,
    serve,
    view,
    wait_until,
)
from tcpservice.snapshot import SECOND
from tcpservice.unread import PRESSURE_STALL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interop.rawpeer import Arrived
    from interop.sidecar import Sidecar

ATTEMPTS = 5
DEEP = b"[" * 100_000 + b"]" * 100_000
MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[RawReplica, Sidecar]]:
    with between(flags=("--stall", "1s", "--closing-grace", "20s")) as both:
        yield both


def served(replica: RawReplica, client: RawCaller, request_id: str) -> None:
    """See a caller's request through."""
    client.send(request("sum", 1, request_id))
    serve(replica, 1)
    assert client.read(len(reply(request_id))) == reply(request_id)


@pytest.mark.parametrize(
    ("garbage", "words"),
    [
        (b"GET /health HTTP/1.1\r\nHost: orders\r\n\r\n", "HTTP"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "TLS handshake"),
        (b"-7#{}", "length -7"),
        (frame(b"{bad json}"), "not JSON"),
        (bytes(range(256)) * 40, "length"),
    ],
    ids=["http", "tls", "length", "json", "bytes"],
)
def test_garbage_closes_its_own_connection_only(
    running: tuple[RawReplica, Sidecar], garbage: bytes, words: str
) -> None:
    replica, sidecar = running
    seen = len(events(sidecar, "downstream_malformed"))
    with caller(sidecar) as bad, caller(sidecar) as good:
        early = request("sum", 1, f"early {words}")
        bad.send(early)
        arrived = replica.next()
        bad.send(garbage)
        served(replica, good, "g")
        arrived.answer(reply(f"early {words}"))
        event = logged(sidecar, "downstream_malformed", seen + 1)[-1]
        assert words in event["message"]
        assert f"at byte {len(early)}" in event["message"]
        assert event["peer"].startswith("127.0.0.1:")
        assert event["service"] == "default/orders"
        assert bad.rest() == reply(f"early {words}")
        served(replica, good, "h")


def test_a_message_nested_too_deeply_is_answered_and_the_connection_goes_on() -> None:
    with between() as (replica, sidecar), caller(sidecar) as client:
        client.send(frame(b'{"pattern":"a","data":%b,"id":"deep"}' % DEEP))
        error = packet(client)
        assert error["id"] == "deep"
        assert error["err"]["code"] == "frame_too_large"
        served(replica, client, "small")


def test_an_oversized_message_is_answered_and_the_connection_goes_on() -> None:
    with between() as (replica, sidecar), caller(sidecar) as client:
        client.send(request("sum", "x" * (17 * MEBIBYTE), "big"))
        error = packet(client)
        assert error["id"] == "big"
        assert error["err"]["code"] == "frame_too_large"
        assert "limits.maxFrameSize (16777216 bytes)" in error["err"]["message"]
        served(replica, client, "small")


def test_a_caller_that_stalls_in_the_middle_of_a_frame_is_closed(running: tuple[RawReplica, Sidecar]) -> None:
    replica, sidecar = running
    with caller(sidecar) as stalling, caller(sidecar) as good:
        stalling.send(b'40#{"pattern":')
        served(replica, good, "g")
        assert stalling.closed_within(30)
        assert "stopped in the middle of a message" in logged(sidecar, "downstream_stalled")[-1]["message"]
        served(replica, good, "h")


def test_a_caller_that_half_closes_gets_what_it_is_owed(running: tuple[RawReplica, Sidecar]) -> None:
    replica, sidecar = running
    with caller(sidecar) as client:
        client.send(request("sum", 1, "one") + request("sum", 1, "two"))
        client.end()
        serve(replica, 2)
        assert client.rest() == reply("one") + reply("two")


def test_a_caller_that_reads_nothing_is_closed_and_its_replies_are_let_go() -> None:
    flags = ("--stall", "2s")
    with between(flags=flags) as (replica, sidecar), caller(sidecar) as good:
        with caller(sidecar) as deaf:
            for number in range(30):
                deaf.send(request("sum", 1, str(number)))
            for number in range(30):
                replica.next().answer(reply(str(number), "x" * MEBIBYTE))
            served(replica, good, "g")
            logged(sidecar, "downstream_unread")
        served(replica, good, "h")
        wait_until(lambda: view(sidecar)["callers"] == 1, "it is forgotten")


def test_while_memory_is_short_a_caller_that_reads_nothing_is_closed_soon() -> None:
    with between(flags=("--unsent-bytes", "8Mi")) as (replica, sidecar), caller(sidecar) as deaf:
        for number in range(20):
            deaf.send(request("sum", 1, str(number)))
        for number in range(20):
            replica.next().answer(reply(str(number), "x" * MEBIBYTE))
        assert "bytes of replies" in logged(sidecar, "downstream_unread")[0]["message"]


def _answer(arrived: list[Arrived], answers: list[bytes]) -> None:
    for one, answer in zip(arrived, answers, strict=True):
        one.answer(answer)


def _read_all(client: RawCaller, answers: list[bytes]) -> float:
    """Read the answers slowly, as long as they come; return the longest time that one took (s)."""
    longest = 0.0
    with suppress(EOFError, ConnectionError):
        while answers:
            begun = time.monotonic()
            assert client.read(len(answers[0])) == answers[0]
            del answers[0]
            time.sleep(0.05)
            longest = max(longest, time.monotonic() - begun)
        return longest
    return max(longest, time.monotonic() - begun)


def test_a_caller_that_reads_slowly_gets_everything_however_much_it_is() -> None:
    for _ in range(ATTEMPTS):
        with between(flags=("--unsent-bytes", "8Mi")) as (replica, sidecar), caller(sidecar) as slow:
            answers = [reply(f"slow {number}", "x" * MEBIBYTE) for number in range(40)]
            slow.send(b"".join(request("sum", 1, f"slow {number}") for number in range(40)))
            arrived = [replica.next() for _ in answers]
            answering = threading.Thread(target=_answer, args=(arrived, list(answers)))
            answering.start()
            longest = _read_all(slow, answers)
            answering.join()
        if not answers:
            return
        assert longest >= PRESSURE_STALL / SECOND / 2, f"it was read all the time, and {len(answers)} replies are lost"
    pytest.fail(f"this machine stood still in each of {ATTEMPTS} attempts")


def test_a_thousand_connections_cost_little_and_harm_nobody() -> None:
    with between() as (replica, sidecar), caller(sidecar) as good:
        served(replica, good, "before")
        before = memory(sidecar)
        crowd = [socket.create_connection(("127.0.0.1", sidecar.ports["orders"])) for _ in range(1000)]
        for place, one in enumerate(crowd):
            one.sendall(b'999#{"pattern":' if place % 2 else b"")
        wait_until(lambda: view(sidecar)["callers"] == 1001, "all are in")
        served(replica, good, "among many")
        assert (memory(sidecar) - before) / 1000 < 64 * 1024
        for one in crowd:
            one.close()
        wait_until(lambda: view(sidecar)["callers"] == 1, "all are gone")
        served(replica, good, "after")


def test_memory_is_bounded_when_a_caller_sends_without_end_and_nothing_answers() -> None:
    flags = ("--request-bytes", "16Mi", "--downstream-bytes", "16Mi", "--queue-timeout", "2s")
    with between(flags=flags) as (replica, sidecar):
        before = memory(sidecar)
        with socket.create_connection(("127.0.0.1", sidecar.ports["orders"]), timeout=1) as greedy:
            flood = request("sum", "x" * MEBIBYTE, "same") * 100
            with pytest.raises(TimeoutError):
                greedy.sendall(flood)
            assert memory(sidecar) - before < 80 * MEBIBYTE
            # 49 MiB are as much as the replica may be sent ahead of its replies, and 16 MiB are held here.
            assert view(sidecar)["inFlight"] < 70
        assert replica.port


def test_a_caller_at_its_limit_is_read_on_once_a_request_is_answered() -> None:
    with between(flags=("--downstream-requests", "1")) as (replica, sidecar), caller(sidecar) as client:
        client.send(request("sum", 1, "1") + request("sum", 1, "2"))
        replica.next().answer(reply("1"))
        assert packet(client)["id"] == "1"
        replica.next().answer(reply("2"))
        assert packet(client)["id"] == "2"


def test_a_flood_of_one_event_is_cut_in_the_log() -> None:
    with between() as (_, sidecar):
        started = time.monotonic()
        for _ in range(60):
            with caller(sidecar) as client:
                client.send(b"garbage#")
                assert client.rest() == b""
        seconds = time.monotonic() - started
        assert len(events(sidecar, "downstream_malformed")) <= 10 * (2 + seconds)
        assert ask(sidecar, "/livez").status == 200


def test_replies_to_unknown_ids_are_counted() -> None:
    with RawReplica() as replica, balancing(replica) as sidecar, caller(sidecar) as client:
        client.send(request("sum", 1, "1"))
        replica.next().answer(reply("nobody") + reply("1") + reply("1"))
        assert client.read(len(reply("1"))) == reply("1")
        wait_until(
            lambda: 'tcpservice_dropped_total{reason="unknown_replies"} 2.0' in ask(sidecar, "/metrics").text, "counted"
        )
