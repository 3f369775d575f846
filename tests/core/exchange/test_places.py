"""Who is chosen, who must wait, and what bounds the memory."""

from __future__ import annotations

from collections import Counter

import pytest
from msgspec.structs import replace

from core.exchange.stage import Stage, encoded, service
from tcpservice.exchange import Bounds
from tcpservice.snapshot import SECOND, Algorithm, Limits, MatchType, Route, Service, Timeouts


@pytest.mark.parametrize("algorithm", Algorithm)
def test_one_callers_messages_are_spread_evenly(algorithm: Algorithm) -> None:
    stage = Stage(service(3, algorithm=algorithm))
    client = stage.client()
    for number in range(900):
        client.ask(str(number))
        stage.holder(str(number)).reply(str(number))
    shares = Counter(row.endpoint for row in stage.rows)
    assert len(stage.upstreams) == 3
    assert all(250 <= shares[name] <= 350 for name in ("r0", "r1", "r2"))


def test_a_slow_replica_gets_less() -> None:
    stage = Stage(service(3))
    client = stage.client()
    for number in range(300):
        client.ask(str(number))
        if (holder := stage.holder(str(number))).name != "r0":
            holder.reply(str(number))
    assert len(next(u for u in stage.upstreams if u.name == "r0").ids) < 10


def test_above_the_limit_messages_wait_and_keep_their_order() -> None:
    stage = Stage(service(1, limits=Limits(max_requests_per_replica=2)))
    one, other = stage.client(), stage.client()
    one.send(*({"pattern": "a", "data": n, "id": f"a{n}"} for n in range(4)))
    other.ask("b0")
    replica = stage.upstream()
    assert replica.ids == ["a0", "a1"]
    assert stage.exchange.services()[0].waiting == 3
    one.ask("a4")
    for place in range(6):
        replica.reply(replica.ids[place])
    assert [id_ for id_ in replica.ids if id_.startswith("a")] == ["a0", "a1", "a2", "a3", "a4"]
    assert set(stage.codes()) == {"ok"}
    assert len(stage.rows) == 6


def test_a_message_that_waits_too_long_is_answered() -> None:
    stage = Stage(service(1, limits=Limits(max_requests_per_replica=1)), bounds=Bounds(queue_timeout=SECOND))
    client = stage.client()
    client.send(*({"pattern": "a", "data": n, "id": n} for n in range(3)), {"pattern": "event", "data": 1})
    client.half_close()
    stage.pass_time(2 * SECOND)
    assert client.codes() == {1: "overloaded", 2: "overloaded"}
    assert stage.codes() == ["overloaded"] * 3
    assert stage.reported() == ["overloaded"]
    assert client.is_open()
    stage.upstream().reply(0)
    assert not client.is_open()
    assert [packet["id"] for packet in client.packets] == [1, 2, 0]


def test_a_message_waits_no_longer_for_a_place_than_for_its_answer() -> None:
    patient = Route(name="b", match=MatchType.EXACT, pattern="b", timeouts=Timeouts(request=5 * SECOND))
    stage = Stage(
        service(
            1, limits=Limits(max_requests_per_replica=1), timeouts=Timeouts(request=2 * SECOND),
            routes=(patient, replace(patient, name="c", pattern="c", timeouts=Timeouts())),
        )
    )  # fmt: skip
    client = stage.client()
    client.send(*({"pattern": pattern, "data": n, "id": n} for n, pattern in enumerate("cabac")))
    stage.pass_time(3 * SECOND)
    assert client.codes() == {1: "timeout", 3: "timeout"}
    assert stage.codes() == ["timeout"] * 2
    stage.pass_time(3 * SECOND)
    assert client.codes() == {1: "timeout", 2: "timeout", 3: "timeout"}
    stage.upstream().reply(0)
    stage.upstream().reply(4)
    assert stage.reported() == []


def test_an_event_waits_longer_than_a_request_may_take() -> None:
    stage = Stage(
        service(0, awaited=True, timeouts=Timeouts(request=2 * SECOND)), bounds=Bounds(queue_timeout=9 * SECOND)
    )
    client = stage.client()
    client.emit()
    client.ask("1")
    stage.pass_time(3 * SECOND)
    assert client.codes() == {"1": "timeout"}
    assert stage.codes() == ["timeout"]
    stage.pass_time(7 * SECOND)
    assert stage.codes() == ["timeout", "no_endpoints"]


def test_messages_wait_for_replicas_that_nobody_has_told_of() -> None:
    stage = Stage(service(0, awaited=True))
    client = stage.client()
    client.ask("1")
    client.ask("2")
    stage.swap(service(1))
    for id_ in ("1", "2"):
        stage.upstream().reply(id_)
    assert stage.codes() == ["ok", "ok"]


@pytest.mark.parametrize("told", [service(0), None], ids=["none", "gone"])
def test_messages_end_once_it_is_told_that_there_is_no_replica(told: Service | None) -> None:
    stage = Stage(service(0, awaited=True))
    client = stage.client()
    client.ask("1")
    stage.swap(*([told] if told else []))
    assert client.codes() == {"1": "no_endpoints"}


def test_replicas_are_not_awaited_for_ever() -> None:
    stage = Stage(service(0, awaited=True), bounds=Bounds(queue_timeout=SECOND))
    client = stage.client()
    client.ask("1")
    stage.pass_time(SECOND // 2)
    assert client.codes() == {}
    stage.pass_time(SECOND)
    assert client.codes() == {"1": "no_endpoints"}
    assert stage.reported() == ["no_endpoints"]


def test_what_cannot_be_read_closes_its_connection_once_earlier_messages_have_ended() -> None:
    stage = Stage(service(1, limits=Limits(max_requests_per_replica=1)), bounds=Bounds(queue_timeout=SECOND))
    client = stage.client()
    client.ask(0)
    client.ask(1)
    client.send_bytes(encoded("{bad}") + encoded({"pattern": "a", "data": 1, "id": 2}))
    assert stage.reported() == ["downstream_malformed"]
    stage.upstream().reply(0)
    stage.upstream().reply(1)
    assert [packet["id"] for packet in client.packets] == [0, 1]
    assert not client.is_open()


def test_a_caller_that_leaves_while_it_waits_is_forgotten() -> None:
    stage = Stage(service(1, limits=Limits(max_requests_per_replica=1)))
    one, other = stage.client(), stage.client()
    one.ask("1")
    other.ask("2")
    other.drop()
    stage.upstream().reply("1")
    assert stage.upstream().ids == ["1"]
    assert stage.exchange.services()[0].waiting == 0


@pytest.mark.parametrize(
    "bounds",
    [Bounds(downstream_requests=2), Bounds(downstream_bytes=80), Bounds(request_bytes=2000)],
    ids=["count", "own", "all"],
)
def test_what_one_caller_may_have_in_flight_is_bounded(bounds: Bounds) -> None:
    stage = Stage(service(1), bounds=bounds)
    client = stage.client()
    for number in range(5):
        client.ask(str(number))
    replica = stage.upstream()
    assert replica.ids == ["0", "1"]
    assert client.is_paused()
    replica.reply("1")
    assert replica.ids == ["0", "1", "2"]
    for id_ in ("0", "2", "3", "4"):
        replica.reply(id_)
    assert len(client.packets) == 5
    assert not client.is_paused()


def test_a_caller_at_its_bound_does_not_hold_up_others() -> None:
    stage = Stage(service(1), bounds=Bounds(downstream_requests=1))
    greedy, modest = stage.client(), stage.client()
    greedy.ask("1")
    greedy.ask("2")
    modest.ask("3")
    assert stage.upstream().ids == ["1", "3"]


def test_a_caller_at_its_limit_goes_on_when_the_replica_that_holds_its_request_goes() -> None:
    stage = Stage(service(2), bounds=Bounds(downstream_requests=1))
    client = stage.client()
    client.ask("1")
    client.ask("2")
    stage.holder("1").drop()
    assert client.codes() == {"1": "connection_closed"}
    assert stage.holder("2").name != stage.holder("1").name


def test_a_caller_that_disconnects_gives_nobody_else_a_place() -> None:
    stage = Stage(service(1), bounds=Bounds(downstream_requests=1))
    greedy, leaving = stage.client(), stage.client()
    greedy.ask("1")
    greedy.ask("2")
    leaving.drop()
    assert stage.upstream().ids == ["1"]
    stage.upstream().reply("1")
    assert stage.upstream().ids == ["1", "2"]


def test_a_replica_that_takes_no_bytes_is_not_chosen() -> None:
    stage = Stage(service(2), bounds=Bounds(upstream_backlog=100))
    client = stage.client()
    for number in range(10):
        client.ask(str(number))
    stuck, sound = stage.upstreams
    for upstream in (stuck, sound):
        upstream.hold(0)
    stuck.hold(200)
    before = len(stuck.ids)
    for number in range(10, 12):
        client.ask(str(number))
    assert len(stuck.ids) == before
    sound.hold(200)
    client.ask("12")
    assert stage.exchange.services()[0].waiting == 1
    sound.hold(0)
    assert sound.ids[-1] == "12"


def test_as_many_bytes_as_a_replica_may_buffer_and_no_more() -> None:
    stage = Stage(service(1, limits=Limits(max_frame_size=1000)), bounds=Bounds(upstream_backlog=1 << 30))
    client = stage.client()
    for number in range(9):
        client.ask(str(number), data="x" * 900)
    replica = stage.upstream()
    assert len(replica.ids) == 4, "one more could exceed four frames of the largest size"
    for id_ in range(9):
        replica.reply(str(id_))
    assert len(client.packets) == 9


def test_a_service_without_replicas_answers_at_once() -> None:
    stage = Stage(service(0))
    client = stage.client()
    client.ask("1")
    client.emit()
    assert client.codes() == {"1": "no_endpoints"}
    assert stage.codes() == ["no_endpoints", "no_endpoints"]


def test_a_caller_at_the_head_of_the_queue_that_has_no_place_of_its_own_lets_others_pass() -> None:
    stage = Stage(service(1, limits=Limits(max_requests_per_replica=3)), bounds=Bounds(downstream_requests=2))
    one, other = stage.client(), stage.client()
    one.send(*({"pattern": "a", "data": 1, "id": f"a{n}"} for n in range(3)))
    other.send(*({"pattern": "a", "data": 1, "id": f"b{n}"} for n in range(2)))
    replica = stage.upstream()
    assert replica.ids == ["a0", "a1", "b0"]
    replica.reply("b0")
    assert replica.ids == ["a0", "a1", "b0", "b1"]


def test_requests_that_hold_no_place_free_their_bytes_once() -> None:
    stage = Stage(service(1, limits=Limits(max_frame_size=1000)))
    client = stage.client()
    for number in range(5):
        client.ask(f"stream {number}", data="x" * 900)
        stage.upstream().part(f"stream {number}", 1)
        stage.upstream().reply(f"stream {number}")
    for number in range(9):
        client.ask(f"request {number}", data="x" * 900)
    assert len([id_ for id_ in stage.upstream().ids if id_.startswith("request")]) == 4


def test_the_time_in_the_queue_counts_from_the_arrival_of_a_message() -> None:
    timeouts = Timeouts(connect=4 * SECOND)
    stage = Stage(
        service(1, timeouts=timeouts), bounds=Bounds(queue_timeout=10 * SECOND, unreachable_grace=60 * SECOND)
    )
    stage.hanging = {"r0"}
    stage.client().emit()
    stage.pass_time(9 * SECOND)
    assert stage.exchange.services()[0].waiting == 1
    stage.pass_time(2 * SECOND)
    assert stage.codes() == ["no_endpoints"]
