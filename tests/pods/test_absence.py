"""Operator and sidecars gone while pods come and go: messages go on, and all is right soon after."""

from __future__ import annotations

import asyncio
import json
import socket
import time

import pytest

from cluster.running import wait_for
from pods.scene import APP, BACK_SECONDS, LOAD_SECONDS, SLICES, NameServer, Scene
from pods.test_discovery import apply, knows
from tcpservice_sidecar.names import Names


def test_the_operator_goes_while_pods_come_and_go(scene: Scene) -> None:
    with scene.operator() as operator:
        apply(scene)
        leaving = scene.pod("orders-a")
        scene.pod("orders-b")
        caller = scene.caller()
        knows(caller, operator, "orders-a", "orders-b")
        operator.child.kill()
    with caller.load(rate=200) as load:
        new = scene.pod("orders-c")
        wait_for("the new pod is found by its name", lambda: f"orders/{new.ip}" in caller.replicas(), caller.sidecar)
        leaving.leave()
        wait_for("the old one is forgotten", lambda: "orders-a" not in caller.replicas(), caller.sidecar)
        wait_for("the new one is connected", lambda: f"orders/{new.ip}" in caller.connected(), caller.sidecar)
        time.sleep(LOAD_SECONDS)
        load.stop()
        report = load.report()
    assert not report.failed
    assert report.ended == report.sent
    assert set(report.replicas) == {"orders-a", "orders-b", "orders-c"}
    found = caller.view()["endpoints"]
    assert all(replica["mesh"] for replica in found), "sidecars are found as sidecars"
    with scene.operator("two") as operator:
        names = {"orders-b", "orders-c"}
        wait_for(
            "it is believed", lambda: set(caller.replicas()) == names, caller.sidecar, operator, seconds=BACK_SECONDS
        )


def test_a_sidecar_that_starts_without_an_operator_finds_replicas_by_name(
    scene: Scene, name_server: NameServer
) -> None:
    with scene.operator() as operator:
        apply(scene)
        pod = scene.pod("orders-a")
        wait_for("it is listed", lambda: pod.ip in json.dumps(scene.api.get(SLICES)), operator)
        wait_for("it has a name", lambda: pod.ip in named("orders-replicas.shop"), name_server)
        # The TcpService names the app's port, which only pods number.
        assert asyncio.run(ports("_app._tcp.orders-replicas.shop.svc.cluster.local.")) == [APP]
        caller = scene.caller()
        operator.child.kill()
        caller.sidecar.stop()
    again = scene.pod("web-2", "")
    with again.load(rate=100) as load:
        wait_for("it is connected", again.connected, again.sidecar)
        time.sleep(2 * LOAD_SECONDS)
        load.stop()
        report = load.report()
    assert {failure[2] for failure in report.failed} <= {"no_endpoints"}
    assert report.replicas["orders-a"] > 100


def test_messages_go_to_the_app_while_its_sidecar_is_down(scene: Scene) -> None:
    with scene.operator() as operator:
        apply(scene)
        pod = scene.pod("orders-a")
        caller = scene.caller()
        knows(caller, operator, "orders-a")
        pod.sidecar.kill()
        with caller.load(seconds=3, rate=100) as load:
            report = load.report()
    assert not report.failed
    assert report.ended == report.sent
    assert set(report.replicas) == {"orders-a"}
    assert {endpoint["state"] for endpoint in caller.view()["endpoints"]} == {"ejected", "fallback"}


@pytest.mark.parametrize("made_by", ["people", "operator"])
def test_callers_go_on_when_the_tcp_service_is_deleted(scene: Scene, made_by: str) -> None:
    if made_by == "people":
        scene.api.kubectl("apply", "-f", "-", text=json.dumps(SERVICE))
    with scene.operator() as operator:
        apply(scene)
        scene.pod("orders-a")
        scene.pod("orders-b")
        caller = scene.caller()
        knows(caller, operator, "orders-a", "orders-b")
        with caller.load(seconds=5, rate=200) as load:
            scene.api.kubectl("delete", "tcps", "-n", "shop", "orders")
            report = load.report()
        assert not report.failed
        assert report.ended == report.sent
        assert set(caller.replicas()) == {"orders-a", "orders-b"}


SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "orders", "namespace": "shop"},
    "spec": {"selector": {"app": "orders"}, "ports": [{"name": "nestjs", "port": 3001, "targetPort": "nestjs"}]},
}


async def ports(service: str) -> list[int]:
    """Return the ports of a name's SRV records."""
    names = Names()
    try:
        return await names.ports(service)
    finally:
        await names.close()


def named(service: str) -> set[object]:
    """Return the addresses by which the name server knows a Service."""
    try:
        return {found[4][0] for found in socket.getaddrinfo(f"{service}.svc.cluster.local", None)}
    except OSError:
        return set()
