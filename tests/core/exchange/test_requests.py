"""A message's way through: to one replica, and its replies back to whom they belong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.exchange.stage import Client, Stage, encoded, service
from tcpservice.exchange import Bounds
from tcpservice.snapshot import Limits

ODD_IDS: list[object] = [
    None,
    0,
    -1,
    1.5,
    True,
    False,
    "",
    "a b",
    "é😀",
    {"a": [1]},
    [],
    12345678901234567890,
    '"quoted"',
]


def one_replica() -> tuple[Stage, Client]:
    stage = Stage(service(1))
    return stage, stage.client()


def test_a_request_and_its_reply_pass_unchanged() -> None:
    stage, client = one_replica()
    asked = encoded({"pattern": {"cmd": "sum"}, "data": [1, "é😀"], "id": "x"})
    answered = encoded({"response": "é😀", "isDisposed": True, "id": "x"})
    client.send_bytes(asked)
    assert stage.upstream().raw == asked
    stage.upstream().send_bytes(answered)
    assert client.raw == answered
    (row,) = stage.rows
    assert (row.service, row.kind, row.code, row.endpoint) == ("shop/orders", "request", "ok", "r0")
    assert (row.attempts, row.responses, row.mesh, row.route) == (1, 1, False, None)


def test_an_event_ends_when_it_is_written() -> None:
    stage, client = one_replica()
    client.emit("created", 5)
    assert stage.upstream().packets == [{"pattern": "created", "data": 5}]
    assert client.packets == []
    assert [(row.kind, row.code) for row in stage.rows] == [("event", "ok")]
    assert stage.exchange.in_flight() == 0


def test_a_stream_stays_with_its_replica_until_its_last_response() -> None:
    stage = Stage(service(3))
    client = stage.client()
    client.ask("s")
    replica = stage.holder("s")
    for value in range(3):
        replica.part("s", value)
    assert stage.rows == []
    replica.send({"isDisposed": True, "id": "s"})
    assert [packet.get("response") for packet in client.packets] == [0, 1, 2, None]
    assert [(row.code, row.responses) for row in stage.rows] == [("ok", 4)]


def test_an_error_is_the_last_word() -> None:
    stage, client = one_replica()
    client.ask("1")
    stage.upstream().send({"err": {"message": "no"}, "isDisposed": True, "id": "1"})
    assert client.packets == [{"err": {"message": "no"}, "isDisposed": True, "id": "1"}]
    assert stage.codes() == ["rpc_exception"]


@pytest.mark.parametrize("id_", ODD_IDS, ids=json.dumps)
def test_any_id_comes_back_as_it_was_sent(id_: object) -> None:
    stage, client = one_replica()
    client.ask(id_)
    (sent,) = stage.upstream().packets
    stage.upstream().reply(sent["id"], 7)
    assert client.packets == [{"response": 7, "isDisposed": True, "id": id_}]


def test_the_same_id_of_two_callers_is_told_apart() -> None:
    stage, one = one_replica()
    other = stage.client()
    one.ask("same", data="one")
    other.ask("same", data="other")
    one.ask("same", data="one again")
    first, second, third = stage.upstream().packets
    assert len({first["id"], second["id"], third["id"]}) == 3
    stage.upstream().reply(third["id"], "c")
    stage.upstream().part(second["id"], "b")
    stage.upstream().reply(second["id"], "b2")
    stage.upstream().reply(first["id"], "a")
    assert [packet["response"] for packet in one.packets] == ["c", "a"]
    assert [packet["response"] for packet in other.packets] == ["b", "b2"]
    assert {packet["id"] for packet in one.packets + other.packets} == {"same"}


def test_an_id_like_the_sidecars_own_does_no_harm() -> None:
    stage, client = one_replica()
    client.ask("tcps-1")
    client.ask("tcps-1")
    ids = stage.upstream().ids
    assert len(set(ids)) == 2
    for id_ in ids:
        stage.upstream().reply(id_)
    assert [packet["id"] for packet in client.packets] == ["tcps-1"] * 2


def test_an_id_is_replaced_in_a_reply_of_any_form() -> None:
    stage, client = one_replica()
    client.ask(1.5)
    (sent,) = stage.upstream().ids
    stage.upstream().send_bytes(encoded(f' {{"id": "{sent}", "response": "é", "isDisposed": true}} '))
    assert client.packets == [{"id": 1.5, "response": "é", "isDisposed": True}]


def test_a_frame_of_any_form_gets_another_id() -> None:
    stage, client = one_replica()
    client.ask("a")
    client.send_bytes(encoded('{ "id" : "a", "pattern" : "sum", "data" : "\\ud83d" }'))
    first, second = stage.upstream().packets
    assert first["id"] != second["id"]
    assert second["data"] == "\ud83d"


@pytest.mark.parametrize(
    ("packet", "count"),
    [
        ({"response": 1, "isDisposed": True, "id": "nobody"}, "unknown_replies"),
        ({"response": 1, "isDisposed": True}, "unknown_replies"),
        ([], "unknown_replies"),
    ],
)
def test_replies_that_nobody_waits_for_are_dropped_and_counted(packet: Any, count: str) -> None:
    stage, client = one_replica()
    client.ask("1")
    stage.upstream().send(packet)
    assert client.packets == []
    assert stage.exchange.counts() == {count: 1}
    stage.upstream().reply("1")
    assert stage.codes() == ["ok"]


def test_a_second_last_word_is_dropped() -> None:
    stage, client = one_replica()
    client.ask("1")
    stage.upstream().reply("1", "first")
    stage.upstream().reply("1", "second")
    assert [packet["response"] for packet in client.packets] == ["first"]
    assert stage.exchange.counts() == {"unknown_replies": 1}


def test_replies_after_the_caller_left_are_dropped_and_its_ids_are_free_again() -> None:
    stage, client = one_replica()
    client.ask("1")
    client.ask("2")
    client.drop()
    assert stage.codes() == ["cancelled", "cancelled"]
    stage.upstream().part("1", "late")
    stage.upstream().reply("1", "late")
    stage.upstream().reply("2", "late")
    assert stage.exchange.counts() == {"late_replies": 3}
    assert stage.exchange.in_flight() == 0


@given(st.lists(st.integers(0, 400), max_size=8), st.lists(st.integers(0, 400), max_size=8))
def test_any_split_of_both_directions_gives_the_same(ask_cuts: list[int], reply_cuts: list[int]) -> None:
    stage, client = one_replica()
    asked = b"".join(encoded({"pattern": "é😀", "data": n, "id": str(n)}) for n in range(6))
    for start, end in zip([0, *sorted(ask_cuts)], [*sorted(ask_cuts), None], strict=True):
        client.send_bytes(asked[start:end])
    assert stage.upstream().raw == asked
    answered = b"".join(encoded({"response": "é😀", "isDisposed": True, "id": str(n)}) for n in range(6))
    for start, end in zip([0, *sorted(reply_cuts)], [*sorted(reply_cuts), None], strict=True):
        stage.upstream().send_bytes(answered[start:end])
    assert client.raw == answered


def test_without_a_handler_anywhere_the_answer_stands() -> None:
    stage = Stage(service(2))
    client = stage.client()
    client.ask("1")
    stage.holder("1").no_handler("1")
    first, second = stage.upstreams
    assert first.ids == second.ids == ["1"]
    stage.upstreams[1].no_handler("1")
    assert client.packets[0]["status"] == "error"
    assert [(row.code, row.attempts) for row in stage.rows] == [("no_handler", 2)]


def test_what_found_no_handler_is_tried_where_there_may_be_one() -> None:
    stage = Stage(service(2))
    client = stage.client()
    client.ask("1")
    stage.upstreams[0].no_handler("1")
    stage.upstreams[1].reply("1", "found")
    assert [packet["response"] for packet in client.packets] == ["found"]
    assert [(row.code, row.attempts, row.endpoint) for row in stage.rows] == [("ok", 2, stage.upstreams[1].name)]


def test_what_found_no_handler_is_tried_as_often_as_its_route_allows() -> None:
    stage = Stage(service(4))
    client = stage.client()
    client.ask("1")
    for number in range(3):
        assert client.packets == []
        stage.upstreams[number].no_handler("1")
    assert client.packets[0]["status"] == "error"
    assert [(row.code, row.attempts) for row in stage.rows] == [("no_handler", 3)]
    assert len(stage.upstreams) == 3


def test_while_memory_is_short_a_large_message_is_not_kept_for_another_endpoint() -> None:
    stage = Stage(service(2), bounds=Bounds(request_bytes=100_000))
    client = stage.client()
    client.ask("1", data="x" * 70_000)
    stage.holder("1").no_handler("1")
    assert stage.codes() == ["no_handler"]


def test_nothing_after_a_connection_is_over() -> None:
    stage, client = one_replica()
    client.drop()
    stage.exchange.receive(client.conn, encoded({"pattern": "a", "data": 1, "id": "1"}), stage.now)
    stage.exchange.end_of_stream(client.conn, stage.now)
    stage.exchange.backlog(client.conn, 5, stage.now)
    stage.exchange.closed(client.conn, "again", stage.now)
    assert not stage.exchange.connected(client.conn, stage.now)
    stage.carry()
    assert stage.upstreams == []
    assert stage.exchange.connections() == 0


def test_a_queued_request_does_not_go_back_to_where_it_found_no_handler() -> None:
    stage = Stage(service(2, limits=Limits(max_requests_per_replica=2)))
    client = stage.client()
    for number in range(4):
        client.ask(str(number))
    first, second = stage.upstream("r0"), stage.upstream("r1")
    other, moved = first.ids
    first.no_handler(moved)
    first.reply(other)
    assert first.ids == [other, moved]
    assert stage.exchange.services()[0].waiting == 1
    second.reply(second.ids[0])
    assert second.ids[-1] == moved
