"""The connections to one endpoint: how many there are, and which one a caller's messages take."""

from __future__ import annotations

import pytest

from core.exchange.stage import Client, Stage, endpoints, service
from tcpservice.exchange import Bounds
from tcpservice.exchange.picking import BUSY
from tcpservice.exchange.records import UpstreamConnection
from tcpservice.snapshot import MILLISECOND, SECOND, MatchType, Route, Timeouts


def test_a_pool_of_a_size_spreads_callers_and_keeps_each_on_one_connection() -> None:
    stage = Stage(service(1, pool_size=4))
    clients = [stage.client() for _ in range(8)]
    for number in range(5):
        for who, client in enumerate(clients):
            client.ask(f"c{who}-{number}")
    assert len(stage.upstreams) == 4
    for who in range(8):
        holders = {stage.holder(f"c{who}-{number}").conn for number in range(5)}
        assert len(holders) == 1
    assert {len(upstream.ids) for upstream in stage.upstreams} == {10}


def test_without_a_size_one_connection_is_enough_for_a_quick_endpoint() -> None:
    stage = Stage(service(1))
    clients = [stage.client() for _ in range(20)]
    for number in range(10):
        for who, client in enumerate(clients):
            client.ask(f"c{who}-{number}")
        for id_ in stage.upstream().ids[-20:]:
            stage.upstream().reply(id_)
    assert len(stage.upstreams) == 1


def test_without_a_size_the_pool_grows_while_the_endpoint_is_busy_and_slow() -> None:
    stage = Stage(service(1))
    clients = [stage.client() for _ in range(40)]
    for number in range(12):
        for who, client in enumerate(clients):
            client.ask(f"c{who}-{number}")
        stage.pass_time(200 * MILLISECOND)
        for upstream in list(stage.upstreams):
            for id_ in upstream.ids:
                if id_.endswith(f"-{number}"):
                    upstream.reply(id_)
    assert len(stage.upstreams) == 4
    assert all(upstream.ids for upstream in stage.upstreams)


def test_the_pool_grows_only_while_all_its_connections_are_busy() -> None:
    stage = Stage(service(1))
    slow = stage.client()
    slow.ask("slow")
    stage.pass_time(2 * SECOND)
    stage.upstream().reply("slow")
    for number in range(2 * BUSY):
        stage.client().ask(f"request {number}")
    assert [len(upstream.ids) for upstream in stage.upstreams] == [1 + BUSY, BUSY]
    stage.client().ask("one more")
    assert stage.holder("one more") is stage.upstreams[2]


def test_the_order_of_a_caller_holds_while_the_pool_grows() -> None:
    stage = Stage(service(1))
    clients = [stage.client() for _ in range(20)]
    for number in range(6):
        for who, client in enumerate(clients):
            client.ask(f"c{who}-{number}a")
            client.ask(f"c{who}-{number}b")
        stage.pass_time(200 * MILLISECOND)
        for who in range(20):
            first, second = stage.holder(f"c{who}-{number}a"), stage.holder(f"c{who}-{number}b")
            assert first is second
            first.reply(f"c{who}-{number}a")
            first.reply(f"c{who}-{number}b")


def grow(stage: Stage, clients: list[Client]) -> None:
    """Let these callers make the only endpoint busy and slow until its pool has four connections; all are answered."""
    for number in range(12):
        for who, client in enumerate(clients):
            client.ask(f"grow {who}-{number}")
        stage.pass_time(200 * MILLISECOND)
        for upstream in list(stage.upstreams):
            for id_ in upstream.ids:
                if id_.endswith(f"-{number}"):
                    upstream.reply(id_)
    assert len(stage.upstreams) == 4


def test_what_follows_an_event_takes_its_connection_until_a_request_is_answered() -> None:
    stage = Stage(service(1))
    grow(stage, [stage.client() for _ in range(40)])
    client, others = stage.client(), [stage.client() for _ in range(8)]
    client.emit("first")
    holder = next(upstream for upstream in stage.upstreams if "first" in upstream.patterns)
    for number, other in enumerate(others):  # the least used connection is another one from now on
        other.ask(f"other {number}")
    client.emit("second")
    assert "second" in holder.patterns
    client.ask("third")
    assert stage.holder("third") is holder
    holder.reply("third")
    (endpoint,) = stage.exchange._state.upstreams["shop/orders"].endpoints.values()
    assert not endpoint.unread


def test_what_follows_a_request_that_was_given_up_takes_its_connection() -> None:
    stage = Stage(service(1, timeouts=Timeouts(request=60 * SECOND)))
    grow(stage, [stage.client() for _ in range(40)])
    client, others = stage.client(), [stage.client() for _ in range(8)]
    client.ask("given up")
    holder = stage.holder("given up")
    stage.pass_time(30 * SECOND)
    for number, other in enumerate(others):
        other.ask(f"other {number}")
    for number in range(len(others)):  # the least used connection is another one from now on
        if stage.holder(f"other {number}") is not holder:
            stage.holder(f"other {number}").reply(f"other {number}")
    stage.pass_time(31 * SECOND)
    assert client.codes() == {"given up": "timeout"}
    client.ask("next")
    assert stage.holder("next") is holder


@pytest.mark.parametrize("mesh", [False, True])
def test_what_follows_a_request_whose_connection_was_lost_takes_the_one_in_its_place(*, mesh: bool) -> None:
    """Behind another sidecar, the app may still have to read what the lost connection brought."""
    stage = Stage(service(1, mesh=mesh))
    grow(stage, [stage.client() for _ in range(40)])
    client, others = stage.client(), [stage.client() for _ in range(8)]
    client.ask("lost")
    slot = slot_of(stage, "lost")
    for number, other in enumerate(others):
        other.ask(f"other {number}")
    stage.holder("lost").drop()
    stage.pass_time(2 * SECOND)
    stage.client().ask("new")
    assert slot_of(stage, "new") == slot
    for upstream in stage.upstreams:  # the least used connection is another one from now on
        for id_ in upstream.ids:
            if upstream.is_open() and id_.startswith("other"):
                upstream.reply(id_)
    client.ask("next")
    assert slot_of(stage, "next") == slot


def slot_of(stage: Stage, id_: str) -> int:
    """Return the slot of the connection on which a request was seen last."""
    connection = stage.exchange._state.connections[stage.holder(id_).conn]
    assert isinstance(connection, UpstreamConnection)
    return int(connection.slot)


def test_a_request_that_is_given_up_hides_no_later_event_that_may_be_unread() -> None:
    short = Route(name="short", match=MatchType.EXACT, pattern="short", timeouts=Timeouts(request=SECOND))
    stage = Stage(service(1, timeouts=Timeouts(request=600 * SECOND), routes=(short,)))
    client = stage.client()
    client.ask("1", "short")
    client.ask("2")
    client.emit("event 3")
    replica = stage.upstream()
    assert "event 3" in replica.patterns
    stage.pass_time(2 * SECOND)
    replica.reply("2")  # which was written before the event
    replica.hold(Bounds().large)
    client.ask("4")
    assert stage.holder("4") is replica


def test_callers_that_have_left_are_forgotten_with_their_events() -> None:
    stage = Stage(service(1))
    client = stage.client()
    client.emit()
    (endpoint,) = stage.exchange._state.upstreams["shop/orders"].endpoints.values()
    assert len(endpoint.unread) == 1
    client.drop()
    assert not endpoint.unread


@pytest.mark.parametrize("size", [0, 4])
def test_connections_of_other_sidecars_with_the_same_place_have_the_same_connection_to_the_app(size: int) -> None:
    pod = Stage(service(0, pool_size=size))
    pod.exchange.add_app(pod.services[0], endpoints(1)[0], pod.now)
    grow(pod, [pod.sidecar("shop/orders", f"place={number}") for number in range(40)])
    for number in range(8):
        lost = pod.sidecar("shop/orders", f"place={number}")
        lost.emit(f"event {number}")
        holder = next(upstream for upstream in pod.upstreams if f"event {number}" in upstream.patterns)
        lost.drop()
        again = pod.sidecar("shop/orders", f"place={number}")
        again.ask(f"next {number}")
        assert pod.holder(f"next {number}") is holder
    assert all("event" in " ".join(upstream.patterns) for upstream in pod.upstreams)


def test_each_connection_to_another_sidecar_has_its_place_and_keeps_it() -> None:
    stage = Stage(service(1, mesh=True, pool_size=2), seed=7)
    for _ in range(2):
        for number in range(2):
            stage.client().ask(f"request {number}")
        for upstream in stage.upstreams:
            if upstream.is_open():
                upstream.drop()
        stage.pass_time(SECOND)
    prefaces = [upstream.preface for upstream in stage.upstreams if upstream.preface]
    places = [feature for preface in prefaces for feature in preface.features if feature.startswith("place=")]
    assert set(places) == {"place=8", "place=9"}
    assert len(places) >= 3


def test_another_sidecar_gets_a_pool_too_and_spreads_its_connections_over_that_of_its_app() -> None:
    stage = Stage(service(1, mesh=True, pool_size=4))
    for number in range(8):
        stage.client().ask(f"request {number}")
    assert [len(upstream.ids) for upstream in stage.upstreams] == [2, 2, 2, 2]
    pod = Stage(service(0, pool_size=4))
    pod.exchange.add_app(pod.services[0], endpoints(1)[0], pod.now)
    for number in range(8):
        pod.sidecar("shop/orders", f"place={number}").ask(f"request {number}")
    assert [len(upstream.ids) for upstream in pod.upstreams] == [2, 2, 2, 2]


def test_callers_that_have_left_hold_no_connection_of_a_pool() -> None:
    stage = Stage(service(1))
    clients = [stage.client() for _ in range(40)]
    grow(stage, clients)
    (endpoint,) = stage.exchange._state.upstreams["shop/orders"].endpoints.values()
    assert endpoint.slots
    for client in clients:
        client.drop()
    assert not endpoint.slots


def test_the_end_of_a_connection_that_was_replaced_leaves_its_successor_in_the_pool() -> None:
    short = Route(name="short", match=MatchType.EXACT, pattern="short", timeouts=Timeouts(request=SECOND))
    stage = Stage(service(1, routes=(short,)), bounds=Bounds(unanswered=2))
    client = stage.client()
    client.ask("long")
    for number in range(3):
        client.ask(f"short {number}", "short")
    stage.pass_time(2 * SECOND)
    client.ask("next")
    replaced = stage.holder("long")
    assert stage.holder("next") is not replaced
    replaced.reply("long")
    assert not replaced.is_open()
    client.ask("after")
    assert stage.holder("after") is stage.holder("next")


# A further connection that cannot be made

GIVEN_UP = SECOND + 100 * MILLISECOND


def caller_of_another_connection(stage: Stage) -> Client:
    """Return a caller for whose first event one more connection is dialled."""
    dials = len(stage.upstreams)
    for number in range(20):
        caller = stage.client()
        caller.emit(f"try {number}")
        if len(stage.upstreams) > dials:
            return caller
    raise AssertionError("no caller had another connection dialled")


@pytest.mark.parametrize("how", ["refused", "timed out"])
@pytest.mark.parametrize("count", [1, 2])
def test_an_endpoint_with_a_connection_that_works_is_not_ejected_for_another_one(how: str, count: int) -> None:
    stage = Stage(service(count, pool_size=2))
    first = stage.client()
    for number in range(count):
        first.ask(f"first {number}")
    names = {upstream.name for upstream in stage.upstreams}
    (stage.refusing if how == "refused" else stage.hanging).update(names)
    caller = caller_of_another_connection(stage)
    for number in range(4):
        caller.ask(f"request {number}")
        caller.emit(f"event {number}")
    stage.pass_time(GIVEN_UP)
    assert not stage.reported()
    assert stage.exchange.counts()["failed_pool_connections"] >= 1
    events = [pattern for each in stage.upstreams for pattern in each.patterns if pattern.startswith("event")]
    assert sorted(events) == [f"event {number}" for number in range(4)]
    for id_ in [f"request {number}" for number in range(4)] + [f"first {number}" for number in range(count)]:
        stage.holder(id_).reply(id_)
    assert set(stage.codes()) == {"ok"}


def test_messages_take_the_connection_that_works_in_order_and_the_pool_grows_later() -> None:
    stage = Stage(service(1, pool_size=2))
    stage.client().ask("first")
    stage.hanging = {"r0"}
    caller = caller_of_another_connection(stage)
    works = stage.upstreams[0]
    for number in range(3):
        caller.ask(f"queued {number}")
    assert works.ids == ["first"]
    stage.pass_time(GIVEN_UP)
    caller.ask("behind")
    assert works.ids == ["first", "queued 0", "queued 1", "queued 2", "behind"]
    dials = len(stage.upstreams)
    for number in range(4):
        stage.client().ask(f"meanwhile {number}")
    assert len(stage.upstreams) == dials, "the pool does not grow for a while"
    for id_ in list(works.ids):
        works.reply(id_)
    stage.pass_time(GIVEN_UP)
    stage.hanging = set()
    for number in range(4):
        stage.client().ask(f"later {number}")
    assert len(stage.upstreams) == dials + 1


def test_a_sidecar_whose_preface_is_late_is_probed_and_picked_last() -> None:
    stage = Stage(service(2, mesh=True, pool_size=2))
    first = stage.client()
    first.ask("a")
    first.ask("b")
    works = {upstream.name: upstream for upstream in stage.upstreams}
    stage.silent = set(works)
    caller_of_another_connection(stage)
    late = works.pop(stage.upstreams[-1].name)
    (other,) = works.values()
    stage.pass_time(GIVEN_UP)
    assert not stage.reported()
    probe = late.words[-1]
    for number in range(6):
        first.ask(f"elsewhere {number}")
        assert stage.holder(f"elsewhere {number}").name == other.name
    late.say(b"pong", probe.partition(b" ")[2])
    for number in range(12):
        first.ask(f"again {number}")
    assert {stage.holder(f"again {number}").name for number in range(12)} == {late.name, other.name}


def test_an_app_that_accepts_one_connection_only_gets_all_messages_on_it() -> None:
    pod = Stage(service(0, pool_size=4))
    pod.exchange.add_app(pod.services[0], endpoints(1)[0], pod.now)
    pod.sidecar("shop/orders", "place=0").ask("first")
    pod.refusing = {"r0"}
    others = [pod.sidecar("shop/orders", f"place={number}") for number in range(1, 4)]
    for number, other in enumerate(others):
        other.ask(f"request {number}")
        other.emit(f"event {number}")
    works = pod.upstreams[0]
    assert works.ids == ["first", "request 0", "request 1", "request 2"]
    pod.refusing = set()
    pod.pass_time(2 * SECOND)
    others[0].ask("in order")
    assert pod.holder("in order") is works, "what it sent before is on this connection"


@pytest.mark.parametrize("busy", [0, 1])
def test_of_the_connections_that_work_the_least_used_one_is_taken(busy: int) -> None:
    stage = Stage(service(1, pool_size=3))
    callers = [stage.client()]
    callers[0].emit("first")
    callers.append(caller_of_another_connection(stage))
    for number in range(3):
        callers[busy].ask(f"busy {number}")
    stage.refusing = {"r0"}
    caller_of_another_connection(stage).ask("next")
    assert stage.holder("next") is not stage.holder("busy 0")


def test_messages_wait_while_the_connections_that_work_take_no_more() -> None:
    stage = Stage(service(1, pool_size=2))
    stage.client().ask("first")
    stage.refusing = {"r0"}
    caller = caller_of_another_connection(stage)
    works = stage.upstreams[0]
    works.hold(1 << 30)
    caller.ask("waits")
    assert works.ids == ["first"]
    works.hold(0)
    stage.pass_time(SECOND)
    assert works.ids == ["first", "waits"]
