"""The pod's own app as others see it: absent until it listens, while it is made anew, and back again."""

from __future__ import annotations

import pytest

from core.exchange.stage import Client, Stage, endpoints, service
from tcpservice.exchange import Bounds
from tcpservice.snapshot import SECOND, Endpoint, Protocol, Retry

BACK, GOAWAY = b"back", b"goaway"


def pod(*, listens: bool = True, bounds: Bounds | None = None) -> tuple[Stage, Client]:
    """Make a replica's sidecar, and one that calls it."""
    stage = Stage(service(0), bounds=bounds)
    stage.exchange.add_app(stage.services[0], endpoints(1)[0], stage.now)
    if not listens:
        stage.refusing.add("r0")
    other = stage.sidecar()
    return stage, other


def test_others_are_sent_away_until_the_app_listens() -> None:
    stage, early = pod(listens=False)
    own = stage.client()
    stage.exchange.expect_apps(stage.now)
    stage.carry()
    stage.pass_time(SECOND)
    assert stage.reported() == [], "an app that has not started yet is no failure"
    late = stage.sidecar()
    assert (early.words, late.words) == ([GOAWAY], [GOAWAY])
    assert own.raw == b""
    stage.refusing.clear()
    stage.pass_time(10 * SECOND)
    assert (early.words, late.words) == ([GOAWAY, BACK], [GOAWAY, BACK])
    assert stage.sidecar().words == []


def test_a_port_that_services_with_different_pods_share_leads_to_this_app_only() -> None:
    stage = Stage(service(2, inbound_to_app=True))
    stage.exchange.add_app(stage.services[0], Endpoint(host="localhost", port=3001, name="own"), stage.now)
    stranger, own = stage.client(inbound=True), stage.client()
    for number in range(4):
        stranger.ask(f"a{number}")
        own.ask(f"b{number}")
    assert {stage.holder(f"a{number}").name for number in range(4)} == {"own"}
    assert {stage.holder(f"b{number}").name for number in range(4)} == {"r0", "r1"}
    stage.swap(service(2))
    for number in range(4, 8):
        stranger.ask(f"a{number}")
    assert {stage.holder(f"a{number}").name for number in range(4, 8)} == {"r0", "r1"}, "balanced from now on"
    stage.swap(service(2, pool_size=1))
    assert stranger.is_open(), "another change leaves it"
    for number in range(8):
        stage.holder(f"a{number}").reply(f"a{number}", number)
    assert {packet["id"]: packet["response"] for packet in stranger.packets} == {f"a{n}": n for n in range(8)}
    stage.swap(service(2, inbound_to_app=True))
    stranger.ask("a8")
    assert stage.holder("a8").name == "own", "a caller keeps one connection for life, so it is led elsewhere at once"


def test_an_inbound_listener_without_an_app_of_its_own_balances() -> None:
    stage = Stage(service(2, inbound_to_app=True))
    stage.client(inbound=True).ask("1")
    assert stage.holder("1").name in ("r0", "r1")


def test_an_app_that_listens_is_known_at_once() -> None:
    stage, other = pod()
    stage.exchange.expect_apps(stage.now)
    stage.carry()
    assert other.words == [GOAWAY, BACK]
    other.ask("1")
    stage.upstream().reply("1")
    assert [packet["id"] for packet in other.packets] == ["1"]
    assert len(stage.upstreams) == 1, "the first connection is the one that is used"


def test_others_are_told_of_an_app_that_is_lost_before_what_it_had_is_refused() -> None:
    stage, other = pod()
    other.ask("1")
    stage.refusing.add("r0")
    stage.upstream().drop()
    other.ask("2")
    assert other.words == [GOAWAY, b'lost "1"', b'refused "2"']
    stage.refusing.clear()
    stage.pass_time(10 * SECOND)
    assert other.words[3:] == [BACK]


def test_events_wait_for_the_app_as_nobody_can_be_told_that_they_were_refused() -> None:
    stage, other = pod(listens=False)
    other.emit("created", 1)
    stage.pass_time(2 * SECOND)
    assert stage.rows == []
    stage.refusing.clear()
    stage.pass_time(2 * SECOND)
    assert stage.codes() == ["ok"]
    assert [packet["data"] for packet in stage.upstream().packets if packet["pattern"] == "created"] == [1]


def test_events_do_not_wait_for_ever() -> None:
    stage, other = pod(listens=False, bounds=Bounds(queue_timeout=SECOND))
    other.emit("created", 1)
    stage.pass_time(5 * SECOND)
    assert stage.codes() == ["no_endpoints"]


def test_others_choose_others_while_an_app_is_made_anew() -> None:
    stage, other = pod()
    other.ask("1")
    stage.exchange.stop_apps(stage.now)
    stage.exchange.stop_apps(stage.now)
    stage.carry()
    assert other.words == [GOAWAY]
    stage.upstream().reply("1")
    assert [packet["id"] for packet in other.packets] == ["1"], "what was on its way is served"
    stage.upstream().drop()
    stage.pass_time(SECOND)
    assert other.words == [GOAWAY, BACK]


def test_the_end_of_an_app_is_seen_that_had_no_connection() -> None:
    stage, other = pod()
    stage.exchange.stop_apps(stage.now)
    stage.carry()
    stage.pass_time(SECOND)
    assert other.words == [GOAWAY], "a connection that can still be made means nothing yet"
    stage.upstream().drop()
    stage.pass_time(SECOND)
    assert other.words == [GOAWAY, BACK]


def test_an_app_that_does_not_stop_after_all_is_back_in_the_end() -> None:
    stage, other = pod()
    stage.exchange.stop_apps(stage.now)
    stage.carry()
    stage.pass_time(50 * SECOND)
    assert other.words == [GOAWAY]
    stage.pass_time(20 * SECOND)
    assert other.words == [GOAWAY, BACK]


def test_an_app_that_restarts_twice_has_all_its_time_to_stop_the_second_time() -> None:
    stage, other = pod(bounds=Bounds(app_stop=60 * SECOND))
    other.ask("1")
    stage.exchange.stop_apps(stage.now)
    stage.carry()
    stage.upstream().drop()
    stage.pass_time(30 * SECOND)
    assert other.words == [GOAWAY, b'lost "1"', BACK]
    stage.exchange.stop_apps(stage.now)
    stage.carry()
    stage.pass_time(50 * SECOND)
    assert other.words[3:] == [GOAWAY]
    stage.pass_time(20 * SECOND)
    assert other.words[3:] == [GOAWAY, BACK]


def test_a_pod_that_ends_calls_nobody_back() -> None:
    stage, other = pod(listens=False)
    stage.exchange.expect_apps(stage.now)
    stage.carry()
    stage.exchange.withdraw()
    stage.carry()
    stage.refusing.clear()
    stage.pass_time(SECOND)
    assert other.words == [GOAWAY, GOAWAY]


def test_whether_an_app_of_another_protocol_listens_is_left_to_whoever_connects() -> None:
    stage = Stage(service(0, protocol=Protocol.OPAQUE))
    stage.exchange.add_app(stage.services[0], endpoints(1)[0], stage.now)
    stage.exchange.expect_apps(stage.now)
    stage.exchange.stop_apps(stage.now)
    stage.pass_time(SECOND)
    assert stage.upstreams == []
    other = stage.sidecar("shop/orders", "opaque")
    stage.exchange.withdraw()
    assert other.raw == b"TCPS/1 shop/orders -\n"


def test_opaque_bytes_are_all_that_an_opaque_caller_gets() -> None:
    stage = Stage(service(0, protocol=Protocol.OPAQUE))
    stage.exchange.add_app(stage.services[0], endpoints(1)[0], stage.now)
    stage.exchange.withdraw()
    assert stage.sidecar("shop/orders", "opaque").raw == b"TCPS/1 shop/orders -\n"


@pytest.mark.parametrize("down", [False, True])
def test_a_replica_whose_app_is_back_is_chosen_again(*, down: bool) -> None:
    stage = Stage(service(2, mesh=True, retry=Retry(attempts=2)))
    client = stage.client()
    for number in range(8):
        client.ask(number)
    (first, second) = (stage.upstream("r0"), stage.upstream("r1"))
    first.say(GOAWAY)
    if down:
        first.say(b"refused", b"%d" % first.ids[0])
    for number in range(10, 20):
        client.ask(number)
    assert not set(first.ids) & set(range(10, 20))
    first.say(BACK)
    first.say(BACK)
    for number in range(20, 40):
        client.ask(number)
    assert set(first.ids) & set(range(20, 40))
    assert second.is_open()
    assert stage.reported().count("endpoint_recovered") == 1


def test_the_end_of_an_app_is_seen_whose_connection_was_replaced_before() -> None:
    stage, other = pod(bounds=Bounds(unanswered=2))
    for number in range(4):
        other.ask(f"request number {number}")
    stage.exchange.stop_apps(stage.now)
    stage.carry()
    for number in range(4):
        other.say(b"cancel", b'"request number %d"' % number)
    assert not stage.upstreams[0].is_open(), "it owed too many replies"
    stage.pass_time(SECOND)
    stage.upstream().drop()
    stage.pass_time(SECOND)
    assert other.words == [GOAWAY, BACK]


@pytest.mark.parametrize("owes", [True, False])
def test_a_sidecar_whose_connection_was_replaced_is_heard_when_its_app_is_back(*, owes: bool) -> None:
    stage = Stage(service(1, mesh=True), bounds=Bounds(unanswered=2))
    client = stage.client()
    client.ask("a request that is answered")
    for number in range(3):
        leaver = stage.client()
        leaver.ask(f"request number {number}")
        if number == 2:
            stage.upstream().say(GOAWAY, b"app")
        leaver.drop()
    first = stage.upstreams[0]
    if owes:
        first.reply("a request that is answered")
    else:
        first.drop()
    stage.pass_time(SECOND)
    assert not first.is_open()
    assert stage.upstream().is_open()
    client.ask("another request")
    assert "another request" in stage.upstream().ids


def test_an_unused_connection_to_an_app_that_is_about_to_stop_stays() -> None:
    stage, other = pod(bounds=Bounds(connection_idle=SECOND, app_stop=60 * SECOND))
    other.ask("1")
    stage.upstream().reply("1")
    stage.exchange.stop_apps(stage.now)
    stage.pass_time(10 * SECOND)
    assert stage.upstream().is_open()
    stage.upstream().drop()
    stage.pass_time(SECOND)
    assert other.words == [GOAWAY, BACK]


def test_an_app_that_restarts_while_it_is_dialled_is_not_dialled_twice() -> None:
    stage, other = pod()
    stage.hanging = {"r0"}
    other.ask("1")
    stage.exchange.stop_apps(stage.now)
    stage.carry()
    assert len(stage.upstreams) == 1
    assert stage.connect("r0").ids == ["1"]


def test_an_app_that_accepts_connections_and_answers_nothing_is_not_back() -> None:
    stage, other = pod(bounds=Bounds(probe_after=2 * SECOND, probe_timeout=SECOND))
    other.ask("1")
    stage.silent.add("r0")
    stage.pass_time(60 * SECOND)
    assert other.words == [GOAWAY, b'lost "1"']
    assert len(stage.upstreams) > 3, "it is connected to again and again"
    stage.silent.clear()
    stage.pass_time(60 * SECOND)
    assert other.words[2:] == [BACK]


def test_an_app_that_answers_no_probe_is_back_when_it_is_on_probation() -> None:
    stage, other = pod()
    other.ask("1")
    stage.silent.add("r0")
    stage.upstream().drop()
    stage.pass_time(SECOND // 2)
    assert other.words == [GOAWAY, b'lost "1"']
    stage.pass_time(5 * SECOND)
    assert other.words[2:] == [BACK]
    other.ask("2")
    stage.upstream().reply("2")
    assert other.packets[-1]["id"] == "2"


def test_an_app_whose_end_is_not_seen_is_found_out() -> None:
    """The connection was severed: it shows neither the end of the app nor that it is back."""
    stage, other = pod(bounds=Bounds(probe_after=2 * SECOND, probe_timeout=SECOND))
    other.ask("1")
    severed = stage.upstream()
    severed.reply("1")
    stage.exchange.stop_apps(stage.now)
    stage.silent.add("r0")
    stage.pass_time(2 * SECOND)
    assert severed.is_open()
    stage.pass_time(2 * SECOND)
    assert not severed.is_open()
    stage.silent.clear()
    stage.pass_time(10 * SECOND)
    assert other.words == [GOAWAY, BACK]


def test_an_app_that_stops_slowly_answers_probes_until_then() -> None:
    stage, other = pod(bounds=Bounds(probe_after=2 * SECOND, probe_timeout=SECOND))
    other.ask("1")
    app = stage.upstream()
    app.reply("1")
    stage.exchange.stop_apps(stage.now)
    stage.pass_time(10 * SECOND)
    assert app.is_open()
    assert len(stage.probes) >= 4
    assert other.words == [GOAWAY]
