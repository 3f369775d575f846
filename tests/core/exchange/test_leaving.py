"""Draining, ending and shutting: what is in flight is finished while there is time for it."""

from __future__ import annotations

from core.exchange.stage import Stage, endpoints, service
from tcpservice.exchange import Bounds
from tcpservice.snapshot import SECOND


def test_plain_callers_are_let_go_when_they_are_idle() -> None:
    stage = Stage(service(1), bounds=Bounds(drain_idle=SECOND))
    busy, idle, halfway = stage.client(), stage.client(), stage.client()
    busy.ask("1")
    halfway.send_bytes(b"1")
    assert not stage.exchange.drained(stage.now)
    stage.exchange.drain(stage.now)
    stage.exchange.drain(stage.now + SECOND)
    stage.carry()
    stage.pass_time(3 * SECOND)
    assert not idle.is_open()
    assert busy.is_open()
    assert halfway.is_open()
    stage.upstream().reply("1")
    stage.pass_time(2 * SECOND)
    assert not busy.is_open()
    assert stage.codes() == ["ok"]
    halfway.drop()
    assert stage.exchange.drained(stage.now)


def test_who_still_sends_while_draining_is_served() -> None:
    stage = Stage(service(1), bounds=Bounds(drain_idle=SECOND))
    client = stage.client()
    stage.exchange.drain(stage.now)
    for number in range(5):
        stage.pass_time(SECOND * 9 // 10)
        client.ask(number)
        stage.upstream().reply(number)
        assert not stage.exchange.drained(stage.now)
    stage.pass_time(3 * SECOND)
    assert not client.is_open()
    assert stage.codes() == ["ok"] * 5
    assert stage.exchange.drained(stage.now)


def test_a_late_caller_is_let_go_too() -> None:
    stage = Stage(service(1), bounds=Bounds(drain_idle=SECOND))
    stage.exchange.drain(stage.now)
    client = stage.client()
    stage.pass_time(2 * SECOND)
    assert not client.is_open()


def test_what_is_left_ends_as_draining_streams_last() -> None:
    stage = Stage(service(1))
    client = stage.client()
    client.ask("request")
    client.ask("stream")
    stage.upstream().part("stream", 0)
    stage.exchange.end(stage.now, streams=False)
    stage.carry()
    assert client.codes() == {"request": "draining"}
    stage.exchange.end(stage.now, streams=True)
    stage.carry()
    assert client.codes() == {"request": "draining", "stream": "draining"}
    assert stage.exchange.in_flight() == 0


def test_shutting_closes_every_connection() -> None:
    stage = Stage(service(2))
    one, other = stage.client(), stage.client()
    for number in range(6):
        one.ask(number)
    relay = stage.exchange.relay(stage.services[0], frozenset())
    assert relay is not None
    stage.exchange.shut(stage.now)
    stage.carry()
    assert not one.is_open()
    assert not other.is_open()
    assert [upstream.is_open() for upstream in stage.upstreams] == [False, False]
    assert stage.codes() == ["cancelled"] * 6
    assert stage.exchange.connections() == 0


def test_a_pod_that_ends_is_chosen_no_more_and_serves_what_comes() -> None:
    stage = Stage(service(1), bounds=Bounds(drain_idle=SECOND))
    own, other = stage.client(), stage.client(inbound=True)
    begun = stage.now
    stage.exchange.withdraw()
    stage.exchange.withdraw()
    other.ask("1")
    assert not stage.exchange.quiet(begun, stage.now)
    stage.upstream().reply("1")
    assert not stage.exchange.quiet(begun, stage.now), "it was heard just now"
    stage.pass_time(3 * SECOND)
    assert not other.is_open(), "callers of others are let go when they are idle"
    assert own.is_open(), "the own app may go on calling"
    assert stage.exchange.has_own_callers()
    assert stage.exchange.quiet(begun, stage.now)
    own.ask("2")
    assert stage.exchange.quiet(begun, stage.now), "which holds nothing up"
    stage.upstream().reply("2")
    assert stage.codes() == ["ok", "ok"]


def test_a_caller_is_idle_from_its_last_reply_on() -> None:
    stage = Stage(service(1), bounds=Bounds(drain_idle=SECOND))
    other = stage.client(inbound=True)
    stage.exchange.withdraw()
    other.ask("1")
    stage.pass_time(SECOND * 3 // 2)
    stage.upstream().reply("1")
    stage.pass_time(SECOND * 9 // 10)
    assert other.is_open()
    stage.pass_time(SECOND)
    assert not other.is_open()


def test_a_caller_that_is_paused_when_the_pod_ends_is_let_go_once_it_is_idle() -> None:
    stage = Stage(service(1), bounds=Bounds(drain_idle=SECOND, downstream_requests=1))
    other = stage.client(inbound=True)
    other.ask("1")
    other.ask("2")
    assert other.is_paused()
    stage.exchange.withdraw()
    stage.upstream().reply("1")
    stage.upstream().reply("2")
    assert not other.is_paused()
    stage.pass_time(3 * SECOND)
    assert not other.is_open()
    assert stage.codes() == ["ok", "ok"]


def test_streams_are_told_apart_from_what_was_not_answered() -> None:
    stage = Stage(service(1))
    client = stage.client(inbound=True)
    client.ask("request")
    begun = stage.now + SECOND
    assert not stage.exchange.streams()
    assert stage.exchange.owes(begun)
    stage.pass_time(SECOND)
    client.ask("stream")
    stage.upstream().part("stream", 0)
    stage.upstream().reply("request")
    assert stage.exchange.streams()
    assert not stage.exchange.owes(begun), "what was sent before has ended"
    assert not stage.exchange.quiet(begun, stage.now + SECOND)


def test_other_sidecars_are_told_whenever_they_come() -> None:
    stage = Stage(service(1))
    stage.exchange.add_app(stage.services[0], endpoints(1)[0], stage.now)
    early = stage.sidecar()
    stage.carry()
    begun = stage.now
    stage.exchange.withdraw()
    late = stage.sidecar()
    stage.carry()
    assert (early.words, late.words) == ([b"goaway"], [b"goaway"])
    early.ask("1")
    assert not stage.exchange.quiet(begun, stage.now)
    stage.upstream().reply("1")
    stage.pass_time(SECOND)
    assert stage.exchange.quiet(begun, stage.now)


def test_who_came_after_the_word_is_let_go_too() -> None:
    stage = Stage(service(1), bounds=Bounds(drain_idle=SECOND))
    stage.exchange.withdraw()
    late = stage.client(inbound=True)
    late.ask("1")
    stage.upstream().reply("1")
    stage.pass_time(3 * SECOND)
    assert not late.is_open()


def test_callers_that_were_silent_before_the_end_of_the_pod_have_some_time_to_be_heard() -> None:
    stage = Stage(service(1), bounds=Bounds(drain_quiet=SECOND))
    stage.exchange.add_app(stage.services[0], endpoints(1)[0], stage.now)
    stage.sidecar()
    stage.pass_time(10 * SECOND)
    begun = stage.now
    stage.exchange.withdraw()
    stage.pass_time(SECOND // 2)
    assert not stage.exchange.quiet(begun, stage.now), "a message may be on its way"
    stage.pass_time(SECOND)
    assert stage.exchange.quiet(begun, stage.now)
