"""A service that cannot be reached behaves as a closed port, and is back as soon as one endpoint is."""

from __future__ import annotations

from core.exchange.stage import Stage, endpoints, service
from tcpservice.exchange import Bounds
from tcpservice.snapshot import MILLISECOND, SECOND, Timeouts

GRACE = Bounds(unreachable_grace=2 * SECOND)


def test_a_caller_that_sends_nothing_learns_that_the_service_is_down() -> None:
    stage = Stage(service(3), bounds=GRACE)
    stage.refusing = {"r0", "r1", "r2"}
    client = stage.client()
    stage.pass_time(3 * SECOND)
    assert not client.is_open()
    assert stage.refusing_connections == {"shop/orders"}


def test_the_port_opens_within_a_second_of_the_first_endpoint() -> None:
    stage = Stage(service(3), bounds=GRACE)
    stage.refusing = {"r0", "r1", "r2"}
    stage.client()
    stage.pass_time(60 * SECOND)
    assert stage.refusing_connections
    stage.refusing = {"r0", "r2"}
    stage.pass_time(700 * MILLISECOND)
    assert not stage.refusing_connections
    client = stage.client()
    client.ask("1")
    stage.upstream("r1").reply("1")
    assert stage.codes() == ["ok"]


def test_a_short_outage_closes_nothing() -> None:
    stage = Stage(service(1), bounds=GRACE)
    client = stage.client()
    client.ask("1")
    stage.refusing = {"r0"}
    stage.upstream().drop()
    stage.pass_time(SECOND)
    stage.refusing = set()
    stage.pass_time(10 * SECOND)
    assert client.is_open()
    assert not stage.refusing_connections


def test_a_service_without_endpoints_is_closed_until_there_is_one() -> None:
    stage = Stage(service(0), bounds=GRACE)
    client = stage.client()
    stage.pass_time(3 * SECOND)
    assert not client.is_open()
    assert stage.refusing_connections
    assert stage.reported() == ["service_unreachable"]
    stage.swap(service(1))
    assert not stage.refusing_connections
    assert stage.reported() == ["service_unreachable", "service_reachable"]


def test_a_service_whose_endpoints_are_not_known_yet_is_not_closed() -> None:
    stage = Stage(service(0, awaited=True), bounds=GRACE)
    client = stage.client()
    stage.pass_time(30 * SECOND)
    assert client.is_open()


def test_other_sidecars_whose_apps_are_absent_are_no_endpoints() -> None:
    stage = Stage(service(2, mesh=True), bounds=GRACE)
    client = stage.client()
    for number in range(8):
        client.ask(f"n{number}")
    for name in ("r0", "r1"):
        for id_ in stage.upstream(name).ids:
            stage.upstream(name).reply(id_)
        stage.upstream(name).say(b"goaway", b"app")
    stage.pass_time(3 * SECOND)
    assert not client.is_open()
    assert stage.refusing_connections
    stage.upstream("r0").say(b"back")
    assert not stage.refusing_connections


def test_pods_that_leave_and_still_serve_keep_the_port_open() -> None:
    stage = Stage(service(1, mesh=True), bounds=GRACE)
    client = stage.client()
    client.ask("1")
    stage.upstream().say(b"goaway")
    stage.pass_time(30 * SECOND)
    assert client.is_open()
    client.ask("2")
    assert stage.upstream().ids == ["1", "2"]


def test_what_is_in_flight_when_the_port_closes_still_gets_its_reply() -> None:
    stage = Stage(service(1), bounds=GRACE)
    client = stage.client()
    client.ask("1")
    old = stage.upstream()
    stage.refusing = {"r1"}
    stage.swap(service(0, endpoints=endpoints(2)[1:]))
    client.ask("2")
    stage.pass_time(5 * SECOND)
    assert client.is_open()
    old.reply("1")
    stage.pass_time(SECOND)
    assert [packet["id"] for packet in client.packets if "response" in packet] == ["1"]
    assert not client.is_open()


def test_a_storm_of_messages_makes_no_storm_of_dials() -> None:
    stage = Stage(service(3, timeouts=Timeouts(request=SECOND)), bounds=GRACE)
    stage.refusing = {"r0", "r1", "r2"}
    client = stage.client()
    for number in range(100):
        client.ask(f"n{number}")
        stage.pass_time(MILLISECOND)
    assert len(stage.upstreams) < 15


def test_an_event_that_waits_when_the_port_closes_is_counted_as_lost() -> None:
    stage = Stage(service(1), bounds=GRACE)
    stage.refusing = {"r0"}
    client = stage.client()
    client.emit()
    stage.pass_time(SECOND)
    assert stage.codes() == []
    stage.pass_time(2 * SECOND)
    assert stage.codes() == ["no_endpoints"]
    assert not client.is_open()


def test_a_service_that_is_removed_is_not_reported_as_unreachable() -> None:
    stage = Stage(service(1), bounds=GRACE)
    client = stage.client()
    stage.swap()
    stage.pass_time(3 * SECOND)
    assert not client.is_open()
    assert stage.reported() == []
    assert [each.state for each in stage.exchange.services()] == ["removed"]
    stage.swap(service(1))
    assert [each.state for each in stage.exchange.services()] == ["reachable"]
