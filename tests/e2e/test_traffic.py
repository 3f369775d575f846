"""One apply, and messages are balanced; replicas come and go, and nothing is lost."""

from __future__ import annotations

from e2e.cluster import Cluster, wait_for
from e2e.load import Load, Pods
from e2e.manifests import caller, replicas, service, tcp_service

NEW_WITHIN_S = 60.0


def test_one_apply_balances_callers_with_and_without_a_sidecar(cluster: Cluster) -> None:
    with cluster.namespace("e2e-spread") as there:
        cluster.apply(
            tcp_service(there), service(there), replicas(there), caller(there), caller(there, "plain", sidecar=False)
        )
        cluster.rolled_out(there, "orders", "web", "plain")
        for name in ("web", "plain"):
            with Load(there, name, total=9000, window=30) as load:
                report = load.report()
            assert not report.failed, report
            assert len(report.answers) == 3, report
            assert all(2100 <= count <= 3900 for count in report.answers.values()), report
        listed = cluster.kubectl("get", "tcps", "-n", there)
        assert listed.split("\n")[1].split()[:6] == ["orders", "True", "3", "3", "3001", "Serving"], listed


def answering(namespace: str) -> set[str]:
    """Return the names of the replicas that answer the caller's sidecar now."""
    with Load(namespace, total=100, window=10) as load:
        return set(load.report().answers)


def test_replicas_come_and_go_under_load(cluster: Cluster) -> None:
    with cluster.namespace("e2e-scale") as there:
        cluster.apply(service(there), tcp_service(there), replicas(there), caller(there))
        cluster.rolled_out(there, "orders", "web")
        with Pods.watched(there) as pods, Load(there, seconds=40, rate=300) as load:
            old = set(wait_for("three are seen", lambda: len(pods.ready) == 3 and pods.ready))
            cluster.kubectl("scale", "-n", there, "deployment/orders", "--replicas=6")
            cluster.rolled_out(there, "orders")
            new = wait_for("three more are ready", lambda: len(pods.ready) == 6 and set(pods.ready) - old)
            wait_for("they are used", lambda: new <= answering(there))
            cluster.kubectl("scale", "-n", there, "deployment/orders", "--replicas=2")
            report = load.report()
        assert not report.failed, report
        assert not report.hung
        late = {name: report.replicas[name]["first"] / 1000 - pods.ready[name] for name in new}
        print(f"new replicas after {late}")
        assert all(seconds < NEW_WITHIN_S for seconds in late.values()), late
