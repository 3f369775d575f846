"""Pods that the API server refuses are quoted in the status, as long as their workload lacks some."""

from __future__ import annotations

from typing import Any

import pytest

from control.objects import pod, service, tcp_service
from tcpservice_operator.api.workloads import Workload, read_workload
from tcpservice_operator.cache.cluster_state import ClusterState
from tcpservice_operator.reconcile.plan import make_plan

KEY, REPLICA_SET = ("shop", "orders"), "ReplicaSet/orders-5d9f"
QUOTA = 'Error creating: pods "orders-5d9f-x8k2p" is forbidden: exceeded quota: few'
LACKING = Workload({"app": "orders"}, wanted=2, present=0)


def event(name: str = "a", *, about: str = REPLICA_SET, message: str = QUOTA) -> dict[str, Any]:
    kind, _, workload = about.partition("/")
    metadata = {"name": name, "namespace": "shop"}
    return {"metadata": metadata, "involvedObject": {"kind": kind, "name": workload}, "message": message}


def ready(state: ClusterState) -> str:
    plan = make_plan(state, KEY, "now")
    assert plan is not None
    message: str = next(one["message"] for one in plan.status["conditions"] if one["type"] == "Ready")
    return message.partition("\n")[0]


@pytest.fixture
def state() -> ClusterState:
    state = ClusterState()
    state.apply_tcp_service_event(tcp_service())
    state.apply_service_event(service())
    state.apply_service_event(service("orders-replicas", ours=True))
    return state


def test_the_status_quotes_why_no_pod_can_be_created(state: ClusterState) -> None:
    elsewhere = event()
    elsewhere["metadata"]["namespace"] = "bank"
    assert state.apply_refusal_event(elsewhere) == set(), "no TcpService is there"
    assert state.apply_refusal_event(event()) == set(), "the workload is not known yet"
    assert state.unknown_workloads() == {("shop", REPLICA_SET)}
    assert state.apply_workload("shop", REPLICA_SET, LACKING) == {KEY}
    assert not state.unknown_workloads()
    reason = 'pods "orders-5d9f-" is forbidden: exceeded quota: few'
    assert ready(state).startswith(f"{REPLICA_SET} cannot create pods: Error creating: {reason}. To see its Events: ")
    assert state.apply_refusal_event(event(message=QUOTA.replace("x8k2p", "zzzzz"))) == {KEY}, "it is known by now"
    assert not state.unknown_workloads()
    assert ready(state).count("cannot create pods") == 1
    assert state.apply_pod_event(pod("a")) == {KEY}
    assert "cannot create pods" not in ready(state), "it creates pods again"


def test_what_has_ended_or_concerns_others_is_not_quoted(state: ClusterState) -> None:
    state.apply_refusal_event(event())
    enough = Workload({"app": "orders"}, wanted=2, present=2)
    assert state.apply_workload("shop", REPLICA_SET, enough) == set(), "the Event is old"
    state.apply_refusal_event(event("b"))
    assert state.apply_workload("shop", REPLICA_SET, None) == set(), "the workload was deleted"
    state.apply_refusal_event(event("c"))
    assert state.apply_workload("shop", REPLICA_SET, Workload({"app": "billing"}, 2, 0)) == set()
    assert state.apply_refusal_event(event("c"), deleted=True) == set()
    state.apply_refusal_event(event("d", about="CronJob/x"))
    assert not state.unknown_workloads()
    assert "cannot create pods" not in ready(state)
    state.apply_refusal_event(event("e"))
    state.apply_workload("shop", REPLICA_SET, LACKING)
    assert state.apply_refusal_event(event("e"), deleted=True) == {KEY}
    assert state.apply_refusal_event(event("e"), deleted=True) == set()
    assert "cannot create pods" not in ready(state)


TEMPLATE = {"metadata": {"labels": {"app": "orders"}}}


@pytest.mark.parametrize(
    ("kind", "spec", "status", "counts"),
    [
        ("ReplicaSet", {"replicas": 3}, {"replicas": 1}, (3, 1)),
        ("ReplicaSet", {"replicas": 0}, {}, (0, 0)),
        ("StatefulSet", {}, {}, (1, 0)),
        ("DaemonSet", {}, {"desiredNumberScheduled": 4, "currentNumberScheduled": 2}, (4, 2)),
        ("DaemonSet", {}, {}, (0, 0)),
        ("Job", {}, {"active": 1}, (1, 1)),
        ("Job", {}, {"completionTime": "2026-01-01T00:00:00Z"}, (0, 0)),
    ],
)
def test_workloads(kind: str, spec: dict[str, Any], status: dict[str, Any], counts: tuple[int, int]) -> None:
    found = read_workload(kind, {"spec": {**spec, "template": TEMPLATE}, "status": status})
    assert (found.labels, (found.wanted, found.present)) == ({"app": "orders"}, counts)
    bare = read_workload(kind, {"spec": {**spec, "template": {}}})
    assert bare.labels == {}
