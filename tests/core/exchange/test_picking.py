"""Small messages keep away from large ones: connections that are congested, and queues that others may pass."""

from __future__ import annotations

import pytest

from core.exchange.stage import Client, Stage, Upstream, endpoints, service
from tcpservice.exchange import Bounds
from tcpservice.exchange.attempts import MOST_PASSING
from tcpservice.exchange.picking import BUSY
from tcpservice.exchange.records import LARGEST_POOL
from tcpservice.snapshot import SECOND, Limits, Timeouts

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


def test_where_all_connections_are_congested_the_least_used_is_taken() -> None:
    stage = Stage(service(1, timeouts=LONG))
    for number in range(LARGEST_POOL):
        stage.client().ask(f"small {number}")
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
    assert stage.holder("two more") is stage.upstreams[1], "nobody uses it"
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


def test_a_slow_reader_keeps_to_the_connections_that_are_not_read_because_of_it() -> None:
    stage = Stage(service(1, timeouts=LONG), bounds=Bounds(unsent_bytes=1000))
    slow, quick = stage.client(), stage.client()
    slow.ask("first")
    replica = stage.upstream()
    slow.hold(2000)
    replica.part("first", "y")
    assert replica.is_paused()
    quick.ask("quick")
    assert stage.holder("quick") is not replica
    slow.ask("second")
    assert stage.holder("second") is replica


def test_a_slow_reader_without_a_request_under_way_stays_with_the_congested() -> None:
    stage = Stage(service(1, timeouts=LONG), bounds=Bounds(unsent_bytes=1000))
    slow, other = stage.client(), stage.client()
    slow.ask("first")
    other.ask("other")
    replica = stage.upstream()
    slow.hold(2000)
    replica.reply("first")
    assert replica.is_paused()
    slow.ask("second")
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
    assert replica.ids == ["second 0", "under way", "waits 0", "waits 1", "second 1", "second 2"]


def test_only_so_many_messages_are_looked_at_behind_the_first() -> None:
    stage = Stage(service(1, timeouts=LONG), bounds=Bounds(upstream_backlog=1000))
    stuck, replica = full(stage)
    for number in range(2, MOST_PASSING + 1):
        stuck.ask(f"waits {number}")
    stage.client().ask("too far")
    assert "too far" not in [id_ for upstream in stage.upstreams for id_ in upstream.ids]
    replica.hold(0)
    assert stage.holder("too far").is_open()


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


def test_a_reserve_of_memory_is_for_callers_that_hold_little() -> None:
    stage = Stage(service(1, timeouts=LONG), bounds=Bounds(request_bytes=CONGESTED_BYTES))
    bulk, _ = congested(stage)
    bulk.ask("more bulk")
    small = stage.client()
    small.ask("small")
    assert [id_ for upstream in stage.upstreams for id_ in upstream.ids] == ["bulk", "small"]
    assert bulk.is_paused()
    assert not small.is_paused()


def test_connections_of_other_sidecars_have_fixed_places_in_a_pool() -> None:
    pod = Stage(service(0))
    pod.exchange.add_app(pod.services[0], endpoints(1)[0], pod.now)
    for number in range(2 * LARGEST_POOL):
        pod.sidecar("shop/orders", f"place={number}").ask(f"request {number}")
    assert [len(upstream.ids) for upstream in pod.upstreams] == [2] * LARGEST_POOL
