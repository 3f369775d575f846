"""The chart as people use it: the steps of the README, an upgrade and an uninstall under load."""

from __future__ import annotations

import json
import shlex
from typing import Any

import yaml

from cluster.found import helm
from e2e.cluster import HOME, ROOT, Cluster, make_image, wait_for
from e2e.load import Load
from e2e.manifests import caller, replicas, service, tcp_service

GUIDE = ROOT / "README.md"
HEADING = "### On kind, step by step"


def steps() -> list[str]:
    """Return the commands of the README's steps, one a line."""
    section = GUIDE.read_text().split(HEADING)[1].split("Ask whether all is well")[0]
    blocks = section.split("```")[1::2]
    lines = [line for block in blocks for line in block.removeprefix("sh\n").replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.strip()]


def take(cluster: Cluster, step: str) -> str:
    """Do a step; images are built and kind's cluster is made as this cluster has it. Return what it prints."""
    program, *arguments = shlex.split(step)
    if program == "docker":
        assert arguments[:2] == ["build", "-t"], step
        *options, context = arguments[3:]
        make_image(arguments[2], context, *options)
    elif program == "kind":
        known = (["create", "cluster", "--config", "examples/kind/cluster.yaml"], ["load", "docker-image"])
        assert any(arguments[: len(words)] == words for words in known), step
    elif program == "helm":
        return cluster.run(str(helm()), *arguments)
    else:
        assert program == "kubectl", step
        return cluster.kubectl(*arguments)
    return ""


def last_line(cluster: Cluster, step: str) -> dict[str, Any]:
    """Return what the caller of the shop said last."""
    lines = [line for line in take(cluster, step).splitlines() if line.startswith("{")]
    return json.loads(lines[-1]) if lines else {"answered": {}}


def test_the_configuration_for_kind_is_one() -> None:
    configuration = yaml.safe_load((ROOT / "examples" / "kind" / "cluster.yaml").read_text())
    assert (configuration["kind"], configuration["apiVersion"]) == ("Cluster", "kind.x-k8s.io/v1alpha4")
    assert [node["role"] for node in configuration["nodes"]] == ["control-plane", "worker", "worker"]


def test_an_upgrade_and_an_uninstall_leave_apps_running(cluster: Cluster) -> None:
    with cluster.namespace("e2e-chart") as there:
        cluster.apply(service(there), tcp_service(there), replicas(there), caller(there))
        cluster.rolled_out(there, "orders", "web")
        with Load(there, seconds=60, rate=300) as load:
            cluster.install("separateRoles=true", "replicas=1", "sidecar.memory=80Mi", pods=4)
            (hook,) = cluster.get("mutatingwebhookconfiguration", "tcpservice")["webhooks"]
            assert hook["clientConfig"]["caBundle"], "an upgrade leaves what the operator wrote"
            said = cluster.helm("test", "tcpservice", "-n", HOME, "--logs")
            for line in ("passed  webhook", "passed  rights", "passed  leader", f"passed  {there}/orders"):
                assert line in said, said
            assert "\nfailed" not in said, said
            cluster.helm("uninstall", "tcpservice", "-n", HOME, "--wait")
            report = load.report()
        assert not report.failed, report
        assert cluster.get("tcpservices", "-n", there)["items"], "nobody's TcpServices go with the chart"
        cluster.install()
        wait_for("it is looked after again", lambda: cluster.condition(there, "orders", "Ready")["status"] == "True")


def test_the_steps_of_the_readme(cluster: Cluster) -> None:
    cluster.helm("uninstall", "tcpservice", "-n", HOME, "--wait")
    cluster.kubectl("delete", "namespace", "shop", HOME, "--ignore-not-found")
    try:
        said = []
        for step in steps():
            printed = take(cluster, step)
            if step.startswith("kubectl logs"):
                wait_for("orders are answered by all replicas", lambda: len(last_line(cluster, step)["answered"]) >= 3)  # noqa: B023
                said.append(last_line(cluster, step))
            if step.startswith("kubectl get tcpservices"):
                assert [line.split()[0] for line in printed.splitlines()[1:]] == ["orders", "prices", "stock"]
        before, after = said
        print(before, after)
        assert after["failed"] == before["failed"], "a rollout loses nothing"
        assert len(after["answered"]) > len(before["answered"])
    finally:
        cluster.kubectl("delete", "namespace", "shop", "--wait=false", "--ignore-not-found")
        cluster.install()
