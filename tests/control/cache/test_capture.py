"""Which names a new caller's sidecar takes: none whose messages would arrive without it and fail with it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from control.objects import endpoint_slice, listed, namespace, pod, service, tcp_service
from tcpservice_operator.cache.cluster_state import ClusterState
from tcpservice_operator.cache.pod_views import roles_of
from tcpservice_operator.inject.pod_patch import inject
from tcpservice_operator.inject.sidecar_options import Options

KEY = ("shop", "orders")
WRONG: dict[str, Any] = {"protocol": "Opaque", "rateLimit": {"requests": 1, "interval": "1s"}}
OWN = endpoint_slice("own", listed("a", "198.18.0.7"))
EMPTY = endpoint_slice("own")
NAMED = [{"name": "nestjs", "port": 3001}, {"name": "tcp", "port": 3001}]
MANUAL = endpoint_slice("manual", listed("other", "198.18.0.57"), service="orders") | {"ports": NAMED}
MANUAL_EMPTY = endpoint_slice("manual", service="orders") | {"ports": NAMED}
BARE: dict[str, Any] = {"selector": None, "ports": [{"name": "tcp", "port": 3001, "targetPort": 3001}]}
EXTERNAL = service(type="ExternalName", externalName="orders.example.com", selector=None, ports=None, clusterIP=None)


def state_of(*bodies: dict[str, Any]) -> ClusterState:
    state = ClusterState()
    state.apply_namespace_event(namespace(inject="enabled"))
    for body in bodies:
        if body.get("kind") == "TcpService":
            state.apply_tcp_service_event(body)
        else:
            (state.apply_slice_event if "addressType" in body else state.apply_service_event)(body)
    return state


def caller_of(state: ClusterState) -> dict[str, Any]:
    """Make a pod that calls, as the webhook does."""
    body = pod("web", app="web", injected=False, annotations={"tcpservice.dev/app-ports": ""})
    return inject(body, roles_of(state, body, "shop"), Options(image="sidecar:1")).pod


def captured(state: ClusterState) -> set[str]:
    """Return the TcpServices whose names lead a new caller to its sidecar; all that leads there must agree."""
    made = caller_of(state)["spec"]
    aliases = {each["hostnames"][0] for each in made.get("hostAliases") or []}
    variables = {each["name"] for container in made["containers"] for each in container.get("env") or []}
    arguments = [word for each in made["initContainers"] for word in each["args"]]
    listeners = {word.partition("=")[2].partition("=")[0] for word in arguments if word.startswith("--listen=")}
    assert variables == {f"{name.upper().replace('-', '_')}_SERVICE_HOST" for name in aliases}
    assert listeners == {f"shop/{name}" for name in aliases}
    return aliases


CASES: dict[str, tuple[list[dict[str, Any]], set[str]]] = {
    "all is well": ([tcp_service(), service(), OWN], {"orders"}),
    "everything is applied at the same time": ([tcp_service(), service()], {"orders"}),
    "no pod is there yet": ([tcp_service(), service(), EMPTY], {"orders"}),
    "its Service is not there yet": ([tcp_service()], {"orders"}),
    "no selector, with slices made by hand": ([tcp_service(selector=None), service(**BARE), MANUAL], {"orders"}),
    "no selector, slices made by hand without addresses": (
        [tcp_service(selector=None), service(**BARE), MANUAL_EMPTY],
        set(),
    ),
    "NoSelector, without any": ([tcp_service(selector=None), service(**BARE)], set()),
    "NoSelector, with an ExternalName": ([tcp_service(selector=None), EXTERNAL], set()),
    "NoSelector, without a Service": ([tcp_service(selector=None)], set()),
    "a selector beside an ExternalName": ([tcp_service(), EXTERNAL, EMPTY], set()),
    "a selector beside an ExternalName, and pods": ([tcp_service(), EXTERNAL, OWN], {"orders"}),
    "a selector that selects nothing, beside a Service that works": ([tcp_service(), service(), EMPTY, MANUAL], set()),
    "the same before its first slice": ([tcp_service(), service(), MANUAL], {"orders"}),
    "the operator may not make the Service for the replicas": (
        [tcp_service(), service(), service("orders-replicas"), EMPTY, MANUAL],
        {"orders"},
    ),
    "the Service has another port": (
        [tcp_service(), service(ports=[{"name": "tcp", "port": 80, "targetPort": 3001}]), MANUAL],
        set(),
    ),
    "neither has endpoints": ([tcp_service(), service(), EMPTY, MANUAL_EMPTY], {"orders"}),
    "both have endpoints": ([tcp_service(), service(), OWN, MANUAL], {"orders"}),
    "not supported, never accepted": ([tcp_service(**WRONG), service(), MANUAL], set()),
    "not supported, accepted before": ([tcp_service(**WRONG), service(), OWN, MANUAL], {"orders"}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_name_is_taken_only_where_the_sidecar_can_send_the_messages(case: str) -> None:
    bodies, expected = CASES[case]
    other = tcp_service("stock", port=3002)
    assert captured(state_of(*bodies, other)) == expected | {"stock"}


def test_the_second_name_of_the_same_pods_is_taken_too() -> None:
    twin = tcp_service("shop-orders", selector={"app": "orders"})
    twins = [service("shop-orders"), endpoint_slice("b", listed("a", "198.18.0.7"), service="shop-orders-replicas")]
    assert captured(state_of(tcp_service(), twin, service(), OWN, *twins)) == {"orders", "shop-orders"}


def test_a_caller_of_nothing_that_is_accepted_is_as_without_injection() -> None:
    state = state_of(tcp_service(selector=None), service(**BARE), MANUAL_EMPTY)
    before = pod("web", app="web", injected=False, annotations={"tcpservice.dev/app-ports": ""})
    assert caller_of(state) == before


def test_slices_of_other_services_are_forgotten_with_their_endpoints() -> None:
    state = state_of(service(), MANUAL)
    there = state.services[KEY]
    assert state.has_endpoints(there)
    assert [json.dumps(each) for each in state.known_slices()] == [
        json.dumps({"metadata": {"namespace": "shop", "name": "manual", "labels": MANUAL["metadata"]["labels"]}})
    ]
    state.apply_slice_event(MANUAL_EMPTY)
    assert not state.has_endpoints(there)
    state.apply_slice_event(MANUAL)
    state.apply_slice_event(state.known_slices()[0], deleted=True)
    assert not state.has_endpoints(there)
    assert state.known_slices() == []
    later = state_of(tcp_service(), MANUAL, OWN).as_of("shop", [tcp_service()], [service()])
    assert later.has_endpoints(there)
    assert later.endpoints_of(KEY)
