"""Pods of all kinds on a real node: they work, or say why not."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from e2e.cluster import TAG, Cluster, wait_for
from e2e.load import MIX, Load, Report
from e2e.manifests import caller, replicas, service, tcp_service

CALLS = {"tcpservice.dev/inject": "enabled"}
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def served(namespace: str, name: str = "web", **options: Any) -> Report:
    """Send a few, all of which are answered."""
    report = sent(namespace, name, **options)
    assert not report.failed, report
    return report


def sent(namespace: str, name: str = "web", **options: Any) -> Report:
    """Send a few, of which some may fail."""
    with Load(namespace, name, **{"total": 600, "window": 10, **options}) as load:
        return load.report()


def once(namespace: str, **options: Any) -> Any:
    """Send one message; return its answer or its error."""
    with Load(namespace, "web", **options) as load:
        return load.answer() or {}


def test_a_chain_of_services_at_one_port_with_a_call_of_itself(cluster: Cluster) -> None:
    following = {"a": "b:3001,a:3001", "b": "c:3001", "c": ""}
    with cluster.namespace("e2e-chain") as there:
        apps = [
            replicas(there, name, count=2, labels=CALLS, env=[{"name": "NEXT", "value": places}])
            for name, places in following.items()
        ]
        known = [make(there, name) for name in following for make in (tcp_service, service)]
        cluster.apply(*known, *apps, caller(there))
        cluster.rolled_out(there, *following, "web")
        # kube-proxy takes a second to know what is ready, and calls take the Service's address here.
        wait_for("the Services lead somewhere", lambda: "answer" in once(there, host="a", once="chain", data=2))
        report = served(there, host="a", mix={"chain": 1}, data=2, total=400, rate=0)
        asked = Counter(name for names, count in report.answers.items() for name in names.split(",") * count)
        by_service = {service: {n: c for n, c in asked.items() if n.startswith(f"{service}-")} for service in following}
        print(by_service)
        for counts in by_service.values():
            assert len(counts) == 2
            # A slower replica gets fewer messages; balancing by connection would give one of them all.
            assert min(counts.values()) > 0.5 * max(counts.values()), "balanced"
        (pod, *_) = cluster.get("pods", "-n", there, "-l", "app=a")["items"]
        notes = pod["metadata"]["annotations"]["tcpservice.dev/injection-notes"]
        for name in following:
            assert (
                f"{there}/{name}: calls bypass the sidecar (no alias), because the app itself may listen on port 3001"
                in notes
            )
        told = cluster.condition(there, "b", "Injected")["message"]
        assert "6 callers have no alias for this TcpService" in told, told


def test_an_own_prestop_is_kept(cluster: Cluster) -> None:
    own = {"preStop": {"exec": {"command": ["sleep", "3"]}}}
    with cluster.namespace("e2e-prestop") as there:
        cluster.apply(service(there), tcp_service(there), replicas(there, lifecycle=own), caller(there))
        cluster.rolled_out(there, "orders", "web")
        (pod, *_) = cluster.get("pods", "-n", there, "-l", "app=orders")["items"]
        assert pod["spec"]["containers"][0]["lifecycle"] == own
        with Load(there, seconds=30, rate=300, mix=MIX) as load:
            cluster.restart(there, "orders")
            report = load.report()
        assert not report.failed, report
        assert not report.hung


def test_a_restricted_namespace(cluster: Cluster) -> None:
    with cluster.namespace("e2e-restricted", **{"pod-security.kubernetes.io/enforce": "restricted"}) as there:
        calling = caller(there)
        calling["spec"]["template"]["spec"]["containers"][0]["securityContext"] = RESTRICTED
        cluster.apply(service(there), tcp_service(there), replicas(there, securityContext=RESTRICTED), calling)
        cluster.rolled_out(there, "orders", "web")
        assert len(served(there).answers) == 3


def test_two_tcp_services_in_one_pod(cluster: Cluster) -> None:
    with cluster.namespace("e2e-two") as there:
        both = replicas(there)
        second = {
            "name": "second", "image": f"nest-12:{TAG}", "env": [{"name": "PORT", "value": "3002"}],
            "ports": [{"name": "billing", "containerPort": 3002}],
            "readinessProbe": {"tcpSocket": {"port": "billing"}, "periodSeconds": 1},
        }  # fmt: skip
        both["spec"]["template"]["spec"]["containers"].append(second)
        billing = service(there, "billing", 3002, "billing")
        billing["spec"]["selector"] = {"app": "orders"}
        cluster.apply(
            tcp_service(there), service(there), billing,
            tcp_service(there, "billing", selector={"app": "orders"}, port=3002, targetPort="billing"),
            both, caller(there),
        )  # fmt: skip
        cluster.rolled_out(there, "orders", "web")
        assert len(served(there).answers) == 3
        assert len(served(there, host="billing", port=3002).answers) == 3


@pytest.mark.parametrize("kind", ["StatefulSet", "localhost"])
def test_other_ways_to_serve(cluster: Cluster, kind: str) -> None:
    with cluster.namespace(f"e2e-{kind.lower()}") as there:
        serving = replicas(there)
        if kind == "StatefulSet":
            serving["kind"] = kind
            serving["spec"]["serviceName"] = "orders"
        else:
            (container,) = serving["spec"]["template"]["spec"]["containers"]
            container["env"] = [{"name": "HOST", "value": "localhost"}]
            del container["readinessProbe"]  # a kubelet could not reach it either
        cluster.apply(service(there), tcp_service(there), serving, caller(there))
        cluster.kubectl("rollout", "status", "-n", there, f"{serving['kind']}/orders", "--timeout=120s")
        cluster.rolled_out(there, "web")
        # Without a readiness probe, pods are ready before their apps listen, and all apps may refuse a request.
        wait_for("all apps listen", lambda: len(sent(there).answers) == 3)
        assert len(served(there).answers) == 3


def test_a_job_calls_and_completes(cluster: Cluster) -> None:
    with cluster.namespace("e2e-job") as there:
        cluster.apply(service(there), tcp_service(there), replicas(there))
        cluster.rolled_out(there, "orders")
        (template,) = [caller(there, "job")["spec"]["template"]]
        template["spec"]["restartPolicy"] = "Never"
        template["spec"]["containers"][0]["command"] = ["node", "caller.mjs", json.dumps({"total": 100, "window": 5})]
        spec = {"template": template, "backoffLimit": 0}
        cluster.apply(
            {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job", "namespace": there}, "spec": spec}
        )
        cluster.kubectl("wait", "-n", there, "job/job", "--for=condition=Complete", "--timeout=60s")
        said = cluster.kubectl("logs", "-n", there, "job/job", "-c", "app")
        report = Report(said.splitlines()[-1])
        assert not report.failed
        assert len(report.answers) == 3, report
