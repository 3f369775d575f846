"""The deadline wheel and the retry budget, by themselves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tcpservice.deadlines import Waiting, Wheel
from tcpservice.exchange.budget import RetryBudget
from tcpservice.snapshot import MILLISECOND, SECOND, RetryConstraint

BUCKET = 1 << 22


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 50) | st.none()), max_size=30))
def test_each_comes_up_once_at_the_last_time_it_was_set_to(steps: list[tuple[int, int | None]]) -> None:
    wheel, ones = Wheel(), [Waiting() for _ in range(6)]
    due: dict[int, int] = {}
    for which, milliseconds in steps:
        if milliseconds is None:
            wheel.cancel(ones[which])
            due.pop(which, None)
        else:
            wheel.set(ones[which], milliseconds * MILLISECOND)
            due[which] = milliseconds * MILLISECOND
    came = {}
    for now in range(0, 100 * MILLISECOND, MILLISECOND):
        while (one := wheel.pop(now)) is not None:
            came[ones.index(one)] = now
    assert came.keys() == due.keys()
    assert all(due[which] <= came[which] <= due[which] + BUCKET + MILLISECOND for which in due)
    assert wheel.next_due() is None


def test_the_next_time_is_the_earliest() -> None:
    wheel, one, other = Wheel(), Waiting(), Waiting()
    wheel.set(one, 90 * MILLISECOND)
    wheel.set(other, 50 * MILLISECOND)
    due = wheel.next_due()
    assert due is not None
    assert 50 * MILLISECOND <= due <= 50 * MILLISECOND + BUCKET
    assert wheel.pop(due - 1) is None
    assert wheel.pop(due) is other


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


def test_a_few_are_always_free() -> None:
    budget = RetryBudget(RetryConstraint(percent=0, min_count=2, min_interval=SECOND))
    now = 50 * SECOND
    assert [budget.take(now) for _ in range(3)] == [True, True, False]
    assert not budget.take(now + SECOND - 1)
    assert [budget.take(now + SECOND) for _ in range(3)] == [True, True, False]
