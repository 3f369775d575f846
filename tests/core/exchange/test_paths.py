"""Paths that nothing else takes: closing while paused, errors of the sidecar's own, and the end of everything."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from core.exchange.stage import Stage, encoded, endpoints, service
from tcpservice.exchange import Bounds, Connect, message_path
from tcpservice.exchange import downstream as downstream_module
from tcpservice.exchange import upstream as upstream_module
from tcpservice.exchange.downstream import FRAMES_PER_TURN
from tcpservice.exchange.exchange import Exchange
from tcpservice.exchange.records import Failure, UpstreamConnection
from tcpservice.exchange.state import State
from tcpservice.snapshot import (
    SECOND,
    Algorithm,
    Limits,
    RetryConstraint,
    Service,
    Snapshot,
    Timeouts,
    Tracing,
)
from tcpservice.wire.mesh import Preface, encode_preface


class Broken:
    """An exchange in production, in which one function has a bug."""

    def __init__(self, *services: Service) -> None:
        self.exchange = Exchange(strict=False)
        self.service = services[0] if services else service(1)
        self.exchange.swap(Snapshot(services=(self.service,)), 0)

    def dialled(self) -> int:
        return next(command.conn for command in self.exchange.commands() if isinstance(command, Connect))

    def connect(self) -> int:
        conn = self.exchange.accept(self.service, 0)
        assert conn is not None
        return conn


def raises(*_: object) -> None:
    raise ZeroDivisionError("a bug")


@pytest.mark.replaces_functions
def test_an_error_while_a_callers_frame_is_handled_ends_its_connection_only(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Broken()
    bad, good = broken.connect(), broken.connect()
    request = encoded({"pattern": "a", "data": 1, "id": "1"})
    with monkeypatch.context() as patch:
        patch.setattr(downstream_module, "take_message", raises)
        for conn in (bad, broken.connect()):
            broken.exchange.receive(conn, request, 1)
        patch.setattr(downstream_module, "may_read", raises)
        broken.exchange.receive(broken.connect(), request, 1)
    assert broken.exchange.connections() == 1
    assert broken.exchange.counts() == {"internal_errors": 3}
    assert [notice.key for notice in broken.exchange.notices()] == ["internal_error"]
    broken.exchange.receive(good, request, 2)
    assert broken.exchange.in_flight() == 1


@pytest.mark.replaces_functions
def test_an_error_while_a_paused_connection_goes_on_ends_it_only(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Broken()
    paused = broken.connect()
    request = encoded({"pattern": "a", "data": 1, "id": "1"})
    broken.exchange.receive(paused, request * 300, 1)
    assert broken.exchange.next_due() == 0, "the rest waits for the next turn"
    with monkeypatch.context() as patch:
        patch.setattr(downstream_module, "may_read", raises)
        broken.exchange.tick(2)
    assert broken.exchange.counts() == {"internal_errors": 1}
    broken.exchange.receive(broken.connect(), request, 3)
    assert broken.exchange.in_flight() > 0


@pytest.mark.replaces_functions
def test_in_tests_an_error_of_the_sidecars_own_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(service(1))
    client = stage.client()
    client.ask("1")
    monkeypatch.setattr(downstream_module, "take_message", raises)
    monkeypatch.setattr(upstream_module, "_handle", raises)
    with pytest.raises(ZeroDivisionError):
        client.ask("2")
    with pytest.raises(ZeroDivisionError):
        stage.upstream().reply("1")


@pytest.mark.replaces_functions
def test_an_error_while_a_reply_is_handled_ends_that_connection_only(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Broken()
    conn = broken.connect()
    broken.exchange.receive(conn, encoded({"pattern": "a", "data": 1, "id": "1"}), 1)
    upstream = broken.dialled()
    broken.exchange.connected(upstream, 1)
    with monkeypatch.context() as patch:
        patch.setattr(upstream_module, "_handle", raises)
        broken.exchange.receive(upstream, encoded({"response": 1, "isDisposed": True, "id": "1"}), 2)
    assert broken.exchange.connections() == 1
    assert broken.exchange.in_flight() == 0
    assert [row.code.value for row in broken.exchange.finished()] == ["connection_closed"]


@pytest.mark.replaces_functions
def test_an_error_after_a_connection_was_closed_is_counted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Broken()
    broken.exchange.receive(broken.connect(), encoded({"pattern": "a", "data": 1, "id": "1"}), 1)
    upstream = broken.dialled()
    broken.exchange.connected(upstream, 1)
    lost = upstream_module.lost

    def loses_and_raises(state: State, connection: UpstreamConnection, _: object, now: int) -> None:
        lost(state, connection, Failure.PROTOCOL, "bad", now)
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(upstream_module, "_handle", loses_and_raises)
    broken.exchange.receive(upstream, encoded({"response": 1, "isDisposed": True, "id": "1"}), 2)
    assert broken.exchange.counts() == {"internal_errors": 1}


def test_a_frame_that_is_no_message_is_dropped_and_logged_once() -> None:
    stage = Stage(service(1))
    client = stage.client()
    for text in ("1", "{}", '{"v":1,"body":{"pattern":"sum"}}', '"hello"'):
        client.send_bytes(encoded(text))
    client.ask("1")
    assert stage.upstream().ids == ["1"]
    assert stage.exchange.counts() == {"foreign_frames": 4}
    assert stage.reported() == ["foreign_frame"]
    assert "protocol: Opaque" in stage.notices[0].text


def test_a_pattern_nested_too_deeply_in_a_string_is_refused_alone() -> None:
    stage = Stage(service(1))
    client = stage.client()
    deep = "[" * 300 + "]" * 300
    client.send({"pattern": deep, "data": 1, "id": "deep"}, {"pattern": deep, "data": 1}, {"pattern": "a", "id": "1"})
    stage.upstream().reply("1")
    assert client.codes() == {"deep": "frame_too_large"}
    assert client.is_open()


def test_an_event_that_is_too_large_is_dropped() -> None:
    stage = Stage(service(1, limits=replace(service(1).limits, max_frame_size=100)))
    client = stage.client()
    client.emit("created", "x" * 200)
    client.ask("1")
    assert stage.upstream().patterns == ["sum"]
    assert client.packets == []


def test_a_drain_stops_reading_near_its_end_and_answers_what_it_read() -> None:
    stage = Stage(service(1))
    stage.exchange.add_app(stage.services[0], endpoints(1)[0], stage.now)
    busy, idle = stage.client(), stage.client()
    unspoken = stage.sidecar(None)
    busy.ask("1")
    stage.exchange.drain(stage.now)
    stage.exchange.stop_reading(stage.now)
    stage.carry()
    assert not idle.is_open()
    assert busy.is_open()
    assert unspoken.is_open()
    busy.ask("2")
    stage.upstream().reply("1")
    assert [packet["id"] for packet in busy.packets] == ["1"]
    assert not busy.is_open()


def test_a_mesh_connection_that_says_nothing_is_closed() -> None:
    stage = Stage(service(1), bounds=Bounds(stall=SECOND))
    stage.exchange.add_app(stage.services[0], endpoints(1)[0], stage.now)
    silent, ended = stage.sidecar(None), stage.sidecar(None)
    ended.half_close()
    silent.send_bytes(b"TCPS/1 shop")
    stage.pass_time(2 * SECOND)
    assert not silent.is_open()
    assert not ended.is_open()


def test_an_app_absent_from_its_start_is_announced_to_a_new_sidecar_with_the_reason() -> None:
    stage = Stage(service(0))
    stage.refusing = {"r0"}
    stage.exchange.add_app(stage.services[0], endpoints(1)[0], stage.now)
    stage.exchange.expect_apps(stage.now)
    stage.exchange.expect_apps(stage.now)
    stage.carry()
    new, old = stage.sidecar("shop/orders", "app-state"), stage.sidecar()
    assert new.words == [b"goaway app"]
    assert old.words == [b"goaway"]


def test_a_new_algorithm_budget_and_sampling_take_effect() -> None:
    stage = Stage(service(1))
    changed = service(
        1,
        algorithm=Algorithm.RANDOM,
        retry_constraint=RetryConstraint(percent=1),
        tracing=Tracing(sampled_per_billion=0),
    )
    stage.swap(changed)
    assert stage.exchange.services()[0].algorithm == "Random"


def test_a_connection_that_is_not_wanted_any_more_when_it_stands() -> None:
    stage = Stage(service(2))
    stage.hanging = {"r0", "r1"}
    client = stage.client()
    client.ask("1")
    upstream = stage.upstream()
    stage.swap(service(0))
    assert not stage.exchange.connected(upstream.conn, stage.now)


@pytest.mark.parametrize("state", ["reading", "paused"])
def test_a_caller_that_is_closed_in_any_state_leaves_nothing_behind(state: str) -> None:
    stage = Stage(service(1), bounds=Bounds(downstream_requests=1))
    client = stage.client()
    client.ask("1")
    if state == "paused":
        client.ask("2")
        client.half_close()
    client.drop()
    inner = stage.exchange._state
    assert (inner.request_bytes, inner.partial_bytes, inner.pending.count, len(inner.paused)) == (0, 0, 0, 0)


def test_garbage_behind_a_message_of_a_paused_caller() -> None:
    stage = Stage(service(1), bounds=Bounds(downstream_requests=1))
    client = stage.client()
    client.ask("1")
    client.send_bytes(encoded({"pattern": "a", "data": 1, "id": "2"}) + b"garbage#")
    stage.upstream().reply("1")
    stage.upstream().reply("2")
    assert [packet["id"] for packet in client.packets] == ["1", "2"]
    assert stage.reported() == ["downstream_malformed"]
    assert not client.is_open()


def test_another_version_of_a_sidecar_is_understood() -> None:
    stage = Stage(service(1, mesh=True))
    stage.silent = {"r0"}
    stage.client().ask("1")
    upstream = stage.upstream()
    upstream.send_bytes(encode_preface(Preface("shop/orders", frozenset({"from-the-future"}))))
    upstream.say(b"weather", b"sunny")
    assert upstream.ids == ["1"]
    assert stage.exchange.counts() == {"ignored_control_frames": 1}


@pytest.mark.replaces_functions
def test_a_message_that_is_denied_is_answered_and_goes_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_path, "authorize", lambda _: False)
    stage = Stage(service(1))
    client = stage.client()
    client.ask("1")
    client.emit()
    assert client.codes() == {"1": "denied"}
    assert stage.upstreams == []
    assert stage.exchange.counts() == {"denied": 2}
    assert stage.exchange.in_flight() == 0


def test_frames_that_were_left_for_a_turn_are_not_read_once_reading_has_stopped() -> None:
    stage = Stage(service(1))
    client = stage.client()
    requests = b"".join(encoded({"pattern": "e", "data": n, "id": f"n{n}"}) for n in range(2 * FRAMES_PER_TURN))
    stage.exchange.receive(client.conn, requests, stage.now)
    stage.exchange.stop_reading(stage.now)
    stage.exchange.stop_reading(stage.now)
    stage.carry()
    assert len(stage.upstream().ids) == FRAMES_PER_TURN


def test_endpoints_with_a_long_backoff_are_dialled_soon_once_no_other_is_left() -> None:
    stage = Stage(service(2))
    stage.refusing = {"r0"}
    client = stage.client()
    for number in range(8):
        client.ask(f"request number {number}")
    stage.pass_time(60 * SECOND)
    before = len(stage.upstreams)
    stage.refusing = {"r1"}
    stage.upstream("r1").drop()
    stage.pass_time(SECOND)
    assert "r0" in [upstream.name for upstream in stage.upstreams[before:]]
    client.ask("again")
    assert "again" in stage.upstream("r0").ids


def test_an_endpoint_that_lost_one_of_its_connections_comes_back_by_another() -> None:
    stage = Stage(service(1, pool_size=2))
    one, other = stage.client(), stage.client()
    one.ask("request of one")
    other.ask("request of another")
    first, second = stage.upstreams
    first.drop()
    assert stage.reported() == ["endpoint_ejected"]
    stage.pass_time(SECOND)
    assert stage.reported() == ["endpoint_ejected", "endpoint_recovered"]
    assert second.is_open()
    assert second in stage.probes


def test_an_endpoint_whose_other_connection_is_still_being_made_waits_for_it() -> None:
    stage = Stage(service(1, pool_size=2, timeouts=Timeouts(connect=5 * SECOND)))
    one, other = stage.client(), stage.client()
    one.ask("request of one")
    stage.hanging = {"r0"}
    other.ask("request of another")
    stage.upstreams[0].drop()
    stage.pass_time(SECOND)
    assert stage.connect("r0").ids == ["request of another"]


def test_a_request_that_is_refused_again_and_again_ends() -> None:
    stage = Stage(service(1, mesh=True), bounds=Bounds(queue_timeout=60 * SECOND))
    client = stage.client()
    client.ask("a long request id")
    for _ in range(5):
        if client.packets:
            break
        stage.upstream().say(b"refused", b'"a long request id"')
        stage.pass_time(10 * SECOND)
    assert client.codes() == {"a long request id": "no_endpoints"}


def test_a_reply_too_large_for_another_sidecar_is_an_error_of_its_own() -> None:
    stage = Stage(service(0, limits=Limits(max_frame_size=200)))
    stage.exchange.add_app(stage.services[0], endpoints(1)[0], stage.now)
    other = stage.sidecar()
    other.ask("1")
    stage.upstream().reply("1", "x" * 300)
    assert other.codes() == {"1": "frame_too_large"}
