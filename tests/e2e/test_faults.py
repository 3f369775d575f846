"""What dies on a real node: sidecars by their own process or by the kernel, and whole pods; the rest goes on."""

from __future__ import annotations

import time
from typing import Any

import pytest

from e2e.cluster import Cluster, wait_for
from e2e.load import MIX, Load, Pods
from e2e.manifests import caller, on_the_node, replicas, service, tcp_service

IN_FLIGHT = 60
"""At 300 requests a second, 6 % of which take two seconds: how many wait at one time, with a margin."""

KILL = """
import os, pathlib, signal, sys
found = [path for path in pathlib.Path("/proc").glob("[0-9]*/cgroup") if sys.argv[1] in path.read_text()]
for path in found:
    os.kill(int(path.parent.name), signal.SIGKILL)
print(len(found))
"""


def sidecar_of(cluster: Cluster, namespace: str, pod: str) -> dict[str, object]:
    """Return the status of a pod's sidecar."""
    (found,) = cluster.get("pods", "-n", namespace, pod)["status"]["initContainerStatuses"]
    return dict(found)


def test_a_sidecar_that_ends_comes_back_and_costs_nothing(cluster: Cluster) -> None:
    with cluster.namespace("e2e-ends") as there:
        cluster.apply(service(there), tcp_service(there), replicas(there), caller(there))
        cluster.rolled_out(there, "orders", "web")
        (pod, *_) = cluster.get("pods", "-n", there, "-l", "app=orders")["items"]
        name = pod["metadata"]["name"]
        with Load(there, seconds=20, rate=300, mix=MIX) as load:
            ending = "import os, signal; os.kill(1, signal.SIGTERM)"
            cluster.kubectl("exec", "-n", there, name, "-c", "tcpservice-sidecar", "--", "python", "-c", ending)
            report = load.report()
        assert not report.failed, report
        assert not report.hung
        (after,) = cluster.get("pods", "-n", there, name)["status"]["initContainerStatuses"]
        assert (after["restartCount"], after["ready"]) == (1, True)
        with Load(there, total=600, window=10) as again:
            assert again.report().answers[name] > 100


@pytest.mark.parametrize("whose", ["orders", "web"])
def test_a_sidecar_that_is_killed_costs_what_it_had_in_hand(cluster: Cluster, whose: str) -> None:
    with cluster.namespace("e2e-kills") as there:
        cluster.apply(service(there), tcp_service(there), replicas(there), caller(there), on_the_node(there))
        cluster.rolled_out(there, "orders", "web", "node")
        (pod, *_) = cluster.get("pods", "-n", there, "-l", f"app={whose}")["items"]
        name = pod["metadata"]["name"]
        number = str(sidecar_of(cluster, there, name)["containerID"]).rpartition("/")[2]
        with Load(there, seconds=15, rate=300, mix=MIX) as load:
            killed = cluster.kubectl("exec", "-n", there, "deployment/node", "--", "python", "-c", KILL, number)
            assert killed.strip() == "1"
            report = load.report()
        print(f"the sidecar of {whose} was killed: {report}")
        assert not report.hung
        assert not any("has no endpoint" in reason for reason in report.failed), report
        if whose == "orders":
            assert report.lost <= IN_FLIGHT, report
        wait_for("it is back", lambda: sidecar_of(cluster, there, name)["ready"])
        assert sidecar_of(cluster, there, name)["restartCount"] == 1
        with Load(there, total=900, window=10) as again:
            report = again.report()
        assert not report.failed, report
        assert all(count > 100 for count in report.answers.values()), report


def test_an_app_that_is_restarted_alone_loses_nothing(cluster: Cluster) -> None:
    """Its liveness probe fails while it serves: the pod stays, and so does its sidecar."""
    probe = {"exec": {"command": ["test", "!", "-e", "/tmp/sick"]}, "periodSeconds": 1, "failureThreshold": 1}

    def app_of(pod: str) -> dict[str, Any]:
        (found,) = cluster.get("pods", "-n", there, pod)["status"]["containerStatuses"]
        return dict(found)

    with cluster.namespace("e2e-anew") as there:
        cluster.apply(service(there), tcp_service(there), replicas(there, livenessProbe=probe), caller(there))
        cluster.rolled_out(there, "orders", "web")
        (pod, *_) = cluster.get("pods", "-n", there, "-l", "app=orders")["items"]
        name = pod["metadata"]["name"]
        with Load(there, seconds=30, rate=300, mix=MIX) as load:
            cluster.kubectl("exec", "-n", there, name, "-c", "app", "--", "touch", "/tmp/sick")
            wait_for("the app is made anew", lambda: app_of(name)["restartCount"] == 1 and app_of(name)["ready"])
            back = time.time()
            report = load.report()
        print(f"an app was made anew: {report}")
        assert not report.failed, report
        assert not report.hung
        assert report.replicas[name]["last"] / 1000 > back, "it is chosen again"
        assert sidecar_of(cluster, there, name)["restartCount"] == 0


@pytest.mark.parametrize("name", ["web", "plain"])
def test_a_replica_that_dies_at_once_costs_what_it_had(cluster: Cluster, name: str) -> None:
    with cluster.namespace("e2e-dies") as there:
        cluster.apply(service(there), tcp_service(there), replicas(there), caller(there, name, sidecar=name == "web"))
        cluster.rolled_out(there, "orders", name)
        with Pods.watched(there) as pods:
            victim, *_ = wait_for("three are seen", lambda: len(pods.ready) == 3 and list(pods.ready))
            with Load(there, name, seconds=8, rate=300) as load:
                cluster.kubectl("delete", "pod", "-n", there, victim, "--grace-period=0", "--force")
                report = load.report()
        assert not report.hung
        assert report.lost < 300, report
