"""Counting the durations of messages."""

from __future__ import annotations

from core.exchange.stage import Stage, service
from tcpservice.exchange import Durations
from tcpservice.snapshot import MILLISECOND, SECOND


def test_durations_are_counted_in_buckets_by_labels() -> None:
    stage = Stage(service(1))
    client = stage.client()
    for number, milliseconds in enumerate((1, 5, 5, 2000)):
        client.ask(str(number))
        stage.pass_time(milliseconds * MILLISECOND)
        stage.upstream().reply(str(number))
    client.emit()
    durations = Durations((2 * MILLISECOND, SECOND))
    durations.add(stage.rows[:2])
    durations.add(stage.rows[2:])
    requests = durations.series[False, "shop/orders", None, "request", "ok"]
    assert requests.counts == [1, 2, 1]
    assert requests.total == 2011 * MILLISECOND
    assert durations.series[False, "shop/orders", None, "event", "ok"].counts == [1, 0, 0]
    assert not durations.retries


def test_rows_go_to_the_series_of_their_own_labels_in_whatever_order_they_come() -> None:
    stage = Stage(service(1))
    client = stage.client()
    for number in range(3):
        client.ask(str(number))
        stage.pass_time(number * SECOND)
        stage.upstream().reply(str(number))
        client.emit()
    durations = Durations((SECOND // 2,))
    for row in stage.rows:
        durations.add([row])
    assert durations.series[False, "shop/orders", None, "request", "ok"].counts == [1, 2]
    assert durations.series[False, "shop/orders", None, "event", "ok"].counts == [3, 0]


def test_a_sum_has_no_bound() -> None:
    durations = Durations((SECOND,))
    stage = Stage(service(1))
    client = stage.client()
    client.ask("1")
    stage.pass_time(SECOND)
    stage.upstream().reply("1")
    durations.add(stage.rows)
    (series,) = durations.series.values()
    series.total += 1 << 63
    durations.add(stage.rows)
    assert series.total == (1 << 63) + 2 * SECOND


def test_attempts_after_the_first_are_counted() -> None:
    stage = Stage(service(2))
    stage.refusing = {"r0"}
    client = stage.client()
    for number in range(10):
        client.ask(str(number))
        stage.upstream("r1").reply(str(number))
    durations = Durations(())
    durations.add(stage.rows)
    assert durations.retries == {"shop/orders": 1}
