"""A snapshot swapped in under what is in flight."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from core.exchange.stage import Stage, encoded, endpoints, service
from tcpservice.snapshot import MILLISECOND, SECOND, Algorithm, Limits, MatchType, RetryConstraint, Route, Timeouts


def test_a_new_replica_gets_messages_and_a_removed_one_finishes_what_it_has() -> None:
    stage = Stage(service(1))
    client = stage.client()
    client.ask("1")
    old = stage.upstream("r0")
    stage.swap(service(2, endpoints=endpoints(2)[1:]))
    client.ask("2")
    new = stage.upstream("r1")
    assert new.ids == ["2"]
    assert old.is_open()
    old.part("1", "still")
    old.reply("1", "here")
    assert not old.is_open()
    assert not old.aborted
    new.reply("2")
    assert stage.codes() == ["ok", "ok"]
    assert stage.reported() == []


def test_an_idle_replica_that_is_removed_is_let_go_at_once() -> None:
    stage = Stage(service(2))
    client = stage.client()
    for number in range(10):
        client.ask(str(number))
    for upstream in stage.upstreams:
        for id_ in upstream.ids:
            upstream.reply(id_)
    stage.swap(service(2, endpoints=endpoints(4)[2:]))
    assert [upstream.is_open() for upstream in stage.upstreams] == [False, False]


def test_a_removed_replica_that_dies_under_its_last_messages() -> None:
    stage = Stage(service(1))
    client = stage.client()
    client.ask("1")
    stage.swap(service(0))
    stage.upstream().drop()
    assert client.codes() == {"1": "connection_closed"}
    stage.pass_time(20 * SECOND)
    assert len(stage.upstreams) == 1


def test_a_replica_that_is_down_when_it_is_removed_is_dialled_no_more() -> None:
    stage = Stage(service(2))
    stage.refusing = {"r0"}
    client = stage.client()
    for number in range(8):
        client.ask(str(number))
    stage.swap(service(2, endpoints=endpoints(2)[1:]))
    dialled = len(stage.upstreams)
    stage.pass_time(20 * SECOND)
    assert len(stage.upstreams) == dialled


def test_a_service_that_goes_away_answers_and_comes_back() -> None:
    stage = Stage(service(1))
    client = stage.client()
    stage.swap()
    client.ask("1")
    assert client.codes() == {"1": "no_endpoints"}
    stage.swap(service(1))
    client.ask("2")
    stage.upstream().reply("2")
    assert stage.codes() == ["no_endpoints", "ok"]


def test_new_values_hold_for_the_next_message() -> None:
    route = Route(name="new", match=MatchType.EXACT, pattern="sum", timeouts=Timeouts(request=SECOND))
    changed = service(
        1, routes=(route,), algorithm=Algorithm.ROUND_ROBIN, limits=Limits(max_frame_size=100),
        retry_constraint=RetryConstraint(percent=1),
    )  # fmt: skip
    stage = Stage(service(1))
    client = stage.client()
    client.ask("old")
    stage.swap(changed)
    client.ask("new")
    client.ask("big", data="x" * 100)
    stage.pass_time(2 * SECOND)
    assert client.codes() == {"big": "frame_too_large", "new": "timeout"}
    assert stage.exchange.services()[0].algorithm == "RoundRobin"


@pytest.mark.parametrize(("before", "after", "code"), [(1000, 100, "frame_too_large"), (100, 1000, "ok")])
def test_a_new_limit_on_frames_holds_for_the_connections_that_there_are(before: int, after: int, code: str) -> None:
    stage = Stage(service(1, limits=Limits(max_frame_size=before)))
    client = stage.client()
    client.ask("reply")
    client.ask("request")
    stage.swap(service(1, limits=Limits(max_frame_size=after)))
    client.ask("large", data="x" * 200)
    assert ("large" in stage.upstream().ids) is (code == "ok")
    stage.upstream().reply("reply", "x" * 200)
    stage.upstream().reply("request")
    assert [row.code for row in stage.rows] == [code, "ok"]


def test_messages_that_wait_go_to_a_replica_that_comes() -> None:
    stage = Stage(service(1, limits=Limits(max_requests_per_replica=1)))
    client = stage.client()
    client.ask("1")
    client.ask("2")
    stage.swap(service(2, limits=Limits(max_requests_per_replica=1)))
    assert stage.upstream("r1").ids == ["2"]
    assert not client.is_paused()


def test_only_replicas_that_serve_are_chosen_and_ready_ones_first() -> None:
    ready, leaving, gone = endpoints(3)
    leaving = replace(leaving, ready=False, terminating=True)
    gone = replace(gone, ready=False, serving=False)
    stage = Stage(service(0, endpoints=(ready, leaving, gone)))
    client = stage.client()
    for number in range(20):
        client.ask(str(number))
    assert [upstream.name for upstream in stage.upstreams] == ["r0"]
    assert [replica.state for replica in stage.exchange.services()[0].endpoints] == ["healthy", "leaving", "idle"]
    stage.swap(service(0, endpoints=(leaving, gone)))
    client.ask("20")
    assert stage.upstream().name == "r1"
    stage.swap(service(0, endpoints=(gone,)))
    client.ask("21")
    assert client.codes() == {"21": "no_endpoints"}


def test_what_people_may_see() -> None:
    stage = Stage(service(3))
    stage.refusing, stage.hanging = {"r0"}, {"r1"}
    client = stage.client()
    for number in range(30):
        client.ask(str(number))
    (seen,) = stage.exchange.services()
    assert (seen.service, seen.algorithm, seen.waiting) == ("shop/orders", "LeastRequest", 0)
    assert [replica.state for replica in seen.endpoints] == ["ejected", "connecting", "healthy"]
    assert sum(replica.in_flight for replica in seen.endpoints) == 30
    assert seen.endpoints[0].failures > 0
    assert seen.endpoints[0].address == "10.0.0.0:3000"


def test_the_apps_rules_follow_the_snapshot() -> None:
    stage = Stage(service(0))
    stage.exchange.add_app(stage.services[0], endpoints(1)[0], stage.now)
    stage.swap(service(0, limits=Limits(max_frame_size=100)))
    other = stage.sidecar()
    other.ask("big", data="x" * 200)
    other.send_bytes(encoded({"pattern": "a", "data": 1, "id": "small"}))
    assert other.codes() == {"big": "frame_too_large"}
    assert stage.upstream().ids == ["small"]


def test_a_removed_replica_that_owes_replies_only_to_requests_that_have_ended_is_let_go_at_once() -> None:
    stage = Stage(service(1, timeouts=Timeouts(request=SECOND)))
    client = stage.client()
    client.ask("1")
    stage.pass_time(2 * SECOND)
    assert client.codes() == {"1": "timeout"}
    stage.swap(service(0))
    assert not stage.upstream().is_open()


def test_a_replica_with_the_address_of_another_has_its_own_name() -> None:
    stage = Stage(service(1))
    client = stage.client()
    client.ask("1")
    stage.upstream().reply("1")
    (address,) = endpoints(1)
    stage.swap(service(0, endpoints=(replace(address, name="new"),)))
    client.ask("2")
    stage.upstream().reply("2")
    assert [row.endpoint for row in stage.rows] == ["r0", "new"]


def test_an_ejected_replica_whose_pod_becomes_ready_is_dialled_at_once() -> None:
    here, there = endpoints(2)
    stage = Stage(service(endpoints=(here, there)))
    stage.refusing = {"r1"}
    client = stage.client()
    for number in range(10):
        client.ask(str(number))
    stage.swap(service(endpoints=(here, replace(there, ready=False))))
    stage.pass_time(120 * SECOND)  # its backoff is long by now
    dials = len(stage.upstreams)
    stage.refusing = set()
    stage.swap(service(endpoints=(here, replace(there, ready=False))))
    stage.pass_time(10 * MILLISECOND)
    assert len(stage.upstreams) == dials, "not ready yet"
    stage.swap(service(endpoints=(here, there)))
    stage.pass_time(10 * MILLISECOND)
    assert len(stage.upstreams) == dials + 1
    assert stage.upstream("r1").is_open()


def test_a_replica_that_works_is_not_dialled_when_its_pod_becomes_ready() -> None:
    stage = Stage(service(endpoints=tuple(replace(each, ready=False) for each in endpoints(1))))
    stage.client().ask("1")
    dials = len(stage.upstreams)
    stage.swap(service(1))
    stage.pass_time(10 * MILLISECOND)
    assert len(stage.upstreams) == dials


def test_a_dial_that_is_on_is_enough_when_a_pod_becomes_ready() -> None:
    stage = Stage(service(endpoints=tuple(replace(each, ready=False) for each in endpoints(1))))
    stage.refusing = {"r0"}
    stage.client().ask("1")
    stage.refusing, stage.hanging = set(), {"r0"}
    stage.pass_time(SECOND // 2)
    dials = len(stage.upstreams)
    stage.swap(service(1))
    stage.pass_time(SECOND // 10)
    assert len(stage.upstreams) == dials
