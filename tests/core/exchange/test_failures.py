"""Replicas that refuse, die, fall silent or talk nonsense: what follows for messages, and for the replica."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from core.exchange.stage import Stage, encoded, endpoints, service
from tcpservice.backoff import LONGEST_BACKOFF
from tcpservice.exchange import Bounds
from tcpservice.snapshot import MILLISECOND, SECOND, Limits, MatchType, Retry, RetryConstraint, Route, Service, Timeouts


def reads(count: int, *, retry: Retry | None = None, timeouts: Timeouts | None = None, **values: Any) -> Service:
    """Make a service with a route for what may be repeated."""
    route = Route(name="reads", match=MatchType.PREFIX, pattern="get", idempotent=True)
    route = replace(route, retry=retry or Retry(), timeouts=timeouts or Timeouts())
    return service(count, routes=(route,), **values)


# Refused: nothing ran


def test_what_a_replica_refused_goes_to_another() -> None:
    stage = Stage(service(2))
    stage.refusing = {"r0"}
    client = stage.client()
    for number in range(20):
        client.ask(str(number))
        stage.upstream("r1").reply(str(number))
    assert set(stage.codes()) == {"ok"}
    assert stage.reported() == ["endpoint_ejected"]
    assert max(row.attempts for row in stage.rows) == 2


def test_with_every_replica_refusing_the_caller_hears_of_it_after_the_attempts() -> None:
    stage = Stage(service(2))
    stage.refusing = {"r0", "r1"}
    client = stage.client()
    client.ask("1")
    assert client.packets == []
    stage.pass_time(SECOND)
    assert client.codes() == {"1": "no_endpoints"}
    assert stage.rows[0].attempts == 3


def test_a_replica_that_refused_is_dialled_again_and_comes_back() -> None:
    stage = Stage(service(1))
    stage.refusing = {"r0"}
    client = stage.client()
    client.ask("1")
    stage.pass_time(3 * SECOND)
    assert stage.exchange.services()[0].endpoints[0].state == "ejected"
    assert len(stage.upstreams) > 4
    stage.refusing = set()
    stage.pass_time(LONGEST_BACKOFF)
    assert stage.reported() == ["endpoint_ejected", "endpoint_recovered"]
    client.ask("2")
    stage.upstream().reply("2")
    assert stage.codes() == ["no_endpoints", "ok"]


def test_messages_that_queue_while_a_replica_is_dialled_go_elsewhere_when_that_fails() -> None:
    stage = Stage(service(2))
    stage.hanging = {"r0", "r1"}
    client = stage.client()
    for number in range(10):
        client.ask(str(number))
    client.emit()
    sound = stage.connect("r1")
    stage.pass_time(2 * SECOND)
    assert sorted(sound.ids, key=int) == [str(number) for number in range(10)]
    assert "created" in [packet["pattern"] for packet in sound.packets]
    assert stage.reported() == ["endpoint_ejected"]


def test_a_caller_that_leaves_while_its_message_is_queued_sends_nothing() -> None:
    stage = Stage(service(1))
    stage.hanging = {"r0"}
    client = stage.client()
    client.ask("1")
    client.drop()
    assert stage.connect("r0").packets == []
    assert stage.codes() == ["cancelled"]


def test_a_replica_that_is_down_is_trusted_once_it_is_connected() -> None:
    stage = Stage(service(1))
    stage.refusing = {"r0"}
    client = stage.client()
    client.ask("1")
    stage.refusing, stage.hanging = set(), {"r0"}
    stage.pass_time(500 * MILLISECOND)
    client.ask("2")
    stage.pass_time(200 * MILLISECOND)
    assert stage.reported() == ["endpoint_ejected"]
    stage.connect("r0")
    assert stage.reported() == ["endpoint_ejected", "endpoint_recovered"]
    assert stage.upstream().ids == ["1", "2"]


# Lost: it may have run


def test_what_may_have_run_ends_in_nestjs_words_and_is_not_repeated() -> None:
    stage = Stage(service(2))
    client = stage.client()
    client.ask("1")
    stage.holder("1").drop()
    assert client.packets[0]["err"] == {
        "status": "error",
        "message": "Connection closed",
        "code": "connection_closed",
    }
    assert len([u for u in stage.upstreams if "1" in u.ids]) == 1


def test_a_request_that_held_its_place_for_long_is_still_repeated_when_nobody_waits_for_the_place() -> None:
    bounds = Bounds(downstream_requests=2, place_expiry=10 * SECOND)
    stage = Stage(reads(2, timeouts=Timeouts(request=90 * SECOND)), bounds=bounds)
    client = stage.client()
    for id_ in ("1", "2", "3"):
        client.ask(id_, "get")
    stage.holder("1").reply("1")
    stage.holder("2").reply("2")
    stage.pass_time(20 * SECOND)
    first = stage.holder("3")
    first.drop()
    stage.pass_time(SECOND)
    again = stage.holder("3")
    assert again is not first
    again.reply("3")
    assert stage.codes() == ["ok"] * 3


def test_what_is_idempotent_is_repeated_elsewhere_after_its_pause() -> None:
    stage = Stage(reads(2))
    client = stage.client()
    client.ask("1", "get.sum")
    lost = stage.holder("1")
    lost.drop()
    assert client.packets == []
    stage.pass_time(60 * MILLISECOND)
    assert stage.holder("1").name != lost.name
    stage.holder("1").reply("1")
    assert [(row.code, row.attempts, row.route) for row in stage.rows] == [("ok", 2, "reads")]


def test_attempts_are_counted() -> None:
    stage = Stage(reads(1, retry=Retry(attempts=3, backoff=MILLISECOND)))
    client = stage.client()
    client.ask("1", "get")
    for _ in range(4):
        stage.holder("1").drop()
        stage.pass_time(SECOND)
    assert client.codes() == {"1": "connection_closed"}
    assert stage.rows[0].attempts == 4


def test_retries_have_a_budget() -> None:
    constraint = RetryConstraint(percent=20, min_count=2)
    stage = Stage(reads(1, retry_constraint=constraint))
    client = stage.client()
    client.send(*({"pattern": "get", "data": n, "id": str(n)} for n in range(20)))
    stage.upstream().drop()
    assert sorted(stage.codes()) == ["connection_closed"] * 16
    stage.pass_time(SECOND)
    for id_ in stage.upstream().ids:
        stage.upstream().reply(id_)
    assert stage.codes().count("ok") == 4


def test_what_may_not_be_repeated_takes_nothing_from_the_budget() -> None:
    constraint = RetryConstraint(percent=0, min_count=1, min_interval=3600 * SECOND)
    stage = Stage(reads(1, retry_constraint=constraint))
    client = stage.client()
    client.ask("once", "set")
    client.ask("begun", "get")
    stage.upstream().part("begun", 1)
    client.ask("again", "get")
    stage.upstream().drop()
    stage.pass_time(SECOND)
    stage.upstream().reply("again")
    assert sorted(stage.codes()) == ["connection_closed", "connection_closed", "ok"]


def test_a_stream_that_has_begun_is_not_repeated() -> None:
    stage = Stage(reads(2))
    client = stage.client()
    client.ask("1", "get")
    stage.holder("1").part("1", "a")
    stage.holder("1").drop()
    assert [packet.get("response") for packet in client.packets] == ["a", None]
    assert client.codes() == {"1": "connection_closed"}


def test_while_memory_is_short_a_large_message_is_not_kept_once_it_has_left() -> None:
    stage = Stage(reads(2), bounds=Bounds(request_bytes=100_000))
    client = stage.client()
    client.ask("1", "get", "x" * 70_000)
    stage.holder("1").drop()
    assert client.codes() == {"1": "connection_closed"}


def test_a_large_message_is_repeated_while_there_is_memory() -> None:
    stage = Stage(reads(2))
    client = stage.client()
    client.ask("1", "get", "x" * 70_000)
    lost = stage.holder("1")
    lost.drop()
    stage.pass_time(60 * MILLISECOND)
    assert stage.holder("1") is not lost


def test_the_end_of_a_replicas_stream_is_its_loss() -> None:
    stage = Stage(service(1))
    client = stage.client()
    client.ask("1")
    stage.upstream().half_close()
    assert client.codes() == {"1": "connection_closed"}


@pytest.mark.parametrize("freed", [True, False])
def test_the_next_attempt_waits_for_a_replica_with_room(freed: bool) -> None:
    limits = Limits(max_requests_per_replica=1)
    stage = Stage(reads(2, limits=limits), bounds=Bounds(queue_timeout=SECOND))
    client = stage.client()
    client.ask("1", "get")
    client.ask("2", "get")
    lost, busy = stage.holder("1"), stage.holder("2")
    stage.refusing = {lost.name}
    lost.drop()
    stage.pass_time(500 * MILLISECOND)
    assert client.packets == []
    if freed:
        busy.reply("2")
    stage.pass_time(2 * SECOND)
    if freed:
        busy.reply("1")
        assert stage.codes() == ["ok", "ok"]
    else:
        assert client.codes() == {"1": "overloaded"}


def test_the_next_attempt_finds_no_replica_any_more() -> None:
    stage = Stage(reads(1))
    client = stage.client()
    client.ask("1", "get")
    stage.upstream().drop()
    stage.swap(reads(0))
    stage.pass_time(SECOND)
    assert client.codes() == {"1": "connection_closed"}, "it may have run"


# Times


def test_a_request_that_is_not_answered_in_time() -> None:
    stage = Stage(service(1, timeouts=Timeouts(request=SECOND)))
    client = stage.client()
    client.ask("1")
    stage.pass_time(SECOND - MILLISECOND)
    assert client.packets == []
    stage.pass_time(10 * MILLISECOND)
    assert client.codes() == {"1": "timeout"}
    assert "timeouts.request" in client.packets[0]["err"]["message"]
    stage.upstream().reply("1")
    assert stage.exchange.counts()["late_replies"] == 1


def test_an_attempt_that_is_not_answered_in_time_is_repeated_if_idempotent() -> None:
    stage = Stage(reads(2, timeouts=Timeouts(backend_request=SECOND)))
    client = stage.client()
    client.ask("1", "get")
    slow = stage.holder("1")
    stage.pass_time(1100 * MILLISECOND)
    quick = stage.holder("1")
    assert quick.name != slow.name
    slow.reply("1", "late")
    quick.reply("1", "quick")
    assert [packet["response"] for packet in client.packets] == ["quick"]
    assert stage.codes() == ["ok"]


def test_an_attempt_that_was_given_up_is_told_from_the_next_at_the_same_replica() -> None:
    stage = Stage(reads(1, timeouts=Timeouts(backend_request=SECOND)))
    client = stage.client()
    client.ask("1", "get")
    stage.pass_time(1100 * MILLISECOND)
    given_up, second = stage.upstream().ids
    stage.upstream().part(given_up, "late")
    stage.upstream().part(second, "first")
    stage.upstream().reply(given_up, "later")
    stage.upstream().reply(second, "last")
    assert [packet["response"] for packet in client.packets] == ["first", "last"]
    assert stage.exchange.counts()["late_replies"] == 2


def test_a_connection_that_carries_two_attempts_of_a_message_is_lost() -> None:
    stage = Stage(reads(1, timeouts=Timeouts(backend_request=SECOND)))
    client = stage.client()
    client.ask("1", "get")
    stage.pass_time(1100 * MILLISECOND)
    stage.upstream().drop()
    stage.pass_time(SECOND)
    stage.upstream().reply(stage.upstream().ids[0])
    assert [(row.code, row.attempts) for row in stage.rows] == [("ok", 3)]


def test_an_attempt_that_is_not_answered_in_time_ends_what_is_not_idempotent() -> None:
    stage = Stage(service(2, timeouts=Timeouts(backend_request=SECOND, request=10 * SECOND)))
    client = stage.client()
    client.ask("1")
    stage.pass_time(1100 * MILLISECOND)
    assert client.codes() == {"1": "timeout"}
    assert "backendRequest" in client.packets[0]["err"]["message"]


def test_a_stream_that_falls_silent() -> None:
    timeouts = Timeouts(request=SECOND, backend_request=SECOND, stream_idle=2 * SECOND)
    stage = Stage(service(1, timeouts=timeouts))
    client = stage.client()
    client.ask("1")
    for value in range(3):
        stage.upstream().part("1", value)
        stage.pass_time(1500 * MILLISECOND)
    assert stage.rows == []
    stage.pass_time(SECOND)
    assert client.codes() == {"1": "timeout"}
    assert "streamIdle" in client.packets[-1]["err"]["message"]


def test_a_stream_without_a_limit_may_be_silent() -> None:
    stage = Stage(service(1, timeouts=Timeouts(request=SECOND)))
    client = stage.client()
    client.ask("1")
    stage.upstream().part("1", 0)
    stage.pass_time(25 * SECOND)
    stage.upstream().reply("1")
    assert stage.codes() == ["ok"]


def test_answers_that_nobody_waits_for_do_not_pile_up() -> None:
    stage = Stage(service(1, timeouts=Timeouts(request=SECOND)), bounds=Bounds(unanswered=5))
    client = stage.client()
    first = None
    for number in range(8):
        client.ask(str(number))
        first = first or stage.upstream()
        stage.pass_time(1100 * MILLISECOND)
    assert first is not None
    assert not first.is_open()
    assert stage.upstream() is not first
    client.ask("8")
    stage.upstream().reply("8")
    assert stage.codes() == ["timeout"] * 8 + ["ok"]


# Silence


def test_a_silent_replica_is_probed_and_given_up() -> None:
    stage = Stage(service(2))
    client = stage.client()
    client.ask("1")
    silent = stage.holder("1")
    stage.silent = {silent.name}
    stage.pass_time(31 * SECOND)
    assert [packet["pattern"] for packet in silent.packets] == ["sum", "tcpservice.dev/probe"]
    stage.pass_time(31 * SECOND)
    assert client.codes() == {"1": "connection_closed"}
    assert not silent.is_open()
    assert stage.reported() == ["endpoint_ejected"]


def test_a_slow_replica_that_answers_the_probe_is_let_alone() -> None:
    stage = Stage(service(1))
    client = stage.client()
    client.ask("1")
    replica = stage.upstream()
    for probes in range(1, 4):
        stage.pass_time(31 * SECOND)
        assert stage.probes == [replica] * probes
    replica.reply("1")
    assert stage.codes() == ["ok"]
    assert stage.reported() == []
    assert stage.exchange.counts() == {"probe_replies": 3}


def test_the_reply_to_a_probe_is_not_taken_for_that_of_a_request_with_the_same_id() -> None:
    stage = Stage(service(1))
    client = stage.client()
    client.ask("1")
    replica = stage.upstream()
    stage.silent = {"r0"}
    stage.pass_time(31 * SECOND)
    probe = replica.packets[-1]
    assert probe["pattern"] == "tcpservice.dev/probe"
    client.ask(probe["id"])
    asked = replica.packets[-1]["id"]
    assert asked != probe["id"]
    replica.no_handler(probe["id"])
    replica.reply(asked, "mine")
    assert [(packet["id"], packet["response"]) for packet in client.packets] == [(probe["id"], "mine")]
    assert stage.exchange.counts() == {"probe_replies": 1}


def test_probes_that_are_never_answered_are_not_all_remembered() -> None:
    stage = Stage(service(1))
    client = stage.client()
    client.ask("endless")
    replica = stage.upstream()
    stage.silent = {"r0"}
    for _ in range(100):
        stage.pass_time(31 * SECOND)
        replica.part("endless", 1)
    assert replica.is_open()
    probes = [packet["id"] for packet in replica.packets[1:]]
    assert len(probes) > 64
    for id_ in probes:
        replica.no_handler(id_)
    counts = stage.exchange.counts()
    assert counts["probe_replies"] == 64
    assert counts["unknown_replies"] == len(probes) - 64


def test_a_replica_that_was_silent_is_trusted_again_when_it_answers_a_probe() -> None:
    stage = Stage(service(2))
    client = stage.client()
    client.ask("1")
    name = stage.holder("1").name
    stage.silent = {name}
    stage.pass_time(61 * SECOND)
    again = stage.upstream(name)
    assert again.patterns == ["tcpservice.dev/probe"]
    for number in range(10):
        client.ask(f"n{number}")
    assert len(again.packets) == 1
    again.no_handler(again.packets[0]["id"])
    assert stage.reported() == ["endpoint_ejected", "endpoint_recovered"]
    for number in range(10, 20):
        client.ask(str(number))
    assert len(again.packets) > 1


def test_many_requests_that_time_out_at_once_cost_one_probe() -> None:
    stage = Stage(service(1, timeouts=Timeouts(request=10 * SECOND, backend_request=SECOND)))
    client = stage.client()
    client.ask("0")
    replica = stage.upstream()
    replica.reply("0")
    stage.silent = {"r0"}
    for number in range(1, 6):
        client.ask(str(number))
    stage.pass_time(2 * SECOND)
    assert list(client.codes().values()) == ["timeout"] * 5
    assert replica.patterns.count("tcpservice.dev/probe") == 1


def test_a_dial_that_hangs_is_awaited_while_another_of_the_same_replica_has_failed() -> None:
    stage = Stage(service(1, pool_size=2, timeouts=Timeouts(connect=30 * SECOND)))
    stage.hanging = {"r0"}
    clients = [stage.client(), stage.client()]
    for number, client in enumerate(clients):
        client.ask(str(number))
    refused, hanging = stage.upstreams
    refused.drop("refused")
    stage.pass_time(3 * SECOND)
    assert stage.upstreams == [refused, hanging]
    assert stage.connect("r0") is hanging
    assert hanging.ids == ["1"]
    assert stage.connect("r0").ids == ["0"]


def test_a_replica_that_stays_silent_is_dialled_again_and_again() -> None:
    stage = Stage(service(2))
    client = stage.client()
    client.ask("1")
    name = stage.holder("1").name
    stage.silent = {name}
    stage.pass_time(240 * SECOND)
    assert len([u for u in stage.upstreams if u.name == name]) > 3
    assert stage.reported() == ["endpoint_ejected"]


def test_an_unused_connection_is_closed_in_time() -> None:
    stage = Stage(service(1))
    client = stage.client()
    client.ask("1")
    stage.upstream().reply("1")
    stage.pass_time(200 * SECOND)
    assert stage.upstream().is_open()
    stage.pass_time(200 * SECOND)
    assert not stage.upstream().is_open()
    assert not stage.upstream().aborted
    client.ask("2")
    stage.upstream().reply("2")
    assert stage.codes() == ["ok", "ok"]


# Nonsense


@pytest.mark.parametrize(
    "nonsense",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x03\x00\x02", b"-5#{}", encoded("{bad}"), b"\x00" * 40],
    ids=["http", "tls", "length", "json", "soup"],
)
def test_nonsense_from_a_replica_costs_it_its_connection(nonsense: bytes) -> None:
    stage = Stage(reads(2))
    client = stage.client()
    client.ask("1", "get")
    client.ask("2", "set")
    bad = stage.holder("1")
    others = [id_ for id_ in ("1", "2") if id_ not in bad.ids]
    bad.send_bytes(nonsense)
    assert not bad.is_open()
    assert "at byte 0" in stage.notices[0].text
    stage.pass_time(60 * MILLISECOND)
    for id_ in ["1", *others]:
        stage.holder(id_).reply(id_)
    assert stage.codes().count("ok") == 1 + len(others)
    assert [row.attempts for row in stage.rows if row.route] == [2]


def test_a_replica_that_talks_nonsense_must_answer_a_probe() -> None:
    stage = Stage(service(2))
    client = stage.client()
    client.ask("1")
    bad = stage.holder("1")
    stage.silent = {bad.name}
    bad.send_bytes(b"nonsense#")
    stage.pass_time(SECOND)
    again = stage.upstream(bad.name)
    assert again is not bad
    assert again.patterns == ["tcpservice.dev/probe"]
    again.send_bytes(b"nonsense#")
    stage.pass_time(SECOND)
    assert stage.reported() == ["endpoint_ejected"]


def test_an_oversized_reply_ends_its_own_request_only() -> None:
    small = Limits(max_frame_size=1000)
    stage = Stage(service(1, limits=small))
    client = stage.client()
    client.ask("1")
    client.ask("2")
    replica = stage.upstream()
    replica.reply("1", "x" * 2000)
    replica.reply("2")
    replica.reply("nobody", "x" * 2000)
    assert client.codes() == {"1": "frame_too_large"}
    assert stage.codes() == ["frame_too_large", "ok"]
    assert stage.reported() == ["frame_too_large"]
    assert stage.exchange.counts() == {"unknown_replies": 1}


def test_a_reply_nested_too_deeply_ends_its_own_request_only() -> None:
    stage = Stage(service(1))
    client = stage.client()
    client.ask("1")
    client.ask("2")
    deep = "[" * 100_000 + "]" * 100_000
    stage.upstream().send_bytes(encoded(f'{{"response":{deep},"isDisposed":true,"id":"1"}}'))
    stage.upstream().reply("2")
    assert client.codes() == {"1": "frame_too_large"}
    assert stage.codes() == ["frame_too_large", "ok"]


def test_an_oversized_reply_without_an_id_that_is_known() -> None:
    stage = Stage(service(1, limits=Limits(max_frame_size=100)))
    client = stage.client()
    client.ask("1")
    stage.upstream().send_bytes(encoded('{"response":"' + "x" * 200 + '"}'))
    stage.upstream().reply("1")
    assert stage.codes() == ["ok"]
    assert stage.exchange.counts() == {"unknown_replies": 1}


def test_what_was_queued_behind_a_dial_may_end_while_earlier_messages_go_elsewhere() -> None:
    first, second, warm = endpoints(3)
    warm = replace(warm, ready=False)  # picked only while no other can be
    stage = Stage(service(0, endpoints=(warm,)), bounds=Bounds(pending=1))
    client = stage.client()
    client.ask("warm")
    stage.upstream().reply("warm")
    stage.hanging = {"r0", "r1"}
    stage.swap(service(0, endpoints=(first, second, warm)))
    client.ask("older")
    client.ask("newer")
    of_older, of_newer = stage.upstreams[1:]
    of_older.drop("refused")
    of_newer.drop("refused")
    assert client.codes() == {"older": "abandoned"}
    assert stage.upstream("r2").ids == ["warm", "newer"]


def test_an_attempt_whose_time_is_over_before_it_was_written_may_be_made_elsewhere() -> None:
    timeouts = Timeouts(backend_request=2 * SECOND, connect=60 * SECOND)
    stage = Stage(service(2, timeouts=timeouts))
    stage.hanging = {"r0"}
    client = stage.client()
    client.ask("1")
    client.ask("2")
    (first,) = stage.upstream("r1").ids
    stage.upstream("r1").reply(first)
    stage.pass_time(3 * SECOND)
    assert set(stage.upstream("r1").ids) == {"1", "2"}
    assert [packet["id"] for packet in client.packets] == [first], "the other ran nowhere, so that no error is due"


def test_a_change_of_endpoints_is_no_new_budget_for_retries() -> None:
    constraint = RetryConstraint(percent=0, min_count=1, min_interval=3600 * SECOND)
    stage = Stage(reads(1, retry_constraint=constraint))
    client = stage.client()
    client.ask("1", "get")
    stage.upstream().drop()
    stage.pass_time(SECOND)
    stage.upstream().reply("1")
    stage.swap(reads(2, retry_constraint=constraint))
    client.ask("2", "get")
    stage.holder("2").drop()
    assert stage.codes() == ["ok", "connection_closed"]
