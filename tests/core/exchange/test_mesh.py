"""The hop between two sidecars: its opening line, and what each may tell the other."""

from __future__ import annotations

from typing import Any

import pytest

from core.exchange.stage import Client, Stage, encoded, endpoints, service
from tcpservice.exchange import Bounds
from tcpservice.snapshot import MILLISECOND, SECOND, Limits, MatchType, Protocol, Route


def at_the_app(bounds: Bounds | None = None, **values: Any) -> Stage:
    """Make the replica's sidecar: its one upstream is its own app."""
    stage = Stage(service(0, **values), bounds=bounds)
    stage.exchange.add_app(stage.services[0], endpoints(1)[0], stage.now)
    return stage


def at_the_caller(count: int = 2, bounds: Bounds | None = None, **values: Any) -> tuple[Stage, Client]:
    """Make the caller's sidecar: its endpoints are other sidecars."""
    stage = Stage(service(count, mesh=True, **values), bounds=bounds)
    return stage, stage.client()


# The opening line


def test_both_sides_open_with_their_line() -> None:
    stage = at_the_app()
    other = stage.sidecar()
    assert other.raw == b"TCPS/1 shop/orders -\n"
    other.ask("1")
    stage.upstream().reply("1")
    assert [packet["id"] for packet in other.packets] == ["1"]
    assert stage.rows[0].mesh


def test_an_app_is_seen_with_what_it_has_in_flight() -> None:
    stage = at_the_app()
    stage.sidecar().ask("1")
    (seen,) = stage.exchange.apps()
    assert (seen.service, [replica.in_flight for replica in seen.endpoints]) == ("shop/orders", [1])


def test_the_line_may_come_in_pieces_with_frames_behind_it() -> None:
    stage = at_the_app()
    other = stage.sidecar(None)
    line = b"TCPS/1 shop/orders -\n" + encoded({"pattern": "a", "data": 1, "id": "1"})
    for byte in range(len(line)):
        other.send_bytes(line[byte : byte + 1])
    assert stage.upstream().ids == ["1"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"TCPS/1 shop/other -\n", "asked for shop/other, but the apps here are: shop/orders"),
        (b"GET / HTTP/1.1\r\n\r\n", "expected 'TCPS/1"),
        (encoded({"pattern": "a", "data": 1, "id": "1"}), "expected 'TCPS/1"),
    ],
)
def test_who_opens_otherwise_is_closed(line: bytes, reason: str) -> None:
    stage = at_the_app()
    other = stage.sidecar(None)
    other.send_bytes(line)
    assert not other.is_open()
    assert reason in stage.notices[0].text
    assert stage.upstreams == []


def test_who_does_not_open_is_closed_in_time() -> None:
    stage = at_the_app(bounds=Bounds(stall=SECOND))
    other = stage.sidecar(None)
    other.send_bytes(b"TCPS/1 ")
    stage.pass_time(2 * SECOND)
    assert not other.is_open()


def test_without_an_app_nobody_is_served() -> None:
    stage = Stage(service(1))
    other = stage.sidecar()
    assert not other.is_open()
    assert "none" in stage.notices[0].text


@pytest.mark.parametrize("line", [b"HTTP/1.1 400 Bad Request\r\n", b"TCPS/1 shop/other -\n"])
def test_an_upstream_that_is_no_sidecar_of_the_service_is_left(line: bytes) -> None:
    stage, client = at_the_caller(2)
    stage.silent = {"r0", "r1"}
    client.ask("1")
    first = stage.upstream()
    first.send_bytes(line)
    assert not first.is_open()
    assert stage.reported() == ["endpoint_ejected"]
    second = stage.upstream()
    assert second.name != first.name
    second.greet()
    second.reply("1")
    assert stage.codes() == ["ok"]


def test_messages_wait_until_the_other_sidecar_has_opened_too() -> None:
    stage, client = at_the_caller(1)
    stage.silent = {"r0"}
    client.ask("1")
    upstream = stage.upstream()
    assert upstream.raw == b"TCPS/1 shop/orders app-state,place=2\n"
    upstream.send_bytes(b"TCPS/1 shop")
    upstream.send_bytes(b"/orders -\n" + encoded({"response": 0, "id": "nobody"}))
    assert upstream.ids == ["1"]
    assert stage.exchange.counts() == {"unknown_replies": 1}


# At the replica's sidecar


def test_what_never_reached_the_app_is_refused() -> None:
    stage = at_the_app()
    stage.refusing = {"r0"}
    other = stage.sidecar()
    other.ask("1")
    assert other.words == [b"goaway", b'refused "1"']
    assert stage.codes() == ["no_endpoints"]


def test_what_the_app_was_lost_under_is_lost() -> None:
    stage = at_the_app()
    other = stage.sidecar()
    other.ask("1")
    stage.upstream().drop()
    assert other.words == [b"goaway", b'lost "1"']
    assert stage.codes() == ["connection_closed"]


def test_a_stream_that_breaks_is_lost() -> None:
    stage = at_the_app()
    other = stage.sidecar()
    other.ask("1")
    stage.upstream().part("1", 0)
    stage.upstream().drop()
    assert len(other.packets) == 1
    assert other.words == [b"goaway", b'lost "1"']


def test_what_waited_too_long_at_the_app_may_go_elsewhere() -> None:
    stage = at_the_app(limits=Limits(max_requests_per_replica=1), bounds=Bounds(queue_timeout=SECOND))
    other = stage.sidecar()
    other.ask("1")
    other.ask("2")
    stage.pass_time(2 * SECOND)
    assert other.words == [b'refused "2"']
    assert stage.codes() == ["overloaded"]


def test_what_the_app_was_sent_is_not_refused_when_it_is_abandoned() -> None:
    stage = at_the_app(bounds=Bounds(pending=1))
    other = stage.sidecar()
    other.ask("1")
    other.ask("2")
    assert stage.upstream().ids == ["1", "2"]
    assert other.codes() == {"1": "abandoned"}
    assert other.words == [], "another sidecar would send elsewhere what it is told was refused"


def test_what_is_cancelled_is_for_nobody() -> None:
    stage = at_the_app()
    other = stage.sidecar()
    other.ask("1")
    other.say(b"cancel", b'"1"')
    other.say(b"cancel", b'"unknown"')
    assert stage.codes() == ["cancelled"]
    stage.upstream().reply("1")
    assert other.packets == []


def test_pings_are_answered_and_unknown_words_passed_over() -> None:
    stage = at_the_app()
    other = stage.sidecar()
    other.say(b"ping", b"7")
    other.say(b"pong", b"7")
    other.say(b"news", b"from the future")
    assert other.words == [b"pong 7"]
    assert stage.exchange.counts() == {"ignored_control_frames": 1}


def test_many_callers_of_one_sidecar_are_bounded_together_only() -> None:
    stage = at_the_app(bounds=Bounds(downstream_requests=1, request_bytes=2000))
    other = stage.sidecar()
    for number in range(3):
        other.ask(str(number))
    assert stage.upstream().ids == ["0", "1"]
    assert other.is_paused()


def test_who_asks_for_an_opaque_app_is_handed_over() -> None:
    stage = at_the_app(protocol=Protocol.OPAQUE)
    other = stage.sidecar(None)
    other.send_bytes(b"TCPS/1 shop/orders opaque\nany bytes")
    (handed,) = stage.handed
    assert (handed.conn, handed.service, handed.rest) == (other.conn, "shop/orders", b"any bytes")
    assert other.raw == b"TCPS/1 shop/orders -\n"
    assert stage.exchange.connections() == 1
    stage.exchange.closed(handed.conn, "ended", stage.now)
    assert stage.exchange.connections() == 0


def test_an_opaque_connection_to_a_nestjs_app_is_refused() -> None:
    stage = at_the_app()
    other = stage.sidecar(None)
    other.send_bytes(b"TCPS/1 shop/orders opaque\nany bytes")
    assert stage.handed == []
    assert not other.is_open()
    assert "protocol is NestJS" in stage.notices[-1].text


def test_when_leaving_other_sidecars_are_told_and_still_served() -> None:
    stage = at_the_app()
    early, unspoken = stage.sidecar(), stage.sidecar(None)
    stage.swap(*stage.services)
    early.ask("1")
    stage.exchange.drain(stage.now)
    stage.carry()
    late = stage.sidecar()
    unspoken.send_bytes(b"TCPS/1 shop/orders -\n")
    for other in (early, late, unspoken):
        assert other.words == [b"goaway"]
    late.ask("2")
    stage.upstream().reply(stage.upstream().ids[1])
    assert not stage.exchange.drained(stage.now)
    stage.upstream().reply("1")
    assert stage.codes() == ["ok", "ok"]
    assert not stage.exchange.drained(stage.now)
    stage.pass_time(SECOND)
    assert stage.exchange.drained(stage.now)


def test_another_sidecar_that_is_not_read_now_is_told_of_the_end_too() -> None:
    stage = at_the_app(bounds=Bounds(request_bytes=2000))
    other = stage.sidecar()
    for number in range(3):
        other.ask(str(number))
    assert other.is_paused()
    stage.exchange.withdraw()
    stage.carry()
    assert other.words == [b"goaway"]


def test_a_pod_that_ends_says_so_to_a_new_sidecar_even_if_its_app_is_absent() -> None:
    stage = at_the_app()
    stage.refusing = {"r0"}
    stage.exchange.expect_apps(stage.now)
    stage.exchange.withdraw()
    stage.carry()
    assert stage.sidecar("shop/orders", "app-state").words == [b"goaway"]


# At the caller's sidecar


def test_what_was_refused_goes_to_another_replica() -> None:
    stage, client = at_the_caller(2)
    client.ask("1")
    first = stage.holder("1")
    first.say(b"refused", b'"1"')
    second = stage.holder("1")
    assert second.name != first.name
    second.reply("1")
    assert [(row.code, row.attempts) for row in stage.rows] == [("ok", 2)]
    assert stage.reported() == ["endpoint_ejected"]
    stage.pass_time(SECOND)
    assert first.is_open()
    before = len(first.ids)
    for number in range(10):
        client.ask(f"n{number}")
    assert len(first.ids) == before + 1, "an endpoint on probation gets one request"
    first.reply(first.ids[-1])
    assert stage.reported() == ["endpoint_ejected", "endpoint_recovered"]


def test_what_was_refused_but_is_too_large_to_be_kept() -> None:
    stage, client = at_the_caller(2, bounds=Bounds(request_bytes=100_000))
    client.ask("1", data="x" * 70_000)
    stage.holder("1").say(b"refused", b'"1"')
    assert client.codes() == {"1": "no_endpoints"}


@pytest.mark.parametrize("idempotent", [True, False])
def test_what_was_lost_is_repeated_if_it_may_be(idempotent: bool) -> None:
    route = Route(name="all", match=MatchType.PREFIX, pattern="", idempotent=idempotent)
    stage, client = at_the_caller(2, routes=(route,))
    client.ask("1")
    first = stage.holder("1")
    first.say(b"lost", b'"1"')
    stage.pass_time(60 * MILLISECOND)
    if idempotent:
        stage.holder("1").reply("1")
        assert stage.codes() == ["ok"]
    else:
        assert client.codes() == {"1": "connection_closed"}
    assert stage.reported() == []


def test_words_about_what_nobody_waits_for_are_dropped() -> None:
    stage, client = at_the_caller(1)
    client.ask("1")
    upstream = stage.upstream()
    client.drop()
    assert upstream.words == [b'cancel "1"']
    upstream.say(b"refused", b'"1"')
    upstream.say(b"lost", b'"2"')
    assert stage.exchange.counts() == {"late_replies": 2}
    assert stage.reported() == []


def test_a_replica_that_asks_to_be_left_out_finishes_what_it_has() -> None:
    stage, client = at_the_caller(2)
    client.ask("1")
    leaving = stage.holder("1")
    leaving.say(b"goaway")
    for number in range(10, 20):
        client.ask(str(number))
    assert leaving.ids == ["1"]
    leaving.reply("1")
    leaving.say(b"refused", b'"none"')
    assert stage.codes() == ["ok"]
    assert stage.reported() == ["endpoint_leaving"]
    assert "leaving" in [replica.state for replica in stage.exchange.services()[0].endpoints]


def test_a_leaving_replica_that_refuses_is_not_marked() -> None:
    stage, client = at_the_caller(2)
    client.ask("1")
    leaving = stage.holder("1")
    leaving.say(b"goaway")
    leaving.say(b"refused", b'"1"')
    stage.holder("1").reply("1")
    assert stage.codes() == ["ok"]
    assert stage.reported() == ["endpoint_leaving"]


def test_a_replica_on_probation_that_asks_to_be_left_out_gets_nothing_more() -> None:
    stage, client = at_the_caller(2)
    client.ask("1")
    leaving = stage.holder("1")
    leaving.say(b"refused", b'"1"')
    stage.pass_time(SECOND)
    assert "probation" in [replica.state for replica in stage.exchange.services()[0].endpoints]
    leaving.say(b"goaway")
    for number in range(10, 20):
        client.ask(str(number))
    assert leaving.ids == ["1"]
    assert "leaving" in [replica.state for replica in stage.exchange.services()[0].endpoints]


def test_a_replica_that_leaves_still_serves_while_the_others_cannot_be_reached() -> None:
    stage, client = at_the_caller(2)
    for number in range(4):
        client.ask(number)
    leaving, lost = stage.upstream("r0"), stage.upstream("r1")
    leaving.say(b"goaway")
    stage.refusing = {"r1"}
    lost.drop()
    client.ask("late")
    assert leaving.ids[-1] == "late"


def test_a_replica_that_comes_back_after_leaving_is_chosen_again() -> None:
    stage, client = at_the_caller(1)
    client.ask("1")
    stage.upstream().say(b"goaway")
    stage.upstream().reply("1")
    stage.upstream().drop()
    stage.pass_time(SECOND)
    assert [replica.state for replica in stage.exchange.services()[0].endpoints] == ["healthy"]


def test_a_replica_that_was_ejected_is_chosen_again_as_soon_as_it_says_so() -> None:
    stage, client = at_the_caller(2)
    client.ask("1")
    refused = stage.holder("1")
    refused.say(b"refused", b'"1"')
    assert "ejected" in [replica.state for replica in stage.exchange.services()[0].endpoints]
    refused.say(b"back")
    for number in range(10, 20):
        client.ask(str(number))
    assert len(refused.ids) > 2


def test_a_silent_sidecar_is_pinged() -> None:
    stage, client = at_the_caller(1)
    client.ask("1")
    upstream = stage.upstream()
    stage.pass_time(31 * SECOND)
    (word,) = upstream.words
    assert word.startswith(b"ping ")
    upstream.say(b"pong", word[5:])
    stage.pass_time(31 * SECOND)
    assert upstream.is_open()
    upstream.say(b"ping", b"9")
    upstream.say(b"news")
    assert b"pong 9" in upstream.words
    assert stage.exchange.counts() == {"ignored_control_frames": 1}


def test_a_sidecar_that_stays_silent_is_given_up() -> None:
    stage, client = at_the_caller(1)
    client.ask("1")
    stage.silent = {"r0"}
    stage.pass_time(62 * SECOND)
    assert client.codes() == {"1": "connection_closed"}
    assert stage.reported() == ["endpoint_ejected"]
    stage.silent = set()
    stage.pass_time(20 * SECOND)
    assert stage.reported()[-1] == "endpoint_recovered"


def test_a_removed_replica_that_refuses_is_of_no_more_interest() -> None:
    stage, client = at_the_caller(1)
    client.ask("1")
    stage.swap(service(0))
    stage.upstream().say(b"refused", b'"1"')
    stage.pass_time(SECOND)
    assert client.codes() == {"1": "no_endpoints"}
    assert stage.reported() == []
