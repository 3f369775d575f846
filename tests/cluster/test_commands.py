"""Each condition's command, when typed, does what it says."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from cluster.apiserver import ApiServer
from cluster.running import SERVICES, Operator, condition, create, empty, make_ready, wait_for
from control.objects import network_policy, pod, service, tcp_service

MINE = {"app": "orders"}


@pytest.fixture(autouse=True)
def _clean(api: ApiServer) -> Iterator[None]:
    yield
    api.kubectl("delete", "deployments", "-n", "shop", "--all")
    empty(api)
    api.kubectl("label", "namespace", "shop", "tcpservice.dev/inject-")


def message(api: ApiServer, kind: str) -> str:
    """Return what a condition says, without the page that explains it."""
    conditions = api.get(f"{SERVICES}/orders").get("status", {}).get("conditions", [])
    return next((one["message"].partition("\n")[0] for one in conditions if one["type"] == kind), "")


def commands(api: ApiServer, kind: str) -> list[list[str]]:
    """Return the commands at the end of a condition's message."""
    text = re.sub(r"^.*?(?=\bkubectl )", "", message(api, kind))
    return [shlex.split(each) for each in text.split(" && ")]


def command(api: ApiServer, kind: str) -> list[str]:
    (only,) = commands(api, kind)
    return only


def type_all(api: ApiServer, kind: str) -> None:
    for typed in commands(api, kind):
        assert typed[0] == "kubectl"
        api.kubectl(*typed[1:])


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


BY_NUMBER: dict[str, Any] = {"port": 3001, "targetPort": 3001}
BY_NAME: dict[str, Any] = {"port": 3001, "targetPort": "web"}
FOR_MESH = network_policy({"ports": [{"port": 15801}]})
FOR_MESH_AND_APP = network_policy({"ports": [{"port": 3001}, {"port": 15801}]})
BARE = pod("bare", injected=False)
CASES = [
    Case([without_selector()], "Accepted", "NoSelector", "Accepted"),
    Case([headless(), tcp_service()], "Programmed", "ServiceTaken", "Programmed"),
    Case([service(), tcp_service(port=3009), pod("a")], "InboundReady", "PortMissing", "InboundReady"),
    Case(
        [service(ports=[{"port": 80, "targetPort": "nestjs"}]), tcp_service(), pod("a")],
        "InboundReady",
        "PortMissing",
        "InboundReady",
    ),
    Case([service(), tcp_service(targetPort=3001), BARE], "InboundReady", "OtherTargetPort", "NoSidecar"),
    Case([service(ports=[BY_NUMBER]), tcp_service(), pod("a")], "InboundReady", "NumericTargetPort", "InboundReady"),
    Case([service(ports=[BY_NAME]), tcp_service(), pod("a")], "InboundReady", "OtherTargetPort", "InboundReady"),
    Case([tcp_service(), pod("a"), FOR_MESH], "InboundReady", "InboundPortClosed", "InboundReady"),
    Case([tcp_service(), pod("a"), FOR_MESH_AND_APP], "InboundReady", "InboundPortClosed", "InboundReady"),
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
        wait_for("the condition", lambda: condition(api, case.kind)[1] == case.reason, operator)
        type_all(api, case.kind)
        wait_for("fixed", lambda: condition(api, case.kind)[1] == case.then, operator)


@pytest.mark.parametrize("target", [3001, None])
def test_from_two_numbers_callers_come_to_the_front_where_there_is_one_and_else_to_the_app(
    api: ApiServer, target: int | None
) -> None:
    """Pods whose sidecar was made for the number go on being reached at their app until they are made anew."""
    create(api, service(ports=[BY_NUMBER]))
    wanted = tcp_service(targetPort=target)
    create(api, {**wanted, "spec": {name: value for name, value in wanted["spec"].items() if value}})
    create(api, pod("older", target=3001))
    create(api, BARE)
    with Operator(api) as operator:
        wait_for("the condition", lambda: condition(api, "InboundReady")[1] == "NumericTargetPort", operator)
        type_all(api, "InboundReady")
        wait_for("it is seen", lambda: condition(api, "InboundReady")[1] == "NoSidecar", operator)
        create(api, pod("anew"))
        wait_for("fixed", lambda: condition(api, "InboundReady")[1] == "InboundReady", operator)
        assert reached(api, "orders") == {"older": 3001, "bare": 3001, "anew": 15820}
        assert reached(api, "orders-replicas") == {"older": 3001, "bare": 3001, "anew": 15820}


def reached(api: ApiServer, name: str) -> dict[str, int]:
    """Return where the first port of a Service leads in each pod: nobody makes slices for pods without a node."""
    target = api.get(f"/api/v1/namespaces/shop/services/{name}")["spec"]["ports"][0]["targetPort"]
    return {
        each["metadata"]["name"]: port["containerPort"]
        for each in api.get("/api/v1/namespaces/shop/pods")["items"]
        for container in (*each["spec"]["containers"], *each["spec"].get("initContainers", []))
        for port in container["ports"]
        if port["name"] == target
    }


def deployment(**port: str) -> dict[str, Any]:
    container = {"name": "app", "image": "none", "ports": [{**port, "containerPort": 3001}]}
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
    api.kubectl("apply", "-f", "-", text=json.dumps(deployment(name="web")))
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


def test_a_port_without_a_name_is_named_first(api: ApiServer) -> None:
    api.kubectl("apply", "-f", "-", text=json.dumps(deployment()))
    create(api, service(ports=[BY_NUMBER]))
    create(api, tcp_service(targetPort=3001))
    with Operator(api) as operator:
        wait_for("the condition", lambda: "First name the port" in message(api, "InboundReady"), operator)
        type_all(api, "InboundReady")
        make_ready(api, wait_for("there is another pod", lambda: pod_with_a_name(api), operator))
        wait_for("the next step", lambda: "patch tcpservice" in message(api, "InboundReady"), operator)
        type_all(api, "InboundReady")
        wait_for("fixed except for sidecars", lambda: condition(api, "InboundReady")[1] == "NoSidecar", operator)
        assert set(reached(api, "orders").values()) == {3001}


def pod_with_a_name(api: ApiServer) -> str:
    """Return a pod whose port has a name."""
    found = api.get("/api/v1/namespaces/shop/pods")["items"]
    named = (each["metadata"]["name"] for each in found if "name" in each["spec"]["containers"][0]["ports"][0])
    return next(named, "")


def test_a_headless_service_is_for_callers_with_a_sidecar(api: ApiServer) -> None:
    body = service()
    document = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "orders", "namespace": "shop"},
        "spec": {**body["spec"], "clusterIP": "None"},
    }  # fmt: skip
    api.kubectl("apply", "-f", "-", text=json.dumps(document))
    create(api, tcp_service())
    with Operator(api) as operator:
        wait_for("the condition", lambda: condition(api, "InboundReady")[1] == "HeadlessService", operator)
        api.kubectl(*command(api, "InboundReady")[1:])
        assert api.get("/api/v1/namespaces/shop")["metadata"]["labels"]["tcpservice.dev/inject"] == "enabled"
