"""The API server gone while pods come and go: messages go on, and all is right soon after.

The last file of this folder: Kubernetes' own controllers and the name server take minutes, at worst, to follow an API
server that was away, and no other test waits for them.
"""

from __future__ import annotations

import json

from cluster.running import wait_for
from pods.scene import BACK_SECONDS, SLICES, Scene
from pods.test_discovery import apply, knows


def test_the_api_server_goes_while_pods_come_and_go(scene: Scene) -> None:
    with scene.operator() as operator:
        apply(scene)
        dying = scene.pod("orders-a")
        scene.pod("orders-b")
        caller = scene.caller()
        knows(caller, operator, "orders-a", "orders-b")
        scene.api.child("kube-apiserver").kill()
        try:
            with caller.load(seconds=8, rate=200) as load:
                dying.close()
                report = load.report()
            lost = [failure for failure in report.failed if failure[2] != "connection_closed"]
            assert not lost, "only requests that the dead replica had may fail; the others go to other replicas"
            assert len(report.failed) <= 20
            assert report.ended == report.sent
        finally:
            scene.api.start("kube-apiserver")
        dying.tell(ready=False)
        new = scene.pod("orders-c")
        # Kubernetes' own controllers take their time to come back.
        wait_for("it is listed", lambda: new.ip in json.dumps(scene.api.get(SLICES)), operator, seconds=180)
        wait_for(
            "the sidecar knows the new replica",
            lambda: {name for name in caller.replicas() if name != "orders-a"} == {"orders-b", "orders-c"},
            caller.sidecar, operator, seconds=BACK_SECONDS,
        )  # fmt: skip
        assert operator.child.alive
