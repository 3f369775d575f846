"""TcpServices come to Deployments that run already, and go again: nobody notices but for the better."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

from e2e.cluster import Cluster, wait_for
from e2e.load import MIX, Load
from e2e.manifests import caller, replicas, service, tcp_service

ON_A_CONNECTION = 60
"""How many of 300 requests a second wait on one connection when it is cut, or come before it stands again."""


def test_a_tcp_service_comes_to_what_runs_and_goes_again(cluster: Cluster) -> None:
    with cluster.namespace("e2e-adopt") as there:
        cluster.apply(service(there), replicas(there), caller(there), caller(there, "plain", sidecar=False))
        cluster.rolled_out(there, "orders", "web", "plain")

        def condition(kind: str) -> tuple[str, str]:
            found = cluster.condition(there, "orders", kind)
            return found.get("status", ""), found.get("reason", "")

        def lost_by_a_rollout(name: str) -> int:
            with Load(there, name, seconds=35, rate=300, mix=MIX) as load:
                cluster.restart(there, "orders")
                report = load.report()
            assert not report.hung, report
            print(report)
            return report.lost

        before = lost_by_a_rollout("plain")
        with Load(there, "plain", seconds=10, rate=300, mix=MIX) as load:
            cluster.apply(tcp_service(there))
            wait_for("the condition", lambda: condition("Injected") == ("False", "PodsLackSidecar"))
            assert condition("InboundReady") == ("False", "NoSidecar")
            wait_for("it serves", lambda: condition("Ready") == ("True", "Serving"))
            report = load.report()
        assert not report.failed, report

        during = lost_by_a_rollout("plain")
        print(f"lost by a rollout: {before} by Kubernetes alone, {during} while sidecars came")
        assert during <= 3 * ON_A_CONNECTION, "its one connection may go from old pod to old pod, which NestJS cuts"
        wait_for("all have it", lambda: condition("Injected") == ("True", "AllInjected"))
        wait_for("so has the inbound listener", lambda: condition("InboundReady") == ("True", "InboundReady"))

        cluster.restart(there, "web")
        with (
            Load(there, "web", seconds=10, rate=300, mix=MIX) as with_sidecar,
            Load(there, "plain", seconds=10, rate=300, mix=MIX) as without,
        ):
            cluster.kubectl("delete", "tcpservice", "-n", there, "orders")
            for load in (with_sidecar, without):
                report = load.report()
                assert not report.failed, report
                assert not report.hung
                assert len(report.answers) == 3, report


def assert_all_get_it(cluster: Cluster, namespace: str) -> None:
    """All pods have the sidecar in the end."""

    def reason() -> object:
        return cluster.condition(namespace, "orders", "Injected").get("reason")

    wait_for("all have the sidecar", lambda: reason() == "AllInjected", seconds=120)
    cluster.rolled_out(namespace, "orders")


def test_one_chart_with_apps_and_tcp_service_ends_injected(cluster: Cluster, tmp_path: Path) -> None:
    """Helm makes custom resources last."""
    with cluster.namespace("e2e-helm") as there:
        documents = [tcp_service(there, injection={"restart": "Evict"}), service(there), replicas(there)]
        (tmp_path / "templates").mkdir()
        (tmp_path / "templates" / "all.yaml").write_text(yaml.safe_dump_all(documents))
        (tmp_path / "Chart.yaml").write_text("{apiVersion: v2, name: shop, version: 0.1.0}")
        cluster.helm("install", "shop", str(tmp_path), "-n", there)
        assert_all_get_it(cluster, there)


def test_pods_that_run_are_made_anew_where_that_is_asked_for(cluster: Cluster) -> None:
    with cluster.namespace("e2e-evict") as there:
        budget = {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "orders", "namespace": there},
            "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "orders"}}},
        }
        cluster.apply(service(there), replicas(there), budget)
        cluster.rolled_out(there, "orders")
        cluster.apply(tcp_service(there, injection={"restart": "Evict"}))
        assert_all_get_it(cluster, there)
        events = [each["reason"] for each in cluster.get("events", "-n", there)["items"]]
        assert events.count("Evicted") == 3
        assert "EvictingStopped" not in events


def test_the_check_finds_nothing_to_mend(cluster: Cluster) -> None:
    with cluster.namespace("e2e-check") as there:
        cluster.apply(service(there), tcp_service(there), replicas(there), caller(there))
        cluster.rolled_out(there, "orders", "web")
        wait_for("it is well", lambda: cluster.condition(there, "orders", "Injected").get("status") == "True")
        command = [str(Path(sys.executable).parent / "tcpservice"), "check", "-o", "json"]
        done = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=60, check=False)
        found = json.loads(done.stdout)
        assert done.returncode == 0, found
        told = {(each["mark"], each["subject"]) for each in found}
        subjects = ("cluster", "CRD", "webhook", "operator", "leader", "rights", f"{there}/orders")
        assert told >= {("passed", subject) for subject in subjects}
        assert any("The message path is compiled" in each["message"] for each in found)
