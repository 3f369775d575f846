"""Small messages keep away from large ones: connections that are congested, and queues that others may pass."""

from __future__ import annotations

import pytest

from core.exchange.stage import Client, Stage, Upstream, endpoints, service
from tcpservice.exchange import Bounds
from tcpservice.exchange.attempts import CALLERS_PER_TURN
from tcpservice.exchange.picking import BUSY
from tcpservice.exchange.records import LARGEST_POOL
from tcpservice.snapshot import MILLISECOND, SECOND, Limits, MatchType, Route, Timeouts

LARGE = Bounds().large
CONGESTED_BYTES, CONGESTED_BACKLOG = 4 * LARGE, LARGE // 4
BULK = "x" * CONGESTED_BYTES
LONG = Timeouts(request=600 * SECOND)


def conns(stage: Stage, *ids: str) -> list[Upstream]:
    return [stage.holder(id_) for id_ in ids]


def congested(stage: Stage) -> tuple[Client, Upstream]:
    """Let a caller have a large request under way."""
    bulk = stage.client()
    bulk.ask("bulk", data=BULK)
    return bulk, stage.holder("bulk")


def test_a_small_request_takes_another_connection_while_a_large_one_is_under_way() -> None:
    stage = Stage(service(1, timeouts=LONG))
    _, used = congested(stage)
    small, other = stage.client(), stage.client()
    small.ask("small")
    other.ask("other")
    assert stage.holder("small") is stage.holder("other") is not used
    for id_ in ("small", "other"):
        stage.holder(id_).reply(id_)
    used.reply("bulk")
    small.ask("again")
    assert stage.holder("again") is used, "the first of the free ones is enough again"
    assert len(stage.upstreams) == 2


def test_large_requests_stay_together_or_take_a_connection_that_nobody_uses() -> None:
    stage = Stage(service(1, timeouts=LONG))
    _, used = congested(stage)
    stage.client().ask("small")
    stage.client().ask("more bulk", data=BULK)
    assert stage.holder("more bulk") is used
    for id_ in ("bulk", "more bulk"):
        used.reply(id_)
    stage.client().ask("next", data=BULK)
    assert stage.holder("next") is used, "the other one has a small request under way"


def test_a_large_request_opens_a_connection_where_all_are_in_use_by_others() -> None:
    stage = Stage(service(1, timeouts=LONG))
    for number in range(3):
        stage.client().ask(f"small {number}")
        stage.client().ask(f"large {number}", data="x" * LARGE)
    assert len(stage.upstreams) == 2
    assert {stage.holder(f"small {number}").conn for number in range(3)} == {stage.upstreams[0].conn}
    assert {stage.holder(f"large {number}").conn for number in range(3)} == {stage.upstreams[1].conn}


def test_a_caller_with_something_under_way_keeps_its_connection() -> None:
    stage = Stage(service(1, timeouts=LONG))
    small = stage.client()
    small.ask("before")
    large = stage.client()
    large.ask("first", data="x" * LARGE)
    large.ask("second", data=BULK)
    assert stage.holder("second") is stage.holder("first") is not stage.holder("before")
    large.ask("little")
    assert stage.holder("little") is stage.holder("first")
    small.ask("after")
    assert stage.holder("after") is stage.holder("before")


def known_client(stage: Stage) -> Client:
    """Return a client whose replies are known to be small."""
    client = stage.client()
    client.ask(f"known {client.conn}")
    stage.holder(f"known {client.conn}").reply(f"known {client.conn}")
    return client


def test_new_callers_leave_the_last_connection_to_those_whose_replies_are_known() -> None:
    stage = Stage(service(1, timeouts=LONG), bounds=Bounds(unsent_bytes=1000))
    known, new = known_client(stage), [stage.client() for _ in range(20)]
    for number, client in enumerate(new):
        client.ask(f"new {number}")
        client.hold(2000)
        stage.holder(f"new {number}").part(f"new {number}", "x")
    assert len(stage.upstreams) == LARGEST_POOL - 1
    assert all(upstream.is_paused() for upstream in stage.upstreams)
    known.ask("known")
    assert stage.holder("known") is stage.upstreams[LARGEST_POOL - 1]


def test_where_all_connections_are_congested_the_least_used_is_taken() -> None:
    stage = Stage(service(1, timeouts=LONG))
    known = [known_client(stage) for _ in range(LARGEST_POOL)]
    for number, client in enumerate(known):
        client.ask(f"small {number}")
        used = stage.upstreams[number]
        used.hold(CONGESTED_BACKLOG)
    assert len(stage.upstreams) == LARGEST_POOL
    stage.upstreams[2].reply("small 2")
    stage.upstreams[2].hold(CONGESTED_BACKLOG)
    stage.client().ask("one more")
    assert stage.holder("one more") is stage.upstreams[2]
    for used in stage.upstreams:
        used.hold(0)
    stage.upstreams[1].reply("small 1")
    stage.upstreams[1].reply("one more")
    stage.client().ask("two more")
    assert stage.holder("two more") is stage.upstreams[1], "it is idle"
    stage.client().ask("three more")
    stage.client().ask("large", data="x" * LARGE)
    assert len(stage.upstreams) == LARGEST_POOL


def test_a_connection_that_brings_a_large_reply_is_congested_until_that_has_arrived() -> None:
    stage = Stage(service(1, timeouts=LONG))
    asking, small = stage.client(), stage.client()
    asking.ask("asked")
    replica = stage.upstream()
    reply = b'{"id":"asked","isDisposed":true,"response":"%b"}' % (b"y" * 2 * LARGE)
    frame = b"%d#%b" % (len(reply), reply)
    replica.send_bytes(frame[: LARGE + 100])
    small.ask("small")
    other = stage.holder("small")
    assert other is not replica
    other.reply("small")
    replica.send_bytes(frame[LARGE + 100 :])
    assert asking.packets[0]["id"] == "asked"
    small.ask("again")
    assert stage.holder("again") is replica


def test_others_take_no_connection_that_is_not_read_because_of_a_slow_reader() -> None:
    stage = Stage(service(1, timeouts=LONG), bounds=Bounds(unsent_bytes=1000))
    slow, quick = stage.client(), stage.client()
    slow.ask("first")
    replica = stage.upstream()
    slow.hold(2000)
    replica.part("first", "y")
    assert replica.is_paused()
    quick.ask("quick")
    assert stage.holder("quick") is not replica


def test_what_a_slow_reader_asked_for_before_stays_with_the_congested() -> None:
    limits = Limits(max_requests_per_replica=2)
    stage = Stage(service(1, timeouts=LONG, limits=limits), bounds=Bounds(unsent_bytes=1000))
    slow, other = stage.client(), stage.client()
    slow.ask("first")
    other.ask("other")
    slow.ask("second")
    replica = stage.upstream()
    assert replica.ids == ["first", "other"]
    slow.hold(2000)
    replica.reply("first")
    assert replica.is_paused()
    assert stage.holder("second") is replica


def test_a_caller_that_gets_large_replies_stays_where_it_is_and_others_move() -> None:
    stage = Stage(service(1, timeouts=LONG))
    asking, small = stage.client(), stage.client()
    asking.ask("0")
    replica = stage.upstream()
    replica.reply("0", "y" * LARGE)
    replica.hold(CONGESTED_BACKLOG)
    asking.ask("1")
    small.ask("small")
    assert stage.holder("1") is replica
    assert stage.holder("small") is not replica
    replica.reply("1")
    asking.ask("2")
    assert stage.holder("2") is not replica, "its last reply was small"


def test_a_connection_that_is_full_of_large_events_is_not_idle() -> None:
    stage = Stage(service(1, timeouts=LONG), bounds=Bounds(upstream_backlog=2 * LARGE))
    events = stage.client()
    events.emit("large", data="x" * LARGE)
    full = stage.upstream()
    full.hold(2 * LARGE)
    stage.client().ask("large", data="x" * LARGE)
    assert stage.holder("large") is not full
    assert stage.exchange.services()[0].waiting == 0


def test_as_many_large_replies_are_expected_of_a_connection_as_its_endpoint_may_hold() -> None:
    """NestJS 12 closes a connection for which it holds more than 128 MiB of replies."""
    stage = Stage(service(1, timeouts=LONG, limits=Limits(max_frame_size=2 * LARGE)))
    readers = [stage.client() for _ in range(40)]
    for number, reader in enumerate(readers):
        reader.ask(f"first {number}")
        stage.holder(f"first {number}").reply(f"first {number}", "y" * LARGE)
    for number, reader in enumerate(readers):
        reader.ask(f"second {number}")
    taken = [len([id_ for id_ in upstream.ids if "second" in id_]) for upstream in stage.upstreams]
    assert taken == [6, 6, 6], "three quarters of maxBufferSize each, and one connection is left to others"
    assert stage.exchange.services()[0].waiting == 40 - 18
    stage.client().ask("small")
    assert stage.holder("small") is stage.upstreams[3]
    for _ in range(20):
        for upstream in stage.upstreams:
            for id_ in upstream.ids:
                upstream.reply(id_, "y")
    assert stage.exchange.services()[0].waiting == 0


def test_one_large_reply_tells_what_the_others_under_way_will_be() -> None:
    """A caller asks for many large replies before it has got any."""
    limits = Limits(max_frame_size=2 * LARGE)
    stage = Stage(service(1, timeouts=LONG, limits=limits, pool_size=1))
    known, reader = stage.client(), stage.client()
    known.ask("known")
    replica = stage.upstream()
    replica.reply("known", "y" * LARGE)
    for number in range(8):
        reader.ask(f"request {number}")
    reader.emit("event")
    known.ask("before")
    assert stage.exchange.services()[0].waiting == 0
    replica.part("request 0", "y" * LARGE)
    known.ask("after")
    assert stage.exchange.services()[0].waiting == 1
    for id_ in ("before", *(f"request {number}" for number in range(8))):
        replica.reply(id_, "y")
    assert stage.exchange.services()[0].waiting == 0
    replica.reply("after", "y")
    (endpoint,) = stage.exchange._state.upstreams["shop/orders"].endpoints.values()
    assert [connection.bytes for connection in endpoint.pool if connection] == [0]


def test_a_request_to_which_a_large_reply_is_expected_already_is_counted_once() -> None:
    stage = Stage(service(1, timeouts=LONG))
    reader = stage.client()
    reader.ask("first")
    replica = stage.upstream()
    replica.reply("first", "y" * LARGE)
    reader.ask("second")
    reader.ask("third")
    replica.reply("second", "y")
    reader.ask("fourth")
    replica.reply("fourth", "y" * LARGE)
    replica.reply("third", "y" * LARGE)
    (endpoint,) = stage.exchange._state.upstreams["shop/orders"].endpoints.values()
    assert [connection.bytes for connection in endpoint.pool if connection] == [0]


def test_no_reply_is_expected_to_an_event_that_waits_for_a_connection() -> None:
    stage = Stage(service(2, timeouts=LONG))
    stage.hanging = {"r1"}
    reader = stage.client()
    for number in range(6):
        reader.ask(f"request {number}")
        reader.emit("event")
    answering = stage.upstream("r0")
    for id_ in answering.ids[:2]:
        answering.part(id_, "y" * LARGE)
    endpoints_ = stage.exchange._state.upstreams["shop/orders"].endpoints.values()
    dialled = next(endpoint for endpoint in endpoints_ if endpoint.name == "r1")
    (connection,) = (each for each in dialled.pool if each)
    asked = sum(attempt.message.request.id is not None for attempt in connection.queue)
    assert 0 < asked < len(connection.queue)
    assert connection.bytes // LARGE == asked


def test_what_another_sidecar_asks_for_is_counted_there() -> None:
    stage = Stage(service(1, timeouts=LONG))
    stage.exchange.add_app(stage.services[0], endpoints(1)[0], stage.now)
    other = stage.sidecar("shop/orders")
    other.ask("1")
    other.ask("2")
    stage.upstream().part("1", "y" * LARGE)
    (endpoint,) = stage.exchange._state.apps["shop/orders"].endpoints.values()
    assert [connection.bytes < LARGE for connection in endpoint.pool if connection] == [True]


@pytest.mark.parametrize("busy", [BUSY - 1, BUSY])
def test_a_connection_that_is_congested_counts_as_busy(busy: int) -> None:
    stage = Stage(service(1, timeouts=LONG))
    first = stage.client()
    first.ask("slow")
    stage.pass_time(2 * SECOND)
    stage.upstream().reply("slow")
    _, used = congested(stage)
    for number in range(busy):
        stage.client().ask(f"small {number}")
    stage.client().ask("last")
    assert (len(stage.upstreams) == 3) is (busy == BUSY)
    assert stage.holder("last") is not used


def test_a_pool_of_a_size_keeps_each_caller_on_its_connection_unless_that_is_congested() -> None:
    stage = Stage(service(1, timeouts=LONG, pool_size=2))
    small, bulk = stage.client(), stage.client()
    small.ask("0")
    own = stage.holder("0")
    own.reply("0")
    bulk.ask("elsewhere", data=BULK)
    assert stage.holder("elsewhere") is not own
    own.hold(CONGESTED_BACKLOG)
    stage.holder("elsewhere").reply("elsewhere")
    small.ask("1")
    assert stage.holder("1") is not own
    stage.holder("1").reply("1")
    own.hold(0)
    small.ask("2")
    assert stage.holder("2") is own


# The queue


def full(stage: Stage) -> tuple[Client, Upstream]:
    """Let a caller's messages wait for its connection, which can take no more bytes."""
    stuck = stage.client()
    stuck.ask("under way")
    replica = stage.upstream()
    replica.hold(2000)
    stuck.ask("waits 0")
    stuck.ask("waits 1")
    assert stage.exchange.services()[0].waiting == 2
    return stuck, replica


def test_callers_pass_one_whose_connection_is_congested_and_each_keeps_its_order() -> None:
    stage = Stage(service(1, timeouts=LONG), bounds=Bounds(upstream_backlog=1000))
    _, replica = full(stage)
    other = stage.client()
    for number in range(3):
        other.ask(f"other {number}")
    assert stage.holder("other 0") is not replica
    assert stage.holder("other 0").ids == ["other 0", "other 1", "other 2"]
    assert stage.exchange.services()[0].waiting == 2
    replica.hold(0)
    assert replica.ids == ["under way", "waits 0", "waits 1"]


def test_several_callers_that_wait_are_passed_and_go_on_in_their_order() -> None:
    stage = Stage(service(1, timeouts=LONG), bounds=Bounds(upstream_backlog=1000))
    second = stage.client()
    second.ask("second 0")
    _, replica = full(stage)
    second.ask("second 1")
    second.ask("second 2")
    stage.client().ask("other")
    assert stage.holder("other") is not replica
    assert stage.exchange.services()[0].waiting == 4
    replica.hold(0)
    assert replica.ids == ["second 0", "under way", "waits 0", "second 1", "waits 1", "second 2"], "they take turns"


def test_one_caller_with_much_that_waits_delays_nobody() -> None:
    stage = Stage(service(1, timeouts=LONG), bounds=Bounds(upstream_backlog=1000))
    stuck, _ = full(stage)
    for number in range(2, 500):
        stuck.ask(f"waits {number}")
    for number in range(10):
        stage.client().ask(f"other {number}")
        assert stage.holder(f"other {number}").is_open()


@pytest.mark.parametrize("looking", [False, True])
def test_all_callers_are_looked_at_when_there_is_room_however_many_they_are(*, looking: bool) -> None:
    """Room may come while some of them have been looked at, too."""
    stage = Stage(service(1, timeouts=LONG, pool_size=2), bounds=Bounds(upstream_backlog=1000))
    clients = [stage.client() for _ in range(3 * CALLERS_PER_TURN)]
    for who, client in enumerate(clients):  # each has something under way, so that it keeps its connection
        client.ask(f"{who} under way")
    one, two = stage.upstreams
    one.hold(2000)
    two.hold(2000)
    for who, client in enumerate(clients):
        client.ask(f"{who} waits 0")
        client.ask(f"{who} waits 1")
    if looking:
        one.hold(1999)
    two.hold(0)
    stage.pass_time(20 * MILLISECOND)
    held = sum(stage.holder(f"{who} under way") is one for who in range(len(clients)))
    assert 0 < held < len(clients)
    assert stage.exchange.services()[0].waiting == 2 * held


def test_what_waits_behind_a_message_that_ends_is_looked_at() -> None:
    short = Route(name="short", match=MatchType.EXACT, pattern="short", timeouts=Timeouts(request=SECOND))
    limits = Limits(max_frame_size=LARGE + 100)
    stage = Stage(service(1, timeouts=LONG, routes=(short,), limits=limits))
    for number in range(4):
        stage.client().ask(f"large {number}", data="x" * LARGE)
    client = stage.client()
    client.ask("waits", "short", data="x" * LARGE)
    client.ask("small")
    assert stage.exchange.services()[0].waiting == 2, "a caller's order holds"
    stage.pass_time(2 * SECOND)
    assert stage.holder("small").is_open()
    assert client.codes() == {"waits": "timeout"}


def test_a_message_that_moves_waits_behind_an_earlier_one_of_its_caller() -> None:
    one, other = endpoints(2)
    limits = Limits(max_frame_size=LARGE + 100)
    stage = Stage(service(endpoints=(other,), timeouts=LONG, limits=limits))
    stage.client().ask("small")
    for number in range(4):
        stage.client().ask(f"large {number}", data="x" * LARGE)
    stage.hanging.add(one.name)
    stage.swap(service(endpoints=(one, other), timeouts=LONG, limits=limits))
    client = stage.client()
    client.ask("first", data="x" * LARGE)
    client.ask("second")
    dial = stage.upstream(one.name)
    dial.stage._peers[dial.conn] = dial
    dial.drop("refused")
    for number in range(4):
        stage.holder(f"large {number}").reply(f"large {number}")
    holder = stage.holder("first")
    assert stage.holder("second") is holder
    assert holder.ids.index("first") < holder.ids.index("second")


def test_callers_that_had_to_wait_are_spread_over_a_pool() -> None:
    stage = Stage(service(0, pool_size=4, awaited=True))
    clients = [stage.client() for _ in range(8)]
    for who, client in enumerate(clients):
        client.ask(f"{who} a")
        client.ask(f"{who} b")
    stage.swap(service(1, pool_size=4))
    assert [len(upstream.ids) for upstream in stage.upstreams] == [4, 4, 4, 4]


def test_a_caller_is_not_bound_to_a_connection_by_what_it_has_under_way_elsewhere() -> None:
    stage = Stage(service(2, pool_size=4))
    for who in range(16):
        client = stage.client()
        for number in range(4):
            client.ask(f"{who} {number}")
    assert {name: len([u for u in stage.upstreams if u.name == name]) for name in ("r0", "r1")} == {"r0": 4, "r1": 4}


def test_a_message_that_waits_is_not_bound_by_a_later_one() -> None:
    stage = Stage(service(1, timeouts=LONG), bounds=Bounds(upstream_backlog=1000))
    _, replica = full(stage)
    replica.reply("under way")
    assert stage.holder("waits 0") is not replica, "nothing of the caller is under way there"


def test_a_large_message_goes_while_small_ones_keep_coming() -> None:
    stage = Stage(service(1, timeouts=LONG, limits=Limits(max_frame_size=LARGE + 100)))
    clients = [stage.client() for _ in range(90)]  # with 900 kB, more than three frames of the largest size
    for number, client in enumerate(clients):
        client.ask(f"{number} 0", data="x" * 10_000)
    stage.client().ask("large", data="x" * LARGE)
    assert stage.holder("large").is_open()


# Connections that take no more


def fill_with_an_event(stage: Stage) -> Upstream:
    client = stage.client()
    client.emit("event")
    holder = next(upstream for upstream in stage.upstreams if "event" in upstream.patterns)
    holder.hold(2 * CONGESTED_BACKLOG)
    client.drop()
    return holder


@pytest.mark.parametrize("size", [0, 2])
def test_a_small_message_takes_a_congested_connection_rather_than_a_full_one(size: int) -> None:
    stage = Stage(service(1, timeouts=LONG, pool_size=size), bounds=Bounds(upstream_backlog=2 * CONGESTED_BACKLOG))
    used = []
    for number in range((size or LARGEST_POOL) - 1):
        stage.client().ask(f"bulk {number}", data="x" * LARGE)
        used.append(stage.holder(f"bulk {number}"))
        used[-1].hold(2 * CONGESTED_BACKLOG)  # so that the next one takes another connection
    assert fill_with_an_event(stage) not in used
    for each in used:
        each.hold(CONGESTED_BACKLOG)
    stage.client().ask("small")
    assert stage.exchange.services()[0].waiting == 0


def test_a_large_message_takes_an_idle_connection_where_the_other_is_not_read() -> None:
    stage = Stage(service(1, timeouts=LONG, pool_size=2), bounds=Bounds(upstream_backlog=2 * CONGESTED_BACKLOG))
    full_one = fill_with_an_event(stage)
    stage.client().ask("answered")
    idle = stage.holder("answered")
    assert idle is not full_one
    idle.reply("answered")
    for number in range(2):
        stage.client().ask(f"large {number}", data="x" * LARGE)
        assert stage.holder(f"large {number}") is idle


def test_what_waits_goes_on_when_a_slow_reader_has_caught_up() -> None:
    bounds = Bounds(upstream_backlog=2 * CONGESTED_BACKLOG, unsent_bytes=1000)
    stage = Stage(service(1, timeouts=LONG, pool_size=1), bounds=bounds)
    slow = stage.client()
    slow.ask("stream")
    holder = stage.holder("stream")
    holder.hold(2 * CONGESTED_BACKLOG)
    stage.client().ask("small")
    assert stage.exchange.services()[0].waiting == 1
    slow.hold(2000)
    holder.part("stream", "y")
    assert holder.is_paused()
    stage.exchange._state.connections[holder.conn].backlog = 0  # type: ignore[union-attr]
    slow.hold(0)
    assert stage.holder("small") is holder


def test_nobody_passes_while_the_endpoint_may_have_no_more_requests() -> None:
    stage = Stage(service(1, timeouts=LONG, limits=Limits(max_requests_per_replica=1)))
    first, second, third = (stage.client() for _ in range(3))
    first.ask("1")
    second.ask("2", data=BULK)
    third.ask("3")
    replica = stage.upstream()
    assert replica.ids == ["1"]
    replica.reply("1")
    assert stage.upstream().ids[-1] == "2"


def test_a_message_that_ends_another_while_the_queue_is_passed_is_no_harm() -> None:
    """The next attempt of one may abandon another that waits, where there are too many requests without a reply."""
    bounds = Bounds(upstream_backlog=1000, pending=3)
    stage = Stage(service(1, timeouts=LONG), bounds=bounds)
    stuck, replica = full(stage)
    others = [stage.client() for _ in range(3)]
    for number, other in enumerate(others):
        other.ask(f"other {number}")
    assert "abandoned" in {code for client in (stuck, *others) for code in client.codes().values()}
    replica.hold(0)
    assert stage.exchange.services()[0].waiting == 0


def test_large_messages_to_one_endpoint_are_bounded_in_all_and_small_ones_pass() -> None:
    stage = Stage(service(1, timeouts=LONG, limits=Limits(max_frame_size=LARGE + 100)))
    for number in range(6):
        stage.client().ask(f"large {number}", data="x" * LARGE)
    assert stage.exchange.services()[0].waiting == 2, "four frames of the largest size are as much as it may be sent"
    stage.client().ask("small")
    assert stage.holder("small") is not stage.holder("large 0")


# Admission


def short_of_memory(**bounds: int) -> Stage:
    """Return a stage whose memory for messages is used up by one that cannot be written yet."""
    stage = Stage(service(1, timeouts=LONG), bounds=Bounds(request_bytes=CONGESTED_BYTES, **bounds))
    stage.hanging.add("r0")
    bulk = stage.client()
    bulk.ask("bulk", data=BULK)
    bulk.ask("more bulk")
    assert bulk.is_paused()
    return stage


def test_a_reserve_of_memory_is_for_callers_that_hold_little() -> None:
    stage = short_of_memory()
    small = stage.client()
    small.ask("small")
    assert stage.exchange.in_flight() == 2
    assert not small.is_paused()


def test_the_reserve_lifts_no_other_limit() -> None:
    stage = short_of_memory(downstream_requests=2)
    small = stage.client()
    for number in range(5):
        small.ask(f"small {number}")
    assert stage.exchange.in_flight() == 3


def test_one_caller_of_tiny_messages_cannot_take_the_whole_reserve() -> None:
    stage = short_of_memory()
    for _ in range(2):
        tiny = stage.client()
        for number in range(3000):
            tiny.send({"pattern": 1, "id": str(number)})
            if tiny.is_paused():
                break
    before = stage.exchange.in_flight()
    stage.client().ask("other")
    assert stage.exchange.in_flight() == before + 1


def test_a_large_message_does_not_take_the_reserve() -> None:
    stage = short_of_memory()
    stage.client().ask("large", data="x" * LARGE)
    assert stage.exchange.in_flight() == 1
    stage.client().ask("small")
    assert stage.exchange.in_flight() == 2


def test_the_reserve_is_not_without_a_bound() -> None:
    stage = short_of_memory()
    for number in range(1000):
        stage.client().ask(f"small {number}")
    state = stage.exchange._state
    assert state.most_request_bytes + state.reserve <= state.request_bytes
    assert state.request_bytes < state.most_request_bytes + state.reserve + 2048


def test_callers_go_on_when_a_frame_is_no_longer_kept() -> None:
    stage = short_of_memory()
    small = stage.client()
    small.ask("s0", data="x" * (CONGESTED_BYTES // 8))
    small.ask("s1")
    assert small.is_paused()
    stage.connect("r0")
    state = stage.exchange._state
    assert state.request_bytes < state.most_request_bytes
    assert not small.is_paused()


def test_connections_of_other_sidecars_have_fixed_places_in_a_pool() -> None:
    pod = Stage(service(0))
    pod.exchange.add_app(pod.services[0], endpoints(1)[0], pod.now)
    for number in range(2 * LARGEST_POOL):
        pod.sidecar("shop/orders", f"place={number}").ask(f"request {number}")
    assert [len(upstream.ids) for upstream in pod.upstreams] == [2] * LARGEST_POOL
