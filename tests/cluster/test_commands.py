"""Each condition's command, when typed, does what it says."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from cluster.apiserver import ApiServer
from cluster.running import SERVICES, Operator, condition, create, empty, wait_for
from control.objects import network_policy, pod, service, tcp_service

MINE = {"app": "orders"}


@pytest.fixture(autouse=True)
def _clean(api: ApiServer) -> Iterator[None]:
    yield
    api.kubectl("delete", "deployments", "-n", "shop", "--all")
    empty(api)
    api.kubectl("label", "namespace", "shop", "tcpservice.dev/inject-")


def command(api: ApiServer, kind: str) -> list[str]:
    """Return the command at the end of a condition's message."""
    conditions = api.get(f"{SERVICES}/orders")["status"]["conditions"]
    (message,) = (one["message"] for one in conditions if one["type"] == kind)
    return shlex.split(re.sub(r"^.*?(?=\bkubectl )", "", message))


def without_selector() -> dict[str, Any]:
    body = tcp_service()
    del body["spec"]["selector"]
    return body


def headless() -> dict[str, Any]:
    body = service("orders-replicas", selector={"app": "x"})
    del body["spec"]["clusterIP"]
    return body


class Case(NamedTuple):
    """What is wrong, what says so, and what holds once the command was typed."""

    bodies: list[dict[str, Any]]
    kind: str
    reason: str
    then: str


CASES = [
    Case([without_selector()], "Accepted", "NoSelector", "Accepted"),
    Case([headless(), tcp_service()], "Programmed", "ServiceTaken", "Programmed"),
    Case([service(), tcp_service(port=3009), pod("a")], "FrontReady", "PortMissing", "FrontReady"),
    Case(
        [service(ports=[{"port": 80, "targetPort": "nestjs"}]), tcp_service(), pod("a")],
        "FrontReady",
        "PortMissing",
        "FrontReady",
    ),
    Case([tcp_service(), pod("a"), network_policy()], "Ready", "MeshPortClosed", "Serving"),
    Case([tcp_service(), pod("a"), network_policy({"ports": [{"port": 3001}]})], "Ready", "MeshPortClosed", "Serving"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.reason)
def test_what_is_wrong_is_mended(api: ApiServer, case: Case) -> None:
    for body in case.bodies:
        if "podSelector" in body["spec"]:
            whole = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", **body}
            api.kubectl("apply", "-f", "-", text=json.dumps(whole))
        else:
            create(api, body)
    with Operator(api) as operator:
        wait_for("it is told", lambda: condition(api, case.kind)[1] == case.reason, operator)
        typed = command(api, case.kind)
        assert typed[0] == "kubectl"
        api.kubectl(*typed[1:])
        wait_for("it is mended", lambda: condition(api, case.kind)[1] == case.then, operator)


def deployment(port: str) -> dict[str, Any]:
    container = {"name": "app", "image": "none", "ports": [{"name": port, "containerPort": 3001}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "orders", "namespace": "shop"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": MINE},
            "template": {"metadata": {"labels": MINE}, "spec": {"containers": [container]}},
        },
    }


def test_a_missing_port_is_named_and_pods_are_looked_at_and_made_anew(api: ApiServer) -> None:
    api.kubectl("apply", "-f", "-", text=json.dumps(deployment("web")))
    create(api, tcp_service())
    with Operator(api) as operator:
        wait_for("the port is missed", lambda: condition(api, "Ready")[1] == "TargetPortMissing", operator)
        api.kubectl(*command(api, "Ready")[1:])
        # Nobody makes pods ready here, so the controller keeps the old one, which lacks the port.
        api.kubectl("delete", "pods", "-n", "shop", "-l", "app=orders", "--grace-period=0", "--force")
        wait_for("the pods have it", lambda: condition(api, "Ready")[1] == "NoReplicas", operator)
        assert re.search(r"^orders-\w+-\w+ +0/1 ", api.kubectl(*command(api, "Ready")[1:]), re.MULTILINE)
        wait_for("they lack the sidecar", lambda: condition(api, "Injected")[1] == "PodsLackSidecar", operator)
        assert "restarted" in api.kubectl(*command(api, "Injected")[1:])


def test_a_headless_service_is_for_callers_with_a_sidecar(api: ApiServer) -> None:
    body = service()
    document = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "orders", "namespace": "shop"},
        "spec": {**body["spec"], "clusterIP": "None"},
    }  # fmt: skip
    api.kubectl("apply", "-f", "-", text=json.dumps(document))
    create(api, tcp_service())
    with Operator(api) as operator:
        wait_for("it is told", lambda: condition(api, "FrontReady")[1] == "HeadlessService", operator)
        api.kubectl(*command(api, "FrontReady")[1:])
        assert api.get("/api/v1/namespaces/shop")["metadata"]["labels"]["tcpservice.dev/inject"] == "enabled"
