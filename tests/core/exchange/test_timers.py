"""Timers and the retry budget, by themselves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tcpservice.exchange.retry_budget import RetryBudget
from tcpservice.snapshot import MILLISECOND, SECOND, RetryConstraint
from tcpservice.timers import TimerOwner, Timers

BUCKET = 1 << 22


KEYS = st.tuples(st.integers(0, 3), st.integers(0, 2))


@given(st.lists(st.tuples(KEYS, st.integers(0, 50) | st.none()), max_size=30))
def test_each_timer_fires_once_with_its_reason_at_the_last_time_it_was_set_to(
    steps: list[tuple[tuple[int, int], int | None]],
) -> None:
    timers, owners = Timers(), [TimerOwner() for _ in range(4)]
    due: dict[tuple[int, int], int] = {}
    for (which, reason), milliseconds in steps:
        if milliseconds is None:
            timers.cancel(owners[which], reason)
            due.pop((which, reason), None)
        else:
            timers.set(owners[which], reason, milliseconds * MILLISECOND)
            due[which, reason] = milliseconds * MILLISECOND
    fired = {}
    for now in range(0, 100 * MILLISECOND, MILLISECOND):
        while (one := timers.pop(now)) is not None:
            fired[owners.index(one[0]), one[1]] = now
    assert fired.keys() == due.keys()
    assert all(due[each] <= fired[each] <= due[each] + BUCKET + MILLISECOND for each in due)
    assert timers.next_due() is None


def test_the_next_time_is_the_earliest() -> None:
    timers, one, other = Timers(), TimerOwner(), TimerOwner()
    timers.set(one, 1, 90 * MILLISECOND)
    timers.set(other, 2, 50 * MILLISECOND)
    due = timers.next_due()
    assert due is not None
    assert due == timers.due(other, 2)
    assert 50 * MILLISECOND <= due <= 50 * MILLISECOND + BUCKET
    assert timers.pop(due - 1) is None
    assert timers.pop(due) == (other, 2)


def test_a_record_that_ends_has_no_timer_left() -> None:
    timers, one = Timers(), TimerOwner()
    timers.set(one, 1, 50 * MILLISECOND)
    timers.set(one, 2, 60 * MILLISECOND)
    timers.cancel_all(one)
    timers.cancel_all(one)
    assert timers.next_due() is None
    timers.set(one, 1, 70 * MILLISECOND)
    assert timers.pop(80 * MILLISECOND) == (one, 1)


def test_retries_are_a_share_of_the_requests() -> None:
    budget = RetryBudget(RetryConstraint(percent=20, interval=10 * SECOND, min_count=0))
    for _ in range(100):
        budget.count_request(0)
    assert [budget.take(0) for _ in range(21)] == [True] * 20 + [False]


def test_old_requests_and_retries_are_forgotten() -> None:
    budget = RetryBudget(RetryConstraint(percent=50, interval=10 * SECOND, min_count=0))
    for second in range(20):
        budget.count_request(second * SECOND)
    assert [budget.take(19 * SECOND) for _ in range(6)] == [True] * 5 + [False]
    assert not budget.take(100 * SECOND)


def test_retries_of_long_ago_leave_room_for_new_ones() -> None:
    budget = RetryBudget(RetryConstraint(percent=50, interval=10 * SECOND, min_count=0))
    for now in (0, 20 * SECOND, 29 * SECOND):
        for _ in range(10):
            budget.count_request(now)
        assert [budget.take(now) for _ in range(6)] == [True] * 5 + [False]


def test_after_a_long_rest_nothing_old_is_counted() -> None:
    for second in range(10):
        budget = RetryBudget(RetryConstraint(percent=50, interval=10 * SECOND, min_count=0))
        for _ in range(100):
            budget.count_request(second * SECOND)
        assert not budget.take(100 * SECOND)


def test_requests_count_for_one_interval() -> None:
    budget = RetryBudget(RetryConstraint(percent=50, interval=10 * SECOND, min_count=0))
    for _ in range(100):
        budget.count_request(50 * SECOND)
    assert budget.take(59 * SECOND)
    assert not budget.take(60 * SECOND)


def test_a_few_are_always_free() -> None:
    budget = RetryBudget(RetryConstraint(percent=0, min_count=2, min_interval=SECOND))
    now = 50 * SECOND
    assert [budget.take(now) for _ in range(3)] == [True, True, False]
    assert not budget.take(now + SECOND - 1)
    assert [budget.take(now + SECOND) for _ in range(3)] == [True, True, False]
