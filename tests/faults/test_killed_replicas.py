"""Replicas that are killed or hang under load: nothing hangs, nothing runs twice, idempotent requests all succeed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from faults.fleet import QUICK_PROBES, WAYS, Fleet, Report, Way
from shell.running import wait_until

if TYPE_CHECKING:
    from pathlib import Path

RATE = 500
KILL_SECONDS = 30
EVERY_SECONDS = 2.0
SAMPLE_SLACK = 4
"""The count of requests in flight is read some ms before the kill; about one write arrives at a replica each 12 ms."""


def _ran_once(fleet: Fleet) -> None:
    twice = {key: pids for key, pids in fleet.runs().items() if len(pids) > 1}
    assert twice == {}


def _nothing_hung(report: Report) -> None:
    assert report.ended == report.sent
    assert report.slowest_ms < 20_000


@pytest.mark.parametrize("way", WAYS)
def test_a_replica_killed_every_two_seconds(way: Way, tmp_path: Path) -> None:
    with Fleet(way, tmp_path) as fleet:
        in_flight = 0
        with fleet.load(rate=RATE, seconds=KILL_SECONDS) as load:
            kills = int(KILL_SECONDS / EVERY_SECONDS) - 1
            began = time.monotonic()
            for turn in range(kills):
                time.sleep(max(0.0, began + (turn + 1) * EVERY_SECONDS - time.monotonic()))
                replica = fleet.replicas[turn % 3]
                wait_until(lambda: len(fleet.healthy()) == 3, "those killed before are back")
                in_flight += fleet.in_flight(replica.name) + SAMPLE_SLACK
                replica.kill()
                replica.start()
            report = load.report()
        _nothing_hung(report)
        assert report.sent >= RATE * KILL_SECONDS * 0.8
        assert report.failed_of("read") == []
        assert {failure[2] for failure in report.failed} <= {"connection_closed"}
        assert len(report.failed) <= in_flight, report.failed
        _ran_once(fleet)


@pytest.mark.parametrize("way", WAYS)
def test_replicas_that_hang_are_found_by_the_probe(way: Way, tmp_path: Path) -> None:
    with Fleet(way, tmp_path, flags=QUICK_PROBES) as fleet:
        with fleet.load(rate=RATE, seconds=10) as load:
            time.sleep(2)
            fleet.stop_replica(fleet.replicas[1])
            report = load.report()
        _nothing_hung(report)
        assert report.failed_of("read") == []
        assert {failure[2] for failure in report.failed} <= {"connection_closed"}
        assert report.replicas["a"] + report.replicas["c"] > report.sent * 0.7
        _ran_once(fleet)
