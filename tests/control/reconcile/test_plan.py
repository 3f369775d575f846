"""What the operator makes of a cluster, as tables: state in, Services and conditions out."""

from __future__ import annotations

from typing import Any

import pytest

from control.objects import network_policy, pod, service, tcp_service
from core.spec.wrong import FIELDS, LATER, ROUTE, ROUTES, SERVICE
from tcpservice.spec.yamltext import parse
from tcpservice_operator.api.names import NO_ALIAS_NOTE
from tcpservice_operator.cache.cluster_state import ClusterState
from tcpservice_operator.reconcile.plan import Plan, make_plan

NOW, EARLIER = "2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"
KEY = ("shop", "orders")


def state_of(*bodies: dict[str, Any]) -> ClusterState:
    state = ClusterState()
    for body in bodies:
        if body.get("kind") == "TcpService":
            state.apply_tcp_service_event(body)
        elif "podSelector" in body["spec"]:
            state.apply_policy_event(body)
        elif "containers" in body["spec"]:
            state.apply_pod_event(body)
        else:
            state.apply_service_event(body)
    return state


def plan(*bodies: dict[str, Any]) -> Plan:
    made = make_plan(state_of(*bodies), KEY, NOW)
    assert made is not None
    return made


def conditions(*bodies: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    return {one["type"]: (one["status"], one["reason"], one["message"]) for one in plan(*bodies).status["conditions"]}


MADE = (service(ours=True), service("orders-replicas", ours=True, clusterIP="None"))


def test_a_service_that_nobody_made_is_made_with_its_twin() -> None:
    front, replicas = plan(tcp_service()).services
    assert front["metadata"]["name"] == "orders"
    assert front["metadata"]["ownerReferences"][0]["uid"] == "uid-orders"
    assert front["spec"] == {
        "selector": {"app": "orders"},
        "ports": [{"name": "nestjs", "port": 3001, "targetPort": "nestjs", "protocol": "TCP"}],
    }
    assert replicas["metadata"]["name"] == "orders-replicas"
    assert replicas["spec"]["clusterIP"] == "None"
    assert [(port["name"], port["targetPort"]) for port in replicas["spec"]["ports"]] == [
        ("app", "nestjs"), ("mesh", "tcps-mesh"),
    ]  # fmt: skip


def test_a_service_of_somebody_else_is_used_and_never_written() -> None:
    assert [document["metadata"]["name"] for document in plan(tcp_service(), service()).services] == ["orders-replicas"]
    without = tcp_service()
    del without["spec"]["selector"]
    (replicas,) = plan(without, service(selector={"app": "shop-orders"})).services
    assert replicas["spec"]["selector"] == {"app": "shop-orders"}


FRONTED = pod("a", target=3001)


@pytest.mark.parametrize(
    ("pods", "target"),
    [
        ([], 3001),
        ([FRONTED, pod("b", target=3001)], "tcps-3001"),
        ([FRONTED, pod("b", injected=False)], 3001),
        ([FRONTED, pod("b", injected=False, ready=False)], "tcps-3001"),
        ([FRONTED, pod("b", injected=False, leaving=True)], "tcps-3001"),
        ([FRONTED, pod("b", target=3001, arguments=["--app=shop/orders=localhost:3001"])], "tcps-3001"),
        ([FRONTED, pod("b", target=3001, arguments=["--app=shop/other=localhost:3002"])], 3001),
        ([FRONTED, pod("b")], 3001),
        ([pod("a", target=3001, ready=False)], 3001),
    ],
)
def test_a_target_by_number_is_the_front_while_every_ready_replica_has_one(
    pods: list[dict[str, Any]], target: object
) -> None:
    record = tcp_service()
    del record["spec"]["targetPort"]
    assert plan(record, *MADE, *pods).services[0]["spec"]["ports"][0]["targetPort"] == target


def test_what_the_service_targets_is_the_target_where_the_tcp_service_has_none() -> None:
    for target, expected in (("web", "web"), (8080, 8080), (None, 3001)):
        port = {"port": 3001} if target is None else {"port": 3001, "targetPort": target}
        (replicas,) = plan(tcp_service(targetPort=None), service(ports=[{"port": 80}, port])).services
        assert replicas["spec"]["ports"][0]["targetPort"] == expected
    found = conditions(tcp_service(targetPort=None), service(), MADE[1], pod("a"))
    assert found["InboundReady"][:2] == ("True", "InboundReady")
    assert found["Ready"][:2] == ("True", "Serving")


def test_when_all_is_well() -> None:
    assert conditions(tcp_service(), *MADE, pod("a"), pod("b")) == {
        "Accepted": ("True", "Accepted", "The manifest is valid."),
        "Programmed": ("True", "Programmed", "The Services exist."),
        "InboundReady": ("True", "InboundReady", "Sidecars balance each message of callers without a sidecar."),
        "Injected": ("True", "AllInjected", "All pods have the sidecar."),
        "Ready": ("True", "Serving", "2 of 2 pods are ready."),
    }


NOT_INJECTED = "tcpservice.dev/not-injected"
LEFT_OUT = {"tcpservice.dev/injection-notes": f"shop/billing{NO_ALIAS_NOTE}so; shop/orders{NO_ALIAS_NOTE}it is"}
CRASHING = pod(
    "web", app="web", inject="enabled", arguments=["--listen=shop/orders=127.77.0.1:3001"], ready=False, crashing=True
)
REFUSAL = {NOT_INJECTED: "it runs on Windows"}
REFUSED = pod("web", app="web", injected=False, inject="enabled", annotations=REFUSAL)
NUMERIC = service(ports=[{"port": 3001, "targetPort": 3001}])
LISTING = pod(
    "web", app="web", inject="enabled", arguments=["--listen=shop/orders=127.77.0.1:3001"], crashing=True,
    annotations={"tcpservice.dev/app-ports": "80"},
)  # fmt: skip
TRACK = {"track": "canary"}
CANARY = service("orders-canary", selector={"app": "orders", **TRACK})
CASES: list[tuple[str, list[dict[str, Any]], str, tuple[str, str], str]] = [
    (
        "no selector", [tcp_service(selector=None)], "Accepted", ("False", "NoSelector"),
        "kubectl patch tcpservice -n shop orders --type=merge -p '{\"spec\": {\"selector\": {\"app\": \"orders\"}}}'",
    ),
    (
        "not supported", [tcp_service(rateLimit={"requests": 1, "interval": "1s"})], "Accepted",
        ("False", "Invalid"), "not supported yet: spec.rateLimit",
    ),
    (
        "a second name of the same pods",
        [tcp_service(), tcp_service("aaa", selector={"app": "orders"}), *MADE, pod("a")], "InboundReady",
        ("True", "InboundReady"), "Sidecars balance each message of callers without a sidecar.",
    ),
    (
        "a canary beside it", [tcp_service(), *MADE, CANARY, pod("a"), pod("c", labels=TRACK, target="none")],
        "InboundReady", ("False", "SharedPort"),
        "Port nestjs of the pods is also the target of Service shop/orders-canary, with a different selector.",
    ),
    (
        "a canary created after the pods", [tcp_service(), *MADE, CANARY, pod("a"), pod("c", labels=TRACK)],
        "InboundReady", ("False", "SharedPort"),
        " 1 sidecar still listens on this port. To recreate the pods: "
        "kubectl rollout restart -n shop deployment/orders",
    ),
    (
        "a TcpService for some of its pods",
        [tcp_service(), *MADE, tcp_service("canary", selector={"app": "orders", **TRACK}), pod("c", labels=TRACK)],
        "InboundReady", ("False", "SharedPort"),
        "is also the target of TcpService shop/canary, with a different selector.",
    ),
    (
        "a Service for some of its pods, by number",
        [
            tcp_service(), *MADE, pod("c", labels=TRACK),
            service("orders-canary", selector={"app": "orders", **TRACK}, ports=[{"port": 3001, "targetPort": 3001}]),
        ],
        "InboundReady", ("True", "InboundReady"), "Sidecars balance each message",
    ),
    (
        "a wrong one has no Services", [tcp_service(selector=None)], "Programmed", ("False", "NotAccepted"),
        "Not checked, because the condition Accepted is False.",
    ),
    (
        "the twin is taken", [tcp_service(), service("orders-replicas")], "Programmed", ("False", "ServiceTaken"),
        "kubectl delete service -n shop orders-replicas",
    ),
    ("just begun", [tcp_service()], "Programmed", ("Unknown", "Pending"), "The operator is creating the Services."),
    (
        "a headless Service", [tcp_service(), service(clusterIP="None"), pod("a")], "InboundReady",
        ("False", "HeadlessService"), "kubectl label namespace shop tcpservice.dev/inject=enabled",
    ),
    (
        "another port", [tcp_service(port=3009), service(), pod("a")], "InboundReady", ("False", "PortMissing"),
        '[{"op": "add", "path": "/spec/ports/-", '
        '"value": {"name": "nestjs-3009", "port": 3009, "targetPort": "nestjs"}}]',
    ),
    (
        "a numeric target",
        [tcp_service(), service(ports=[{"port": 80}, {"port": 3001, "targetPort": 3001}]), pod("a")], "InboundReady",
        ("False", "NumericTargetPort"),
        """To fix it: kubectl patch service -n shop orders --type=json -p '[{"op": "replace", "path": """
        """"/spec/ports/1/targetPort", "value": "nestjs"}]'""",
    ),
    (
        "a numeric target of a port without the name", [tcp_service(targetPort="x"), NUMERIC, pod("a", injected=False)],
        "InboundReady", ("False", "NumericTargetPort"),
        "First name the port in the pod template. If the app listens on port 3001: kubectl patch -n shop "
        "deployment/orders -p "
        """'{"spec": {"template": {"spec": {"containers": [{"name": "app", "ports": """
        """[{"name": "x", "containerPort": 3001}]}]}}}}'""",
    ),
    (
        "two numeric targets", [tcp_service(targetPort=3001), NUMERIC, pod("a", target=3001)], "InboundReady",
        ("False", "NumericTargetPort"),
        """To fix it: kubectl patch tcpservice -n shop orders --type=merge -p '{"spec": {"targetPort": "nestjs"}}' """
        """&& kubectl patch service -n shop orders --type=json -p '[{"op": "replace", "path": """
        """"/spec/ports/0/targetPort", "value": "nestjs"}]' && kubectl rollout restart -n shop deployment/orders""",
    ),
    (
        "the Service's numeric target", [tcp_service(targetPort=None), NUMERIC, pod("a", injected=False)],
        "InboundReady", ("False", "NumericTargetPort"),
        """To fix it: kubectl patch service -n shop orders --type=json -p '[{"op": "replace", "path": """
        """"/spec/ports/0/targetPort", "value": "nestjs"}]'""",
    ),
    (
        "two numeric targets, and no pods", [tcp_service(targetPort=3001), NUMERIC], "InboundReady",
        ("False", "NumericTargetPort"), "To fix it, name port 3001 in the pod template",
    ),
    (
        "another name", [tcp_service(), service(ports=[{"port": 3001, "targetPort": "web"}]), pod("a")], "InboundReady",
        ("False", "OtherTargetPort"),
        "targets port web, but the TcpService targets port nestjs. Connections of the Service "
        "bypass the sidecars, so Kubernetes balances callers without a sidecar per connection, not per message. To fix "
        "it: kubectl patch service -n shop orders",
    ),
    (
        "a name and a number", [tcp_service(targetPort=3001), service(), pod("a", target=3001)], "InboundReady",
        ("False", "OtherTargetPort"),
        """To fix it: kubectl patch tcpservice -n shop orders --type=merge -p '{"spec": {"targetPort": "nestjs"}}' """
        "&& kubectl rollout restart -n shop deployment/orders",
    ),
    (
        "a sidecar that is older than the target", [tcp_service(), *MADE, pod("a", target=3001)], "InboundReady",
        ("False", "NoSidecar"),
        "not per message. To recreate the pods: kubectl rollout restart -n shop deployment/orders",
    ),
    (
        "a number, and a pod without", [tcp_service(targetPort=3001), *MADE, FRONTED, pod("b", injected=False)],
        "InboundReady", ("False", "NoSidecar"), "1 of 2 ready pods has no sidecar. The target port is a number",
    ),
    (
        "a policy for the mesh alone", [tcp_service(), *MADE, pod("a"), network_policy({"ports": [{"port": 15801}]})],
        "InboundReady", ("False", "InboundPortClosed"),
        "block port 15820 of a, on which sidecars accept callers without a sidecar. To allow the port: kubectl patch "
        "networkpolicy -n shop closed --type=json -p "
        """'[{"op": "add", "path": "/spec/ingress/-", "value": {"from": [{"namespaceSelector": {}}], """
        """"ports": [{"port": 15820}]}}]'""",
    ),
    (
        "a policy for the app's port, from somewhere",
        [
            tcp_service(), *MADE, pod("a"),
            network_policy({"ports": [{"port": 9}]}, {"from": [{"podSelector": {}}], "ports": [{"port": 3001}]}),
        ],
        "InboundReady", ("False", "InboundPortClosed"),
        """'[{"op": "add", "path": "/spec/ingress/1/ports/-", "value": {"port": 15820}}, """
        """{"op": "add", "path": "/spec/ingress/1/ports/-", "value": {"port": 15801}}]'""",
    ),
    (
        "a policy for the port's name",
        [tcp_service(), *MADE, pod("a"), network_policy({"ports": [{"port": "nestjs"}]})], "InboundReady",
        ("True", "InboundReady"), "Sidecars balance each message of callers without a sidecar.",
    ),
    (
        "the host's network", [tcp_service(), *MADE, pod("a"), pod("b", injected=False, hostNetwork=True)],
        "InboundReady", ("False", "HostNetwork"), "Pods on the host network cannot have the sidecar: b.",
    ),
    (
        "no sidecar", [tcp_service(), *MADE, pod("a", injected=False)], "InboundReady", ("False", "NoSidecar"),
        "No ready pod has a sidecar for the target port",
    ),
    (
        "some lack it", [tcp_service(), *MADE, pod("a"), pod("b", injected=False)], "Injected",
        ("False", "PodsLackSidecar"),
        "1 of 2 pods has no sidecar for this TcpService. A pod gets the sidecar only when it is created. To recreate "
        "the pods: "
        "kubectl rollout restart -n shop deployment/orders",
    ),
    (
        "a sidecar older than the TcpService",
        [tcp_service(), *MADE, pod("a"), pod("b", arguments=["--listen=shop/other=127.77.0.1:3001"])], "Injected",
        ("False", "PodsLackSidecar"),
        "1 of 2 pods has no sidecar for this TcpService. 1 sidecar is older than the TcpService.",
    ),
    (
        "one that is refused it",
        [tcp_service(), *MADE, pod("a"), pod("b", injected=False, annotations={NOT_INJECTED: "it runs on Windows"})],
        "Injected", ("False", "PodsLackSidecar"), " b gets no sidecar, because it runs on Windows. ",
    ),
    (
        "one that has a container of that name", [tcp_service(), *MADE, pod("a"), pod("b", annotations=REFUSAL)],
        "Injected", ("False", "PodsLackSidecar"), " b gets no sidecar, because it runs on Windows. ",
    ),
    (
        "a caller that is older", [tcp_service(), *MADE, pod("a"), pod("web", app="web", inject="enabled")], "Injected",
        ("True", "AllInjected"),
        "All pods have the sidecar. 1 caller is older than this TcpService, so messages bypass the caller's sidecar "
        "and "
        "go to the Service. To recreate the callers: kubectl rollout restart -n shop deployment/web",
    ),
    (
        "a caller without an alias",
        [tcp_service(), *MADE, pod("a"), pod("web", app="web", inject="enabled", annotations=LEFT_OUT, arguments=[])],
        "Injected", ("True", "AllInjected"),
        "All pods have the sidecar. 1 caller has no alias for this TcpService, so messages bypass the caller's sidecar "
        "and go to the Service. To see why: kubectl get pod -n shop web "
        "-o jsonpath='{.metadata.annotations.tcpservice\\.dev/injection-notes}'",
    ),
    (
        "a caller that crashes, and lists its ports", [tcp_service(), *MADE, pod("a"), LISTING], "Injected",
        ("True", "AllInjected"), '{"tcpservice.dev/app-ports": "80, 3001"}',
    ),
    (
        "callers that are refused",
        [
            tcp_service(), *MADE, pod("a"), REFUSED, pod("web-2", app="web", inject="enabled", annotations=REFUSAL),
            pod("b", injected=False, inject="enabled", annotations=REFUSAL),
        ],
        "Injected", ("False", "PodsLackSidecar"), "b gets no sidecar, because it runs on Windows. Pods without "
        "the sidecar: b. 2 callers have no sidecar, for example web, because it runs on "
        "Windows",
    ),
    (
        "a caller that crashes", [tcp_service(), *MADE, pod("a"), CRASHING], "Injected", ("True", "AllInjected"),
        "web is in a crash loop. If its app itself listens on port 3001, list this port: kubectl patch "
        '-n shop deployment/web -p \'{"spec": {"template": {"metadata": {"annotations": '
        '{"tcpservice.dev/app-ports": "3001"}}}}}\'',
    ),
    (
        "a caller that crashes, and has other ports", [tcp_service(port=3009), *MADE, pod("a"), CRASHING], "Injected",
        ("True", "AllInjected"), '{"tcpservice.dev/app-ports": "3001, 3009"}',
    ),
    (
        "a caller that may not reach sidecars",
        [
            tcp_service(), *MADE, pod("a"),
            pod("web", app="web", inject="enabled", arguments=["--listen=shop/orders=127.77.0.1:3001"]),
            network_policy(
                policyTypes=["Egress"], egress=[{"to": [{"podSelector": {}}], "ports": [{"port": 3001}]}],
                podSelector={"matchLabels": {"app": "web"}},
            ),
        ],
        "Injected", ("True", "AllInjected"),
        "NetworkPolicies block port 15801 for 1 caller, so messages bypass the pods' sidecars, or fail. To allow "
        "the port: kubectl patch networkpolicy -n shop closed --type=json -p "
        """'[{"op": "add", "path": "/spec/egress/0/ports/-", "value": {"port": 15801}}]'""",
    ),
    (
        "callers of others, and one that goes",
        [
            tcp_service(), *MADE, pod("a"), pod("web", app="web", inject="enabled", calls="billing"),
            pod("none", app="web", inject="enabled", calls=""), pod("going", app="web", inject="enabled", leaving=True),
        ],
        "Injected", ("True", "AllInjected"), "All pods have the sidecar.",
    ),
    (
        "no pods", [tcp_service(), *MADE], "Injected", ("Unknown", "NoPods"),
        "No pod has the labels app=orders. To compare the labels of the pods: kubectl get pods -n shop --show-labels",
    ),
    (
        "none is ready", [tcp_service(), *MADE, pod("a", ready=False)], "Ready", ("False", "NoReplicas"),
        "0 of 1 pod is ready. To list the pods: kubectl get pods -n shop -l app=orders",
    ),
    (
        "a port that no container has", [tcp_service(targetPort="grpc"), *MADE, pod("a")], "Ready",
        ("False", "TargetPortMissing"),
        "No container of the pods has a port named grpc. If the app listens on port 3001, name it: "
        "kubectl patch -n shop deployment/orders -p '{\"spec\": {\"template\": {\"spec\": {\"containers\": "
        '[{"name": "app", "ports": [{"name": "grpc", "containerPort": 3001}]}]}}}}\'',
    ),
    (
        "a policy without rules", [tcp_service(), *MADE, pod("a"), network_policy()], "Ready",
        ("False", "MeshPortClosed"),
        "NetworkPolicies block port 15801 of a, on which sidecars accept connections from callers' sidecars. To "
        "allow the "
        "port: "
        """kubectl patch networkpolicy -n shop closed --type=json -p '[{"op": "add", "path": "/spec/ingress", """
        """"value": [{"from": [{"namespaceSelector": {}}], "ports": [{"port": 15820}, {"port": 15801}]}]}]'""",
    ),
    (
        "a policy for the app beside one that closes all",
        [
            tcp_service(), *MADE, pod("a"), network_policy(name="a-default-deny"),
            network_policy({"from": [{"podSelector": {}}], "ports": [{"port": 3001}]}, name="orders"),
        ],
        "Ready", ("False", "MeshPortClosed"),
        """kubectl patch networkpolicy -n shop orders --type=json -p '[{"op": "add", "path": """
        """"/spec/ingress/0/ports/-", "value": {"port": 15820}}, {"op": "add", "path": "/spec/ingress/0/ports/-", """
        """"value": {"port": 15801}}]'""",
    ),
    (
        "a policy for another port", [tcp_service(), *MADE, pod("a"), network_policy({"ports": [{"port": 3001}]})],
        "Ready", ("False", "MeshPortClosed"), '"path": "/spec/ingress/0/ports/-", "value": {"port": 15801}',
    ),
    (
        "a policy for a port of others", [tcp_service(), *MADE, pod("a"), network_policy({"ports": [{"port": 80}]})],
        "Ready", ("False", "MeshPortClosed"), '"ports": [{"port": 15820}, {"port": 15801}]}',
    ),
    (
        "not accepted", [tcp_service(selector=None)], "Ready", ("False", "NoSelector"),
        "The condition Accepted is False. Its",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    "policies",
    [
        [network_policy({"from": [{"podSelector": {}}]})],
        [network_policy({"ports": [{"port": 15801, "protocol": "TCP"}]})],
        [network_policy({"ports": [{"port": "tcps-mesh"}]})],
        [network_policy({"ports": [{"port": 15000, "endPort": 16000}]})],
        [network_policy({"ports": [{"protocol": "TCP"}]})],
        [network_policy(), network_policy({"ports": [{"port": 15801}]}, name="open")],
        [network_policy(policyTypes=["Egress"])],
        [network_policy(podSelector={"matchLabels": {"app": "billing"}})],
        [network_policy(podSelector={"matchExpressions": [{"key": "app", "operator": "In", "values": ["billing"]}]})],
        [network_policy(podSelector={"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["orders"]}]})],
        [network_policy(podSelector={"matchExpressions": [{"key": "tier", "operator": "Exists"}]})],
        [network_policy(podSelector={"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]})],
    ],
)
def test_a_mesh_port_that_somebody_may_reach_is_open(policies: list[dict[str, Any]]) -> None:
    assert conditions(tcp_service(), *MADE, pod("a"), *policies)["Ready"][0] == "True"


def test_a_policy_that_has_gone_closes_nothing() -> None:
    state = state_of(tcp_service(), *MADE, pod("a"), network_policy())
    assert state.apply_policy_event(network_policy(), deleted=True) == {KEY}
    made = make_plan(state, KEY, NOW)
    assert made is not None
    assert made.status["conditions"][-1]["status"] == "True"


@pytest.mark.parametrize(
    ("bodies", "kind", "verdict", "words"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_a_condition_says_what_to_do(
    bodies: list[dict[str, Any]], kind: str, verdict: tuple[str, str], words: str
) -> None:
    status, reason, message = conditions(*bodies)[kind]
    assert (status, reason) == verdict
    assert words in message


def test_who_came_first_keeps_the_port() -> None:
    both = (tcp_service("zzz", selector={"app": "orders"}), tcp_service(), *MADE)
    assert conditions(*both)["Accepted"][0] == "True"


@pytest.mark.parametrize("prefix", [SERVICE])
@pytest.mark.parametrize(
    "text", [*(text for text, *_ in FIELDS.values()), *(ROUTE + text for text, *_ in ROUTES.values())]
)
def test_what_is_wrong_in_a_file_is_wrong_here(prefix: str, text: str) -> None:
    (parsed,) = parse(prefix + text)
    body = parsed.tree.value
    assert isinstance(body, dict)
    if parsed.repeats or "timeout" in body["spec"]:
        return  # the API server drops these
    body["metadata"] |= {"uid": "1", "generation": 1}
    status, reason, message = conditions({**body, "spec": {"selector": {"app": "orders"}, **body["spec"]}})["Accepted"]
    assert (status, reason) == ("False", "Invalid")
    assert message.startswith("spec")


@pytest.mark.parametrize("text", [text for text, *_ in LATER.values()])
def test_what_is_not_supported_yet_is_said(text: str) -> None:
    (parsed,) = parse(SERVICE + text)
    body = parsed.tree.value
    assert isinstance(body, dict)
    body["metadata"] |= {"uid": "1", "generation": 1}
    assert conditions(body)["Accepted"][1] == "Invalid"


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_has_gone(phase: str) -> None:
    ended = pod("b", injected=False, ready=False)
    ended["status"]["phase"] = phase
    bodies = (tcp_service(injection={"restart": "Evict"}), *MADE, pod("a"), ended, pod("c", injected=False))
    made = plan(*bodies)
    assert made.status["replicas"]["total"] == 2
    assert made.eviction is not None
    assert made.eviction.pod.key == ("shop", "c")
    assert made.eviction.ready == {"ReplicaSet/orders-5d9f": 2}
    state = state_of(tcp_service(), pod("a"))
    assert state.apply_pod_event({**pod("a"), "status": {"phase": phase}}) == {KEY}
    assert state.known_pods() == []


def test_counts_and_times() -> None:
    pods = [pod("a"), pod("b", leaving=True), pod("c", ready=False, injected=False), pod("d", app="other")]
    status = plan(tcp_service(), *MADE, *pods).status
    assert status["observedGeneration"] == 3
    assert status["replicas"] == {"total": 3, "ready": 1, "injected": 2}
    assert {one["lastTransitionTime"] for one in status["conditions"]} == {NOW}
    old = {"conditions": [{**one, "lastTransitionTime": EARLIER} for one in status["conditions"]]}
    again = plan(tcp_service(status=old), *MADE, pod("a")).status["conditions"]
    assert {one["type"]: one["lastTransitionTime"] for one in again} == {
        "Accepted": EARLIER, "Programmed": EARLIER, "InboundReady": EARLIER, "Injected": NOW, "Ready": EARLIER,
    }  # fmt: skip


def test_events_say_whom_they_concern() -> None:
    state = state_of(tcp_service(), tcp_service("billing"), *MADE)
    assert state.apply_pod_event(pod("a")) == {KEY}
    assert state.apply_pod_event(pod("a")) == set()
    assert state.apply_pod_event(pod("a", app="billing")) == {KEY, ("shop", "billing")}
    assert state.apply_pod_event(pod("a", app="billing"), deleted=True) == {("shop", "billing")}
    assert state.apply_pod_event(pod("unknown"), deleted=True) == set()
    assert state.apply_pod_event(REFUSED) == {KEY, ("shop", "billing")}
    assert state.apply_service_event(service("orders-replicas", ours=True)) == {KEY}
    assert state.apply_service_event(service(), deleted=True) == {KEY}
    assert state.apply_tcp_service_event(tcp_service("billing"), deleted=True) == {("shop", "billing")}
    assert make_plan(state, ("shop", "billing"), NOW) is None
