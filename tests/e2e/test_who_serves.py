"""Who serves what: a canary beside stable pods, a full quota of Services, and endpoints that were chosen by hand."""

from __future__ import annotations

from typing import Any

from e2e.cluster import Cluster, wait_for
from e2e.load import Load, Report
from e2e.manifests import caller, replicas, service, tcp_service

Document = dict[str, Any]
CALLERS = ("web", "plain")


def with_track(document: Document, track: str) -> Document:
    """Let a Deployment make pods of the app `orders` with a label of their track."""
    labels = {"app": "orders", "track": track}
    document["spec"]["selector"]["matchLabels"] = labels
    document["spec"]["template"]["metadata"]["labels"] = labels
    return document


def selecting(document: Document, selector: Document) -> Document:
    document["spec"]["selector"] = selector
    return document


def sent(namespace: str, name: str, host: str) -> Report:
    """Send some messages, all of which are answered."""
    with Load(namespace, name, host=host, total=600, window=10) as load:
        report = load.report()
    assert not report.failed, report
    assert not report.hung
    return report


def test_callers_of_a_canary_reach_the_canary_only(cluster: Cluster) -> None:
    stable, canary = {"app": "orders"}, {"app": "orders", "track": "canary"}
    with cluster.namespace("e2e-canary") as there:
        cluster.apply(
            service(there), selecting(service(there, "orders-canary"), canary),
            selecting(tcp_service(there), stable), selecting(tcp_service(there, "orders-canary"), canary),
            with_track(replicas(there, "orders", count=2), "stable"),
            with_track(replicas(there, "orders-canary", count=1), "canary"),
            caller(there), caller(there, "plain", sidecar=False),
        )  # fmt: skip
        cluster.rolled_out(there, "orders", "orders-canary", *CALLERS)
        for name in ("orders", "orders-canary"):
            injected = lambda name=name: cluster.condition(there, name, "Injected").get("reason") == "AllInjected"  # noqa: E731
            wait_for(f"{name} is served", injected)
            assert cluster.condition(there, name, "InboundReady")["reason"] == "SharedPort"
        for name in CALLERS:
            report = sent(there, name, "orders-canary")
            assert all(pod.startswith("orders-canary-") for pod in report.answers), report
        assert len(sent(there, "web", "orders").answers) == 3, "the stable Service has the canary's pods, too"


def test_a_full_quota_of_services_loses_nothing(cluster: Cluster) -> None:
    with cluster.namespace("e2e-quota") as there:
        metadata = {"name": "full", "namespace": there}
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": {"services": "1"}}}
        cluster.apply(service(there), quota)
        cluster.apply(tcp_service(there), replicas(there), caller(there), caller(there, "plain", sidecar=False))
        cluster.rolled_out(there, "orders", *CALLERS)
        wait_for(
            "the condition Programmed",
            lambda: cluster.condition(there, "orders", "Programmed").get("reason") == "ServiceRefused",
        )
        message = cluster.condition(there, "orders", "Programmed")["message"]
        assert "exceeded quota: full" in message
        assert cluster.condition(there, "orders", "Ready")["status"] == "True"
        for name in CALLERS:
            assert len(sent(there, name, "orders").answers) == 3
        cluster.kubectl("delete", "resourcequota", "-n", there, "full")
        wait_for("it is made", lambda: cluster.condition(there, "orders", "Programmed").get("status") == "True", 120)
        assert len(sent(there, "web", "orders").answers) == 3


def test_a_service_without_a_selector_is_served_from_its_endpoint_slices(cluster: Cluster) -> None:
    with cluster.namespace("e2e-by-hand") as there:
        cluster.apply(replicas(there, "legacy", count=2))
        cluster.rolled_out(there, "legacy")
        pods = cluster.get("pods", "-n", there, "-l", "app=legacy")["items"]
        by_hand = {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "orders-1", "namespace": there, "labels": {"kubernetes.io/service-name": "orders"}},
            "endpoints": [{"addresses": [pod["status"]["podIP"]]} for pod in pods],
            "ports": [{"name": "nestjs", "port": 3001}],
        }  # fmt: skip
        bare, spec = service(there), tcp_service(there)
        del bare["spec"]["selector"], spec["spec"]["selector"]
        cluster.apply(bare, by_hand, spec)
        wait_for("it is served", lambda: cluster.condition(there, "orders", "Ready").get("reason") == "Serving")
        cluster.apply(caller(there), caller(there, "plain", sidecar=False))
        cluster.rolled_out(there, *CALLERS)
        (web,) = cluster.get("pods", "-n", there, "-l", "app=web")["items"]
        assert [each["hostnames"][0] for each in web["spec"]["hostAliases"]] == ["orders"]
        for name in CALLERS:
            sent(there, name, "orders")
        assert len(sent(there, "web", "orders").answers) == 2
