"""Callers that share one connection to a replica: equal ids, half-closed callers, and neighbours that misbehave."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from interop.rawpeer import RawCaller, frame, request, split
from interop.ways import SIDECAR_WAYS, WAYS, Way

if TYPE_CHECKING:
    from interop.bench import Bench

CALLERS = 20


def reply(value: object, request_id: object) -> bytes:
    body = {"response": value, "isDisposed": True, "id": request_id}
    return frame(json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("request_id", ["same", "9324775c755321e3d233c", 0, "", 1.5, None, True, "größe"])
def test_equal_ids_of_many_callers_do_not_meet(bench: Bench, way: Way, request_id: object) -> None:
    key = f"{way}-{request_id!r}"
    with ExitStack() as stack:
        callers = [stack.enter_context(RawCaller(bench.port(way, 12))) for _ in range(CALLERS)]
        for place, caller in enumerate(callers):
            caller.send(request("gate", f"{key}-{place}", request_id))
        aside = bench.client("direct", 12, 12)
        aside.together([("ran", {"key": f"gate:{key}-{place}"}) for place in range(CALLERS)])
        aside.together([("open", f"{key}-{place}") for place in reversed(range(CALLERS))])
        for place, caller in enumerate(callers):
            wanted = reply(f"{key}-{place}", request_id)
            assert caller.read(len(wanted)) == wanted


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("request_id", [{"a": 1}, [1, "b"], {"id": "x"}])
def test_ids_of_any_json_come_back(bench: Bench, way: Way, request_id: object) -> None:
    with RawCaller(bench.port(way, 12)) as caller:
        caller.send(request("echo", 1, request_id))
        wanted = reply(1, request_id)
        assert caller.read(len(wanted)) == wanted


@pytest.mark.parametrize("way", SIDECAR_WAYS)
@pytest.mark.parametrize("text", [b"1.0", b"12345678901234567890", b'"\\u0041"', b"-0", b"1e3", b'"a\\/b"', b'"\xff"'])
def test_an_id_comes_back_as_it_was_written_where_nestjs_would_rewrite_it(bench: Bench, way: Way, text: bytes) -> None:
    wanted_id = text.decode("utf-8", "replace").encode()
    with RawCaller(bench.port(way, 12)) as caller:
        caller.send(frame(b'{"pattern":"echo","data":1,"id":%b}' % text))
        wanted = frame(b'{"response":1,"isDisposed":true,"id":%b}' % wanted_id)
        assert caller.read(len(wanted)) == wanted


@pytest.mark.parametrize("way", SIDECAR_WAYS)
def test_a_caller_that_half_closes_gets_what_it_is_owed(bench: Bench, way: Way) -> None:
    with RawCaller(bench.port(way, 12)) as caller:
        caller.send(request("slow", 50, "a") + request("ticks", {"n": 3, "every": 5}, "b"))
        caller.end()
        pieces, rest = split(caller.rest())
        assert rest == b""
        assert sorted(piece.raw for piece in pieces) == sorted(
            [
                frame(b'{"response":0,"id":"b"}'),
                frame(b'{"response":1,"id":"b"}'),
                reply(2, "b"),
                reply({"slept": 50}, "a"),
            ]
        )


@pytest.mark.parametrize("way", SIDECAR_WAYS)
def test_a_caller_that_breaks_the_protocol_harms_no_other(bench: Bench, way: Way) -> None:
    key = f"neighbour-{way}"
    with RawCaller(bench.port(way, 12)) as good:
        good.send(request("gate", key, "x"))
        bench.client("direct", 12, 12).value("ran", {"key": f"gate:{key}"})
        for bad in (b"5#{bad}", b"abc#", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b"!ping 1#", b"1000#{"):
            with RawCaller(bench.port(way, 12)) as caller:
                caller.send(bad)
                if bad != b"1000#{":
                    assert caller.rest() == b""
        bench.client("direct", 12, 12).value("open", key)
        wanted = reply(key, "x")
        assert good.read(len(wanted)) == wanted


@pytest.mark.parametrize("way", SIDECAR_WAYS)
def test_a_caller_that_leaves_early_harms_no_other(bench: Bench, way: Way) -> None:
    key = f"leaving-{way}"
    aside = bench.client("direct", 12, 12)
    with RawCaller(bench.port(way, 12)) as leaving, RawCaller(bench.port(way, 12)) as staying:
        leaving.send(request("gate", f"{key}-1", "x"))
        aside.value("ran", {"key": f"gate:{key}-1"})
        staying.send(request("gate", f"{key}-2", "x"))
        aside.value("ran", {"key": f"gate:{key}-2"})
        leaving.close()
        aside.together([("open", f"{key}-1"), ("open", f"{key}-2")])
        wanted = reply(f"{key}-2", "x")
        assert staying.read(len(wanted)) == wanted
