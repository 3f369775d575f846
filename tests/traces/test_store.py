"""The recent traces: what joins what, what leaves first, what is counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcpservice_traces import NoSuchTrace, Span, TraceStore
from tcpservice_traces.store import Bounds


def span(trace: int | str, identity: int, name: str = "") -> Span:
    return Span(
        trace_id=trace if isinstance(trace, str) else f"{trace:032x}",
        span_id=f"{identity:016x}",
        name=name,
        service="orders",
        start_ns=0,
        end_ns=0,
    )


def names(store: TraceStore) -> list[int]:
    return [int(trace.trace_id, 16) for trace in store.recent(100)]


def test_spans_join_their_trace_in_whatever_order_they_come() -> None:
    store = TraceStore()
    store.add([span(1, 3), span(2, 1)], 10.0)
    store.add([span(1, 1)], 11.0)
    one = store.get(f"{1:032x}")
    assert [int(each.span_id, 16) for each in one.spans] == [3, 1]
    assert (one.since, one.updated, one.dropped) == (10.0, 11.0, 0)
    assert len(store) == 2


def test_the_newest_trace_is_the_one_that_began_to_arrive_last() -> None:
    store = TraceStore()
    store.add([span(1, 1), span(2, 1), span(3, 1)], 1.0)
    store.add([span(1, 2)], 2.0)
    assert names(store) == [3, 2, 1]
    assert [int(trace.trace_id, 16) for trace in store.recent(2)] == [3, 2]
    assert store.recent(0) == store.recent(-1) == []


def test_a_span_that_is_sent_again_is_kept_once() -> None:
    store = TraceStore()
    store.add([span(1, 1, "first"), span(1, 1, "again"), span(2, 1)], 1.0)
    assert [each.name for each in store.get(f"{1:032x}").spans] == ["first"]
    assert store.counts == {"duplicates": 1}


def test_the_oldest_trace_leaves_when_there_are_too_many() -> None:
    store = TraceStore(Bounds(traces=2))
    store.add([span(1, 1), span(1, 2), span(2, 1), span(3, 1)], 1.0)
    assert names(store) == [3, 2]
    assert store.counts == {"traces": 1, "spans": 2}


def test_old_traces_leave_when_there_are_too_many_spans_but_never_the_one_that_grows() -> None:
    store = TraceStore(Bounds(spans=3))
    store.add([span(1, 1), span(2, 1), span(3, 1), span(1, 2)], 1.0)
    assert names(store) == [3, 1]
    store.add([span(1, 3), span(1, 4)], 2.0)
    assert names(store) == [1]
    assert (len(store.get("0").spans), store.get("0").dropped) == (3, 1)
    assert store.counts == {"traces": 2, "spans": 3}


def test_what_one_trace_has_no_room_for_is_dropped_and_counted() -> None:
    store = TraceStore(Bounds(spans_of_one=2))
    store.add([span(1, identity) for identity in range(5)], 1.0)
    found = store.get("")
    assert (len(found.spans), found.dropped) == (2, 3)
    assert store.counts == {"spans": 3}


def test_a_view_does_not_change() -> None:
    store = TraceStore()
    store.add([span(1, 1)], 1.0)
    before = store.get("0")
    store.add([span(1, 2)], 2.0)
    assert len(before.spans) == 1


AB = ["ab" + f"{number:030x}" for number in range(6)]


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        ("cd", "no trace begins with 'cd' among the last 7"),
        ("\x1b[2J", r"no trace begins with '\x1b[2J' among the last 7"),
        ("", "7 traces begin with '': ab000000, ab000000, ab000000, ef000000, ..."),
        ("AB", "6 traces begin with 'AB': ab000000, ab000000, ab000000, ab000000, ..."),
    ],
)
def test_a_prefix_of_none_or_many_is_said(prefix: str, message: str) -> None:
    store = TraceStore()
    store.add([span(trace, 1) for trace in (*AB, "ef" + "0" * 30)], 1.0)
    with pytest.raises(NoSuchTrace) as raised:
        store.get(prefix)
    assert str(raised.value) == message


def test_two_of_one_prefix_are_named_by_what_tells_them_apart() -> None:
    store = TraceStore()
    store.add([span("a" * 32, 1), span("a" * 10 + "b" * 22, 1)], 1.0)
    with pytest.raises(NoSuchTrace) as raised:
        store.get("a" * 10)
    assert str(raised.value) == "2 traces begin with 'aaaaaaaaaa': aaaaaaaaaaaaaa, aaaaaaaaaabbbb"
    assert store.get("A" * 11).trace_id == "a" * 32


@given(
    arrivals=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=60),
    bounds=st.builds(Bounds, traces=st.integers(1, 4), spans=st.integers(1, 12), spans_of_one=st.integers(1, 5)),
)
def test_the_bounds_hold_and_no_span_is_lost_uncounted(arrivals: list[tuple[int, int]], bounds: Bounds) -> None:
    store = TraceStore(bounds)
    for now, (trace, identity) in enumerate(arrivals):
        store.add([span(trace, identity)], float(now))
        kept = store.recent(100)
        assert len(kept) <= bounds.traces
        assert all(len(each.spans) <= bounds.spans_of_one for each in kept)
        assert sum(len(each.spans) for each in kept) <= bounds.spans
        assert kept[0].since >= kept[-1].since
    kept_spans = sum(len(each.spans) for each in store.recent(100))
    assert kept_spans + store.counts["spans"] + store.counts["duplicates"] == len(arrivals)
