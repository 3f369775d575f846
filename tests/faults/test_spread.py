"""One client's messages reach all replicas evenly, and a slow replica gets few of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from faults.fleet import WAYS, Fleet, Way

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("way", WAYS)
def test_9000_requests_of_one_connection_are_spread_evenly(way: Way, tmp_path: Path) -> None:
    with Fleet(way, tmp_path, work_ms=(1, 1, 1)) as fleet, fleet.load(total=9000, window=30) as load:
        report = load.report()
    assert report.failed == []
    assert report.ended == 9000
    assert {name: abs(count - 3000) <= 900 for name, count in report.replicas.items()} == dict.fromkeys("abc", True), (
        report.replicas
    )


@pytest.mark.parametrize("way", WAYS)
def test_of_50_callers_a_replica_ten_times_slower_gets_a_fraction(way: Way, tmp_path: Path) -> None:
    with Fleet(way, tmp_path, work_ms=(20, 20, 200)) as fleet, fleet.load(callers=50, total=6000) as load:
        report = load.report()
    assert report.failed == []
    assert report.replicas["c"] * 3 < min(report.replicas["a"], report.replicas["b"]), report.replicas
