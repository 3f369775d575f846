"""Changes under load: replicas come and go by the manifest, a wrong manifest changes nothing, a sidecar leaves."""

from __future__ import annotations

import time
import urllib.request
from typing import TYPE_CHECKING

import pytest

from cluster.running import wait_for
from faults.fleet import WAYS, Fleet, Way

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("way", WAYS)
def test_replicas_come_and_go_with_no_error(way: Way, tmp_path: Path) -> None:
    with Fleet(way, tmp_path) as fleet, fleet.load(rate=400) as load:
        a, b, c = fleet.replicas
        for present in ([a], [a, b, c], [b, c]):
            time.sleep(1.5)
            fleet.publish(present)
        time.sleep(1.5)
        fleet.break_manifest()
        wait_for("it is refused", lambda: any("spec.port" in line for line in complaints(fleet)), fleet.sidecar)
        time.sleep(1.5)
        load.stop()
        report = load.report()
    assert report.failed == []
    assert report.ended == report.sent
    assert min(report.replicas.values()) > 300


def complaints(fleet: Fleet) -> list[str]:
    return [line for line in fleet.sidecar.stderr.splitlines() if "manifest_refused" in line]


def test_a_replica_whose_sidecar_drains_costs_no_message(tmp_path: Path) -> None:
    with Fleet("two", tmp_path) as fleet, fleet.load(rate=400) as load:
        for name in "ab":
            time.sleep(2)
            pod = fleet.pods[name]
            drain = urllib.request.Request(f"http://127.0.0.1:{pod.ports['admin']}/drain", method="POST")
            with urllib.request.urlopen(drain, timeout=120) as answer:
                assert answer.status == 200
            pod.stop()
            fleet.replicas[ord(name) - ord("a")].kill()
        time.sleep(2)
        load.stop()
        report = load.report()
    assert report.failed == []
    assert report.ended == report.sent
