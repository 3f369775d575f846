"""The circuit breaker of an endpoint: ejected, probed, on probation, healthy again."""

from __future__ import annotations

import pytest

from core.exchange.stage import Stage, Upstream, service
from tcpservice.exchange import Bounds
from tcpservice.exchange.transitions import ENDPOINT, TABLES, EndpointEvent, EndpointState, IllegalTransition
from tcpservice.snapshot import MILLISECOND, SECOND, MatchType, Route, Timeouts


def state_of(stage: Stage, name: str) -> str:
    (seen,) = [each for each in stage.exchange.services()[0].endpoints if each.name == name]
    return seen.state


def answer_pings(stage: Stage, sidecar: Upstream, seconds: int) -> None:
    for _ in range(seconds):
        asked = len(sidecar.words)
        stage.pass_time(SECOND)
        for word in sidecar.words[asked:]:
            sidecar.say(b"pong", word.split()[1])


def test_an_endpoint_that_accepts_and_closes_costs_no_message_and_is_dialled_less_and_less() -> None:
    stage = Stage(service(2))
    stage.silent = {"r0"}
    client = stage.client()
    for number in range(200):
        for each in stage.upstreams:
            if each.name == "r0" and each.open:
                each.drop("closed the connection")
        client.ask(f"n{number}")
        for each in stage.upstreams:
            if each.name == "r1" and f"n{number}" in each.ids:
                each.reply(f"n{number}")
        stage.pass_time(100 * MILLISECOND)
    failed = [code for code in stage.codes() if code != "ok"]
    assert len(failed) <= 1, "only what it was sent before the first failure"
    assert len([each for each in stage.upstreams if each.name == "r0"]) <= 12


def test_an_endpoint_that_answers_no_probe_gets_one_request() -> None:
    stage = Stage(service(2))
    client = stage.client()
    for number in range(10):
        client.ask(f"a{number}")
    stage.silent = {"r0"}
    stage.upstream("r0").drop()
    stage.pass_time(1500 * MILLISECOND)
    assert state_of(stage, "r0") == "probation"
    again = stage.upstream("r0")
    for number in range(20):
        client.ask(f"b{number}")
    assert len(again.ids) == 1
    again.reply(again.ids[0])
    assert state_of(stage, "r0") == "healthy"


def test_an_endpoint_on_probation_that_stays_silent_is_given_up() -> None:
    stage = Stage(service(2))
    client = stage.client()
    for number in range(10):
        client.ask(f"a{number}")
    stage.silent = {"r0"}
    stage.upstream("r0").drop()
    stage.pass_time(1500 * MILLISECOND)
    assert state_of(stage, "r0") == "probation"
    again = stage.upstream("r0")
    for number in range(20):
        client.ask(f"b{number}")
    assert len(again.ids) == 1
    stage.pass_time(62 * SECOND)
    assert not again.is_open()
    assert client.codes()[again.ids[0]] == "connection_closed"


def test_bytes_that_are_no_whole_frame_do_not_answer_a_probe() -> None:
    stage = Stage(service(2))
    client = stage.client()
    for number in range(10):
        client.ask(f"a{number}")
    stage.silent = {"r0"}
    stage.upstream("r0").drop()
    stage.pass_time(600 * MILLISECOND)
    assert state_of(stage, "r0") == "probing"
    stage.upstream("r0").send_bytes(b"40#{")
    assert state_of(stage, "r0") == "probing"
    stage.pass_time(SECOND)
    assert state_of(stage, "r0") == "probation"


def test_a_frozen_endpoint_is_found_out_by_requests_that_do_not_overlap() -> None:
    bounds = Bounds(probe_timeout=5 * SECOND)
    stage = Stage(service(3, timeouts=Timeouts(request=10 * SECOND, backend_request=SECOND)), bounds=bounds)
    stage.silent = {"r1"}
    client = stage.client()
    for number in range(60):
        client.ask(f"n{number}")
        for each in stage.upstreams:
            if each.name != "r1" and f"n{number}" in each.ids:
                each.reply(f"n{number}")
        stage.pass_time(SECOND // 2)
    assert stage.codes().count("timeout") <= 3
    assert state_of(stage, "r1") == "ejected"


def test_a_frozen_endpoint_is_found_out_without_a_limit_on_attempts_too() -> None:
    bounds = Bounds(probe_after=3 * SECOND, probe_timeout=SECOND)
    stage = Stage(service(3, timeouts=Timeouts(request=SECOND)), bounds=bounds)
    stage.silent = {"r1"}
    client = stage.client()
    for number in range(60):
        client.ask(f"n{number}")
        for each in stage.upstreams:
            if each.name != "r1" and f"n{number}" in each.ids:
                each.reply(f"n{number}")
        stage.pass_time(SECOND // 2)
    assert stage.codes().count("timeout") <= 5


def test_a_sidecar_that_asked_to_be_left_out_keeps_its_connection_to_hear_that_it_is_back() -> None:
    stage = Stage(service(2, mesh=True), bounds=Bounds(connection_idle=10 * SECOND))
    client = stage.client()
    for number in range(10):
        client.ask(f"a{number}")
    for each in stage.upstreams:
        for id_ in each.ids:
            each.reply(id_)
    leaving = stage.upstream("r0")
    leaving.say(b"goaway")
    answer_pings(stage, leaving, 60)
    assert leaving.is_open()
    leaving.say(b"back")
    for number in range(20):
        client.ask(f"b{number}")
    assert stage.upstream("r0").ids[-1].startswith("b")


def test_a_request_that_times_out_on_a_connection_that_is_being_replaced_says_nothing_of_the_endpoint() -> None:
    hurried = Route(name="hurried", match=MatchType.EXACT, pattern="hurried", timeouts=Timeouts(request=SECOND))
    timeouts = Timeouts(request=10 * SECOND, backend_request=2 * SECOND)
    stage = Stage(service(2, timeouts=timeouts, routes=(hurried,)), bounds=Bounds(unanswered=2))
    stage.silent = {"r0", "r1"}
    client = stage.client()
    for number in range(2):
        client.ask(f"patient{number}")
    for number in range(6):
        client.ask(f"hurried{number}", "hurried")
    old = list(stage.upstreams)
    stage.pass_time(5 * SECOND)
    assert not any(each.is_open() for each in old)
    assert [state_of(stage, name) for name in ("r0", "r1")] == ["idle", "idle"]
    client.ask("new")
    assert stage.holder("new") not in old


def test_an_endpoint_whose_probed_connection_is_replaced_is_probed_on_another() -> None:
    hurried = Route(name="hurried", match=MatchType.EXACT, pattern="hurried", timeouts=Timeouts(request=3 * SECOND))
    timeouts = Timeouts(request=10 * SECOND, backend_request=SECOND)
    stage = Stage(service(2, timeouts=timeouts, routes=(hurried,)), bounds=Bounds(unanswered=2))
    stage.silent = {"r0", "r1"}
    client = stage.client()
    for number in range(2):
        client.ask(f"patient{number}")
    for number in range(6):
        client.ask(f"hurried{number}", "hurried")
    stage.pass_time(2 * SECOND)
    assert [state_of(stage, name) for name in ("r0", "r1")] == ["probing", "probing"]
    stage.silent = set()
    stage.pass_time(10 * SECOND)
    assert [state_of(stage, name) for name in ("r0", "r1")] == ["healthy", "healthy"]


def test_a_sidecar_that_comes_back_on_a_dead_connection_is_found_by_another() -> None:
    stage = Stage(service(1, mesh=True))
    client = stage.client()
    client.ask("1")
    dead = stage.upstream()
    dead.reply("1")
    dead.say(b"goaway", b"app")
    stage.pass_time(4 * SECOND)
    assert dead.is_open()
    assert dead.words == []
    stage.pass_time(2 * SECOND)
    assert [word.split()[0] for word in dead.words] == [b"ping"]
    stage.pass_time(6 * SECOND)
    assert not dead.is_open()
    client = stage.client()
    client.ask("2")
    stage.pass_time(SECOND)
    assert stage.upstream().ids == ["2"]


def test_a_sidecar_that_leaves_and_answers_keeps_its_connection() -> None:
    stage = Stage(service(2, mesh=True))
    client = stage.client()
    for number in range(4):
        client.ask(str(number))
    leaving = stage.upstream("r0")
    for id_ in leaving.ids:
        leaving.reply(id_)
    leaving.say(b"goaway")
    answer_pings(stage, leaving, 50)
    assert len(leaving.words) >= 9
    assert leaving.is_open()


def test_a_sidecar_that_leaves_keeps_the_requests_that_it_has_although_it_is_slow() -> None:
    stage = Stage(service(2, mesh=True))
    client = stage.client()
    client.ask("0")
    client.ask("1")
    leaving = stage.upstream("r0")
    leaving.say(b"goaway")
    stage.pass_time(25 * SECOND)
    assert leaving.is_open()
    leaving.reply(leaving.ids[0])
    assert stage.codes() == ["ok"]


def test_another_connection_to_a_sidecar_that_leaves_is_no_sign_that_it_is_back() -> None:
    stage = Stage(service(1, mesh=True, pool_size=2))
    first, second = stage.client(), stage.client()
    first.ask("1")
    stage.upstream().say(b"goaway")
    second.ask("2")
    assert [upstream.ids for upstream in stage.upstreams] == [["1"], ["2"]]
    assert state_of(stage, "r0") == "leaving"
    stage.upstreams[0].say(b"back")
    assert state_of(stage, "r0") == "healthy"


def test_asking_twice_to_be_left_out_changes_nothing() -> None:
    stage = Stage(service(2, mesh=True))
    client = stage.client()
    client.ask("1")
    client.ask("2")
    leaving = stage.upstream("r0")
    leaving.say(b"goaway")
    reported = stage.reported()
    leaving.say(b"goaway")
    assert stage.reported() == reported
    for number in range(10):
        client.ask(f"n{number}")
    assert len(leaving.ids) == 1


def test_replies_that_nobody_asked_for_cost_a_connection() -> None:
    stage = Stage(service(2), bounds=Bounds(unknown_replies=10))
    client = stage.client()
    client.ask("1")
    bad = stage.upstream()
    for number in range(11):
        bad.reply(f"unknown{number}")
    assert not bad.is_open()
    assert client.codes() == {"1": "connection_closed"}


def test_an_id_that_is_answered_twice_does_not_reach_the_next_request() -> None:
    stage = Stage(service(1))
    one, other = stage.client(), stage.client()
    one.ask("1")
    stage.upstream().reply("1", "first")
    other.ask("1")
    stage.upstream().reply("1", "first again")
    assert other.packets == []
    stage.upstream().reply(stage.upstream().ids[-1], "second")
    assert [(packet["id"], packet["response"]) for packet in other.packets] == [("1", "second")]


def test_a_transition_that_is_in_no_table_raises_here_and_is_counted_in_production() -> None:
    from tcpservice.exchange.exchange import Exchange
    from tcpservice.exchange.records import DownstreamConnection
    from tcpservice.exchange.transitions import DownstreamEvent
    from tcpservice.snapshot import Snapshot

    for strict in (True, False):
        exchange = Exchange(strict=strict)
        exchange.swap(Snapshot(services=(service(1),)), 0)
        conn = exchange.accept(service(1), 0)
        assert conn is not None
        state = exchange._state
        connection = state.connections[conn]
        assert isinstance(connection, DownstreamConnection)
        if strict:
            with pytest.raises(IllegalTransition, match="READING has no transition for PREFACE"):
                state.move(connection, DownstreamEvent.PREFACE)
        else:
            state.move(connection, DownstreamEvent.PREFACE)
            state.move(connection, DownstreamEvent.PREFACE)
            assert exchange.counts() == {"illegal_transitions": 2}
            assert [notice.key for notice in exchange.notices()] == ["internal_error"]


def test_every_table_speaks_of_its_own_states_only() -> None:
    for states, table in TABLES.items():
        assert {type(old) for old, _ in table} == {states}
        assert {type(new) for new in table.values()} == {states}
        assert set(table.values()) | {next(iter(states))} == set(states), "every state is reached"


def test_what_takes_an_endpoint_out_does_so_in_every_state() -> None:
    goals = {
        EndpointEvent.FAILURE: EndpointState.EJECTED,
        EndpointEvent.GOAWAY: EndpointState.LEAVING,
        EndpointEvent.APP_ABSENT: EndpointState.ABSENT,
        EndpointEvent.REMOVE: EndpointState.REMOVED,
    }
    for event, goal in goals.items():
        for state in EndpointState:
            if state is not EndpointState.REMOVED and (state is not goal or event is EndpointEvent.FAILURE):
                assert ENDPOINT[state, event] is goal, (state, event)


def test_an_endpoint_that_was_being_probed_on_a_connection_that_is_replaced_is_probed_anew() -> None:
    stage = Stage(service(2, timeouts=Timeouts(backend_request=SECOND)), bounds=Bounds(unanswered=2))
    stage.silent = {"r0"}
    client = stage.client()
    for number in range(6):
        client.ask(str(number))
    for id_ in list(stage.upstream("r1").ids):
        stage.upstream("r1").reply(id_)
    assert len(stage.upstream("r0").ids) == 3
    stage.pass_time(SECOND + 10 * MILLISECOND)
    assert not stage.upstreams[0].is_open() or not stage.upstreams[1].is_open(), "it owes too many replies"
    stage.silent = set()
    stage.pass_time(10 * SECOND)
    assert state_of(stage, "r0") == "healthy"
