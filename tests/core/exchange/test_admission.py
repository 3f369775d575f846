"""What bounds the memory: connections are paused before anything is refused, and closed only as the last resort."""

from __future__ import annotations

import pytest

from core.exchange.stage import Client, Stage, encoded, service
from tcpservice.exchange import Bounds
from tcpservice.exchange.bounds import PROCESS_BYTES
from tcpservice.exchange.downstream import FRAMES_PER_TURN
from tcpservice.snapshot import MEBIBYTE, MILLISECOND, SECOND, Limits, Timeouts


def half(size: int) -> tuple[bytes, bytes]:
    """Write a frame of about that size, in two halves."""
    whole = encoded({"pattern": "big", "data": "x" * size, "id": "big"})
    return whole[: len(whole) // 2], whole[len(whole) // 2 :]


@pytest.mark.parametrize("limit", [64 * MEBIBYTE, 256 * MEBIBYTE, 4096 * MEBIBYTE])
def test_bounds_fit_into_the_memory_that_there_is(limit: int) -> None:
    bounds = Bounds.for_memory(limit)
    held = bounds.request_bytes + bounds.partial_bytes + bounds.unsent_bytes
    assert held <= max(16 * MEBIBYTE, (limit - PROCESS_BYTES) // 2)
    assert bounds.connections >= 1000


def test_connections_are_limited() -> None:
    stage = Stage(service(1), bounds=Bounds(connections=2))
    one, _ = stage.client(), stage.client()
    assert stage.exchange.accept(stage.services[0], stage.now) is None
    assert stage.exchange.accept_mesh(stage.now) is None
    one.drop()
    assert stage.client().is_open()
    assert stage.exchange.counts() == {"refused_connections": 2}


def test_large_frames_arrive_one_at_a_time_while_memory_is_short() -> None:
    bounds = Bounds(partial_bytes=100_000, request_bytes=1 << 30)
    stage = Stage(service(1, limits=Limits(max_frame_size=1 << 20)), bounds=bounds)
    clients, neighbour = [stage.client() for _ in range(5)], stage.client()
    first, second = half(120_000)
    for client in clients:
        client.send_bytes(first)
    paused = [client for client in clients if client.is_paused()]
    assert 3 <= len(paused) < 5
    neighbour.ask("small")
    assert stage.upstream().ids == ["small"]
    for _ in range(len(clients)):
        for client in clients:
            if not client.is_paused() and client not in arrived(stage, clients):
                client.send_bytes(second)
    assert len(stage.upstream().ids) == 1 + len(clients)
    assert not any(client.is_paused() for client in clients)


def arrived(stage: Stage, clients: list[Client]) -> list[Client]:
    """The clients whose frame has arrived: one message is in flight for each."""
    state = stage.exchange._state
    done = {each.conn for each in state.downstreams if each.messages}
    return [client for client in clients if client.conn in done]


def test_with_far_too_many_unfinished_frames_the_largest_is_closed() -> None:
    bounds = Bounds(partial_bytes=10_000, request_bytes=40_000)
    stage = Stage(service(1), bounds=bounds)
    clients = [stage.client() for _ in range(4)]
    for size, client in zip((30_000, 30_000, 32_000, 30_000), clients, strict=True):
        client.send_bytes(half(size)[0])
    assert [client.is_open() for client in clients].count(False) >= 1
    assert "memory_short" in stage.reported()


def test_the_large_frame_that_may_arrive_is_not_the_one_whose_connection_is_closed() -> None:
    stage = Stage(service(1), bounds=Bounds(partial_bytes=10_000, request_bytes=40_000))
    first, second = stage.client(), stage.client()
    head, tail = half(50_000)
    first.send_bytes(head)
    assert not first.is_paused()
    second.send_bytes(half(40_000)[0])
    assert (first.is_open(), second.is_open()) == (True, False)
    first.send_bytes(tail)
    assert stage.upstream().ids == ["big"]


def test_a_large_frame_goes_on_when_the_connection_of_the_one_before_it_is_closed() -> None:
    stage = Stage(service(1), bounds=Bounds(partial_bytes=10_000, request_bytes=1 << 30))
    first, second = stage.client(), stage.client()
    first.send_bytes(half(40_000)[0])
    head, tail = half(40_000)
    second.send_bytes(head)
    assert second.is_paused()
    first.drop()
    assert not second.is_paused()
    second.send_bytes(tail)
    assert stage.upstream().ids == ["big"]


def test_what_still_arrives_on_a_paused_connection_is_counted() -> None:
    bounds = Bounds(partial_bytes=10_000, request_bytes=40_000, downstream_requests=1)
    stage = Stage(service(1), bounds=bounds)
    clients = [stage.client() for _ in range(2)]
    for client in clients:
        client.ask("request in flight")
        client.ask("request that waits")
    assert all(client.is_paused() for client in clients)
    for client in clients:
        client.send_bytes(half(40_000)[0])
    assert [client.is_open() for client in clients].count(False) == 1
    assert stage.reported() == ["memory_short"]


def test_old_requests_without_a_response_hold_no_place_while_somebody_waits() -> None:
    bounds = Bounds(place_expiry=10 * SECOND, queue_timeout=60 * SECOND)
    stage = Stage(service(1, limits=Limits(max_requests_per_replica=2)), bounds=bounds)
    client = stage.client()
    client.ask("never 1")
    client.ask("never 2")
    stage.pass_time(5 * SECOND)
    client.ask("waits")
    assert "waits" not in stage.upstream().ids
    stage.pass_time(6 * SECOND)
    assert "waits" in stage.upstream().ids
    for id_ in ("never 1", "waits"):
        stage.upstream().reply(id_)
    assert stage.codes() == ["ok", "ok"]


def test_a_large_request_that_has_a_response_counts_no_more_at_its_endpoint() -> None:
    stage = Stage(service(1), bounds=Bounds(large=1000))
    client = stage.client()
    client.ask("stream", data="x" * 2000)
    (upstream,) = stage.exchange._state.upstreams.values()
    (endpoint,) = upstream.endpoints.values()
    assert endpoint.bytes > 2000
    stage.upstream().part("stream", 1)
    assert endpoint.bytes == 0
    stage.upstream().reply("stream")
    assert endpoint.bytes == 0


def test_a_caller_at_its_own_limit_goes_on_once_its_requests_are_old() -> None:
    stage = Stage(service(1), bounds=Bounds(downstream_requests=2, place_expiry=10 * SECOND))
    client = stage.client()
    client.ask("never 1")
    stage.pass_time(5 * SECOND)
    client.ask("never 2")
    client.ask("next")
    assert client.is_paused()
    stage.pass_time(6 * SECOND)
    assert "next" in stage.upstream().ids
    stage.pass_time(30 * SECOND)
    assert not client.is_paused()


def test_with_too_many_requests_pending_the_one_silent_for_longest_is_abandoned() -> None:
    stage = Stage(service(1), bounds=Bounds(pending=3))
    client = stage.client()
    client.ask("stream")
    stage.upstream().part("stream", 1)
    client.ask("a")
    client.ask("b")
    stage.upstream().part("stream", 2)
    client.ask("c")
    assert client.codes() == {"stream": "abandoned"}
    client.ask("d")
    assert client.codes() == {"stream": "abandoned", "a": "abandoned"}


def test_of_several_streams_the_one_silent_for_longest_is_abandoned() -> None:
    stage = Stage(service(1), bounds=Bounds(pending=2))
    client = stage.client()
    for id_ in ("one", "other"):
        client.ask(id_)
        stage.upstream().part(id_, 1)
    stage.upstream().part("one", 2)
    client.ask("request")
    assert client.codes() == {"other": "abandoned"}


def test_one_read_with_very_many_frames_takes_several_turns() -> None:
    stage = Stage(service(1))
    flood, neighbour = stage.client(), stage.client()
    events = b"".join(encoded({"pattern": "e", "data": n}) for n in range(3 * FRAMES_PER_TURN))
    stage.exchange.receive(flood.conn, events, stage.now)
    assert stage.exchange.next_due() == 0
    stage.exchange.receive(neighbour.conn, encoded({"pattern": "sum", "data": 1, "id": "n"}), stage.now)
    stage.carry()
    places = [packet["pattern"] for packet in stage.upstream().packets]
    assert places.index("sum") <= FRAMES_PER_TURN
    assert places.count("e") == 3 * FRAMES_PER_TURN
    assert not flood.is_paused()


def test_the_end_of_a_stream_waits_for_the_frames_before_it() -> None:
    stage = Stage(service(1))
    client = stage.client()
    requests = b"".join(encoded({"pattern": "e", "data": n, "id": f"n{n}"}) for n in range(2 * FRAMES_PER_TURN))
    stage.exchange.receive(client.conn, requests, stage.now)
    stage.exchange.end_of_stream(client.conn, stage.now)
    stage.carry()
    assert len(stage.upstream().ids) == 2 * FRAMES_PER_TURN
    for id_ in list(stage.upstream().ids):
        stage.upstream().reply(id_)
    assert len(client.packets) == 2 * FRAMES_PER_TURN
    assert not client.is_open()


def test_replies_in_one_read_take_several_turns_too() -> None:
    stage = Stage(service(1))
    client = stage.client()
    ids = [f"request number {n}" for n in range(3 * FRAMES_PER_TURN)]
    for id_ in ids:
        client.ask(id_)
    replica = stage.upstream()
    replica.send_bytes(b"".join(encoded({"response": 1, "isDisposed": True, "id": id_}) for id_ in ids))
    assert len(client.packets) == len(ids)
    assert not replica.is_paused()


@pytest.mark.parametrize("word", [b"cancel", b"ping", b"news"])
def test_a_flood_of_control_frames_ends_its_connection(word: bytes) -> None:
    stage = Stage(service(0), bounds=Bounds(control_frames=100))
    stage.exchange.add_app(stage.services[0], service(1).endpoints[0], stage.now)
    other = stage.sidecar()
    for number in range(101):
        if other.is_open():
            other.say(word, b"%d" % number)
    assert not other.is_open()
    assert stage.reported() == ["downstream_malformed"]


def test_a_sidecar_that_floods_its_caller_is_ejected() -> None:
    stage = Stage(service(1, mesh=True), bounds=Bounds(control_frames=100))
    stage.client().ask("1")
    upstream = stage.upstream()
    for number in range(101):
        if upstream.is_open():
            upstream.say(b"ping", b"%d" % number)
    assert not upstream.is_open()
    assert stage.reported() == ["endpoint_ejected"]


def test_a_slow_reader_that_leaves_lets_the_endpoint_be_read_again() -> None:
    stage = Stage(service(1), bounds=Bounds(unsent_bytes=1000))
    slow, other = stage.client(), stage.client()
    slow.ask("1")
    other.ask("2")
    slow.hold(2000)
    stage.upstream().part("1", "x")
    assert stage.upstream().is_paused()
    slow.drop()
    assert not stage.upstream().is_paused()
    stage.upstream().reply("2")
    assert [packet["id"] for packet in other.packets] == ["2"]


def test_an_endpoint_that_is_lost_while_it_is_read_slowly() -> None:
    stage = Stage(service(1), bounds=Bounds(unsent_bytes=1000))
    slow = stage.client()
    slow.ask("1")
    slow.ask("2")
    slow.hold(2000)
    stage.upstream().part("1", "x")
    stage.upstream().drop()
    slow.hold(0)
    assert slow.codes() == {"1": "connection_closed", "2": "connection_closed"}


def test_an_endpoint_that_is_read_slowly_is_not_taken_for_silent() -> None:
    stage = Stage(service(1), bounds=Bounds(unsent_bytes=1000, probe_after=3 * SECOND, probe_timeout=SECOND))
    slow = stage.client()
    slow.ask("1")
    slow.hold(2000)
    stage.upstream().part("1", "x")
    for size in range(1990, 1900, -10):
        stage.pass_time(SECOND)
        slow.hold(size)
    assert stage.upstream().is_open()
    assert stage.probes == []


def test_an_endpoint_that_is_read_again_has_all_its_time_to_be_heard() -> None:
    stage = Stage(service(1), bounds=Bounds(unsent_bytes=1000, probe_after=10 * SECOND))
    slow = stage.client()
    slow.ask("1")
    slow.hold(2000)
    stage.upstream().part("1", "x")
    for size in range(1999, 1980, -1):
        stage.pass_time(SECOND)
        slow.hold(size)
    assert stage.upstream().is_paused()
    slow.hold(0)
    stage.pass_time(8 * SECOND)
    assert stage.probes == []
    stage.pass_time(4 * SECOND)
    assert stage.probes == [stage.upstream()]


def test_a_request_with_a_time_limit_that_is_abandoned_is_forgotten() -> None:
    bounds = Bounds(place_expiry=2 * SECOND, downstream_requests=1)
    stage = Stage(service(1, timeouts=Timeouts(request=5 * SECOND)), bounds=bounds)
    client = stage.client()
    client.ask("1")
    client.ask("2")
    stage.pass_time(20 * SECOND)
    assert client.codes() == {"1": "timeout", "2": "timeout"}
    assert stage.exchange._state.request_bytes == 0


def test_two_slow_readers_of_two_endpoints() -> None:
    stage = Stage(service(2), bounds=Bounds(unsent_bytes=1000))
    slow, slower = stage.client(), stage.client()
    for number in range(8):
        slow.ask(f"slow request number {number}")
        slower.ask(f"slower request number {number}")
    slow.hold(2000)
    slower.hold(2000)
    for upstream in stage.upstreams:
        for id_ in upstream.ids:
            upstream.part(id_, "x")
    assert all(upstream.is_paused() for upstream in stage.upstreams)
    slow.hold(0)
    assert all(upstream.is_paused() for upstream in stage.upstreams), "the other one still reads slowly"
    slower.hold(0)
    assert not any(upstream.is_paused() for upstream in stage.upstreams)


def test_many_replies_in_one_read_to_a_slow_reader() -> None:
    stage = Stage(service(1), bounds=Bounds(unsent_bytes=1000))
    slow = stage.client()
    ids = [f"request number {n}" for n in range(2 * FRAMES_PER_TURN)]
    for id_ in ids:
        slow.ask(id_)
    slow.hold(2000)
    replies = b"".join(encoded({"response": 1, "isDisposed": True, "id": id_}) for id_ in ids)
    stage.exchange.receive(stage.upstream().conn, replies, stage.now)
    stage.exchange.backlog(slow.conn, 0, stage.now)
    stage.carry()
    assert len(slow.packets) == len(ids)
    assert not stage.upstream().is_paused()
    slow.hold(2000)
    slow.ask("one more request")
    slow.ask("and another request")
    stage.exchange.receive(stage.upstream().conn, replies, stage.now)
    stage.exchange.receive(stage.upstream().conn, encoded({"response": 1, "id": "one more request"}), stage.now)
    slow.hold(0)
    assert not stage.upstream().is_paused()


def test_an_endpoint_whose_last_frames_throttle_it_stays_paused_after_its_turn() -> None:
    stage = Stage(service(1), bounds=Bounds(unsent_bytes=1000))
    slow = stage.client()
    ids = [f"request number {n}" for n in range(FRAMES_PER_TURN + 1)]
    for id_ in ids:
        slow.ask(id_)
    slow.hold(2000)
    stage.upstream().send_bytes(b"".join(encoded({"response": 1, "isDisposed": True, "id": id_}) for id_ in ids))
    assert len(slow.packets) == len(ids)
    assert stage.upstream().is_paused()
    slow.hold(0)
    assert not stage.upstream().is_paused()


def test_a_message_that_was_never_sent_keeps_its_place_in_the_queue() -> None:
    bounds = Bounds(place_expiry=2 * SECOND, queue_timeout=60 * SECOND)
    stage = Stage(service(0, awaited=True), bounds=bounds)
    client = stage.client()
    client.ask("1")
    stage.pass_time(5 * SECOND)
    client.ask("2")
    stage.pass_time(SECOND)
    stage.swap(service(1))
    assert stage.upstream().ids == ["1", "2"]


def test_a_message_has_arrived_when_its_connection_was_paused_however_often_that_is() -> None:
    timeouts = Timeouts(request=5 * SECOND)
    stage = Stage(service(1, timeouts=timeouts), bounds=Bounds(downstream_requests=1))
    client, arrived = stage.client(), stage.now
    client.send(*({"pattern": "sum", "data": n, "id": n} for n in range(3)))
    for id_ in (0, 1):
        stage.pass_time(2 * SECOND)
        stage.upstream().reply(id_)
    assert stage.upstream().ids == [0, 1, 2]
    stage.pass_time(1100 * MILLISECOND)
    assert client.codes() == {2: "timeout"}, "its caller has waited since the first pause"
    assert [row.started for row in stage.rows] == [arrived] * 3


def test_a_message_that_comes_after_its_connection_was_paused_has_all_its_time() -> None:
    stage = Stage(service(1, timeouts=Timeouts(request=5 * SECOND)), bounds=Bounds(downstream_requests=1))
    client = stage.client()
    client.ask("1")
    client.ask("2")
    assert client.is_paused()
    stage.upstream().reply("1")
    stage.upstream().reply("2")
    assert not client.is_paused()
    stage.pass_time(10 * SECOND)
    begun = stage.now
    client.ask("3")
    stage.pass_time(4 * SECOND)
    stage.upstream().reply("3")
    assert (stage.rows[-1].code, stage.rows[-1].started) == ("ok", begun)


def test_slow_readers_that_have_left_do_not_make_others_slow() -> None:
    stage = Stage(service(1), bounds=Bounds(unsent_bytes=1000))
    for _ in range(50):
        leaver = stage.client()
        leaver.hold(10)
        leaver.drop()
    slow, other = stage.client(), stage.client()
    slow.hold(2000)
    other.hold(100)
    other.ask("1")
    stage.upstream().part("1", "x")
    assert not stage.upstream().is_paused()


def test_an_old_request_that_ends_is_not_counted_with_those_that_are_pending() -> None:
    bounds = Bounds(place_expiry=10 * SECOND, queue_timeout=60 * SECOND, pending=3)
    stage = Stage(service(1, limits=Limits(max_requests_per_replica=2)), bounds=bounds)
    old, other = stage.client(), stage.client()
    old.ask("old 1")
    old.ask("old 2")
    stage.pass_time(5 * SECOND)
    other.ask("1")
    stage.pass_time(6 * SECOND)
    old.drop()
    other.ask("2")
    assert stage.upstream().ids[2:] == ["1", "2"]
    for id_ in ("1", "2"):
        stage.upstream().reply(id_)
    assert stage.codes() == ["cancelled", "cancelled", "ok", "ok"]


def test_a_slow_reader_asks_for_no_more_replies_before_it_has_read_those_it_has() -> None:
    """An app that holds too many replies closes the connection that other callers share."""
    stage = Stage(service(1), bounds=Bounds(unsent_bytes=1000))
    slow, other = stage.client(), stage.client()
    slow.ask("1")
    slow.hold(2000)
    stage.upstream().part("1", "x")
    slow.ask("2")
    slow.ask("3")
    other.ask("other's")
    assert [upstream.ids for upstream in stage.upstreams] == [["1"], ["other's"]]
    slow.hold(0)
    assert [upstream.ids for upstream in stage.upstreams] == [["1", "2", "3"], ["other's"]]


def test_what_a_slow_reader_asked_for_goes_on_when_the_connection_of_its_replies_is_lost() -> None:
    stage = Stage(service(1), bounds=Bounds(unsent_bytes=1000))
    slow = stage.client()
    slow.ask("1")
    slow.hold(2000)
    stage.upstream().part("1", "x")
    slow.ask("2")
    stage.upstream().drop()
    stage.pass_time(2 * SECOND)
    assert [upstream.ids for upstream in stage.upstreams] == [["1"], ["2"]]


def test_a_slow_reader_goes_on_when_the_idle_connection_that_waited_for_it_is_closed() -> None:
    stage = Stage(service(1), bounds=Bounds(unsent_bytes=1000, connection_idle=5 * SECOND))
    slow = stage.client()
    slow.ask("1")
    slow.hold(2000)
    stage.upstream().reply("1")
    slow.ask("2")
    assert slow.is_paused()
    stage.pass_time(6 * SECOND)
    assert not slow.is_paused()
    assert [(upstream.is_open(), upstream.ids) for upstream in stage.upstreams] == [(False, ["1"]), (True, ["2"])]
