"""Sidecars on the operator's stream, under traffic of real NestJS apps."""

from __future__ import annotations

import json
import time

from cluster.running import SECONDS, Operator, wait_for
from pods.scene import LOAD_SECONDS, NAMESPACE, Pod, Scene, tcp_service


def apply(scene: Scene, **spec: object) -> None:
    scene.api.kubectl("apply", "-f", "-", text=json.dumps(tcp_service(**spec)))


def knows(caller: Pod, operator: Operator, *names: str, seconds: float = SECONDS) -> None:
    what = f"{names} are known"
    wait_for(what, lambda: set(caller.replicas()) == set(names), caller.sidecar, operator, seconds=seconds)


def test_replicas_and_policies_come_to_the_sidecar_under_traffic(scene: Scene) -> None:
    with scene.operator() as operator:
        apply(scene)
        scene.pod("orders-a")
        scene.pod("orders-b")
        caller = scene.caller()
        knows(caller, operator, "orders-a", "orders-b")
        with caller.load(rate=200) as load:
            scene.pod("orders-c")
            ready = time.monotonic()
            knows(caller, operator, "orders-a", "orders-b", "orders-c")
            print(f"ready -> on the stream: {time.monotonic() - ready:.2f} s")
            changed = time.monotonic()
            apply(scene, loadBalancing={"algorithm": "RoundRobin"})
            wait_for("the new policy is in force", lambda: caller.view()["algorithm"] == "RoundRobin", operator)
            print(f"applied -> in force: {time.monotonic() - changed:.2f} s")
            wait_for("all are connected", lambda: len(caller.connected()) == 3, caller.sidecar, operator)
            time.sleep(LOAD_SECONDS)
            load.stop()
            report = load.report()
        assert not report.failed
        assert report.ended == report.sent
        assert set(report.replicas) == {"orders-a", "orders-b", "orders-c"}
        assert operator.figure("streams") == 4
        assert NAMESPACE in caller.view()["service"]
