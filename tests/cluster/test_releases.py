"""Each promised release of Kubernetes: its own reconciler makes the EndpointSlices that the operator counts on."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from cluster.found import BUILT, PROMISED, slices_of
from control.objects import pod, service, tcp_service
from tcpservice.snapshot import Endpoint
from tcpservice_operator.api.kubernetes_versions import OLDEST
from tcpservice_operator.cache.cluster_state import ClusterState
from tcpservice_operator.reconcile.plan import make_plan

KEY = ("shop", "orders")
ADDRESSES = {"with": "10.0.0.1", "without": "10.0.0.2", "leaving": "10.0.0.3", "starting": "10.0.0.4"}


def running(name: str, **what: Any) -> dict[str, Any]:
    """Make a pod on a node, with what the API server adds."""
    body = pod(name, **what)
    for container in (*body["spec"]["containers"], *body["spec"]["initContainers"]):
        container["ports"] = [{"protocol": "TCP", **port} for port in container["ports"]]
    status = {**body["status"], "podIP": ADDRESSES[name], "podIPs": [{"ip": ADDRESSES[name]}], "phase": "Running"}
    return {**body, "spec": {**body["spec"], "nodeName": "node"}, "status": status}


PODS = [
    running("with"), running("without", injected=False), running("leaving", leaving=True),
    running("starting", ready=False),
]  # fmt: skip


def slices(release: str, made: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the slices of a Service, as a release of Kubernetes makes them."""
    spec = {"ipFamilies": ["IPv4"], "clusterIP": "198.19.0.5", **made["spec"]}
    spec["ports"] = [{"protocol": "TCP", **port} for port in spec["ports"]]
    whole = {"metadata": {"uid": "uid", **made["metadata"]}, "spec": {**spec, "clusterIPs": [spec["clusterIP"]]}}
    asked = json.dumps({"service": whole, "pods": PODS})
    done = subprocess.run([slices_of(release)], input=asked, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def state() -> ClusterState:
    found = ClusterState()
    found.apply_tcp_service_event(tcp_service())
    for body in PODS:
        found.apply_pod_event(body)
    return found


def addresses(endpoints: tuple[Endpoint, ...] | None) -> dict[str, tuple[Any, ...]]:
    return {each.name: (each.host, each.port, each.mesh, each.app_port, each.ready) for each in endpoints or ()}


def test_the_oldest_is_the_one_that_the_operator_demands() -> None:
    assert PROMISED[0] == "{}.{}".format(*OLDEST)


@pytest.mark.parametrize("release", BUILT)
def test_the_replicas_are_those_of_its_slices(release: str) -> None:
    known = state()
    plan = make_plan(known, KEY, "2026-01-01T00:00:00Z")
    assert plan is not None
    (replicas,) = [each for each in plan.services if each["metadata"]["name"] == "orders-replicas"]
    known.apply_service_event({**replicas, "metadata": {"uid": "uid-replicas", **replicas["metadata"]}})
    for body in slices(release, replicas):
        known.apply_slice_event(body)
    assert addresses(known.endpoints_of(KEY)) == {
        "with": ("10.0.0.1", 15801, True, 15820, True),
        "without": ("10.0.0.2", 3001, False, None, True),
        "leaving": ("10.0.0.3", 15801, True, 15820, False),
        "starting": ("10.0.0.4", 15801, True, 15820, False),
    }


@pytest.mark.parametrize("release", BUILT)
def test_the_name_of_a_port_leads_to_the_sidecar_where_there_is_one(release: str) -> None:
    """Before Kubernetes 1.33, a port of a native sidecar had no slice, and the Service led nowhere."""
    ports = {
        each["targetRef"]["name"]: [port["port"] for port in body["ports"]]
        for body in slices(release, service())
        for each in body["endpoints"]
        if each["conditions"]["ready"]
    }
    assert ports == {"with": [15820], "without": [3001]}
