"""An event returns all that it changes: plans, views, and what is pushed; compared with making everything anew."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from control.objects import endpoint_slice, listed, namespace, network_policy, pod, service, tcp_service
from tcpservice_operator.api.plain_objects import Key
from tcpservice_operator.cache.cluster_state import ClusterState
from tcpservice_operator.cache.pod_views import view_of
from tcpservice_operator.cache.shared_ports import listening_for_others
from tcpservice_operator.reconcile.plan import make_plan

NAMES = ("orders", "billing", "orders-canary")
PODS = ("a", "b", "c", "d")
TRACK = {"track": "canary"}
SELECTORS = ({"app": "orders"}, {"app": "billing"}, {"app": "orders", **TRACK}, None)

Apply = Callable[..., set[Key]]


def _event(state: ClusterState, chance: random.Random, step: int) -> tuple[Apply, dict[str, Any], bool]:
    """Draw an event, and whether it is a deletion."""
    name, selector = chance.choice(NAMES), chance.choice(SELECTORS)
    deleted = chance.random() < 0.25
    match chance.randrange(6):
        case 0:
            body = tcp_service(name, selector=selector, targetPort=chance.choice(["nestjs", 3001, None]))
            if chance.random() < 0.2:
                body["spec"]["injection"] = {"restart": "Evict"}
            body["metadata"]["generation"] = step
            return state.apply_tcp_service_event, body, deleted
        case 1:
            replicas = chance.random() < 0.4
            ours = replicas or chance.random() < 0.3
            ports = [{"name": "nestjs", "port": 3001, "targetPort": chance.choice(["nestjs", 3001])}]
            body = service(name + "-replicas" * replicas, ours=ours, selector=selector, ports=ports)
            return state.apply_service_event, body, deleted
        case 2:
            addresses = [listed(each, f"10.0.0.{number}") for number, each in enumerate(chance.sample(PODS, 2))]
            of = name + chance.choice(["", "-replicas"])
            return state.apply_slice_event, endpoint_slice(f"{of}-x", *addresses, service=of), deleted
        case 3:
            return state.apply_namespace_event, namespace(inject=chance.choice(["enabled", ""])), deleted
        case 4:
            policy = network_policy(name=chance.choice("xy"), policyTypes=[chance.choice(["Ingress", "Egress"])])
            policy["spec"]["podSelector"] = {"matchLabels": chance.choice([{}, {"app": "orders"}])}
            return state.apply_policy_event, policy, deleted
        case _:
            known = [f"--app=shop/{each}=localhost:3001" for each in NAMES if chance.random() < 0.5]
            known += [f"--listen=shop/{each}=127.77.0.1:3001" for each in NAMES if chance.random() < 0.5]
            annotations = {"tcpservice.dev/not-injected": "it is so"} if chance.random() < 0.2 else {}
            annotations |= {"tcpservice.dev/serves": "orders, billing"} if chance.random() < 0.2 else {}
            targets: list[str | int] = ["nestjs", "none", 3001]
            body = pod(
                chance.choice(PODS), app=chance.choice(["orders", "billing"]), ready=chance.random() < 0.8,
                labels=TRACK if chance.random() < 0.3 else {}, inject=chance.choice(["enabled", "disabled", ""]),
                calls=chance.choice([None, None, "", "orders", "billing,orders-canary"]), annotations=annotations,
                crashing=chance.random() < 0.2, leaving=chance.random() < 0.1, arguments=known,
                target=targets[chance.randrange(3)],
            )  # fmt: skip
            alike = "-".join(sorted(body["metadata"]["labels"].values()))
            body["metadata"]["ownerReferences"][0]["name"] = f"{alike}-5d9f"
            body["metadata"]["uid"] += chance.choice(["", f"-{step}"])
            return state.apply_pod_event, body, deleted


def _all(state: ClusterState) -> dict[Key, object]:
    """Return what each TcpService's status and stream depend on."""
    found: dict[Key, object] = {}
    for key, tcp_service_ in state.tcp_services.items():
        plan = make_plan(state, key, "now")
        shared = [each.key for each in listening_for_others(state, tcp_service_)]
        endpoints = state.endpoints_of(key) or ()
        selected = {each.key[1] for each in state.pods_of(tcp_service_)}
        # Kubernetes lists the pods of a selector. A slice of this test may list any pod; events of a pod that no
        # TcpService selects affect no plan.
        found[key] = plan, endpoints if {each.name for each in endpoints} <= selected else (), shared
    return found


def _views(state: ClusterState) -> dict[Key, frozenset[Key]]:
    pods = [state.pod(("shop", name)) for name in PODS]
    return {each.key: view_of(state, each) for each in pods if each is not None}


@pytest.mark.parametrize("seed", range(60))
def test_an_event_returns_what_it_changes(seed: int) -> None:
    chance, state = random.Random(seed), ClusterState()
    before, views = _all(state), _views(state)
    for step in range(80):
        apply, body, deleted = _event(state, chance, step)
        returned, changed_views = apply(body, deleted=deleted), state.take_changed_views()
        after, now = _all(state), _views(state)
        changed = {key for key in before | after if before.get(key) != after.get(key)}
        assert changed <= returned, (step, apply.__name__, body, deleted)
        staying = views.keys() & now.keys()
        assert {key for key in staying if views[key] != now[key]} <= changed_views, (step, apply.__name__, body)
        before, views = after, now


def test_deleted_pods_leave_no_index_entries() -> None:
    """Annotations can list any names, so the indexes must not keep them."""
    chance, state = random.Random(1), ClusterState()
    for step in range(300):
        apply, body, deleted = _event(state, chance, step)
        apply(body, deleted=deleted)
    for name in PODS:
        state.apply_pod_event(pod(name), deleted=True)
    pods = state._pods
    assert not any((pods._groups, pods._calling_all, pods._naming, pods._asking, pods._sidecars, pods._labels._objects))


def test_a_tcp_service_that_was_deleted_and_created_again_is_another() -> None:
    state = ClusterState()
    state.apply_tcp_service_event(tcp_service())
    state.apply_pod_event(pod("a"))
    state.apply_tcp_service_event(tcp_service("billing", selector={"app": "orders"}))
    again = tcp_service(uid="another", targetPort="other")
    assert state.apply_tcp_service_event(again) == {("shop", "orders"), ("shop", "billing")}


def test_slices_count_before_their_tcp_service_is_known() -> None:
    """They are listed first; a sidecar does not believe an operator that seems to have seen less than another."""
    state = ClusterState()
    state.apply_slice_event(endpoint_slice("x", listed("a", "10.0.0.1"), revision=7))
    state.apply_tcp_service_event(tcp_service())
    assert state.revisions["slices"] == 7
