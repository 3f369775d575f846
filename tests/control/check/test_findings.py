"""What `tcpservice check` makes of the facts of a cluster: tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from control.objects import pod, tcp_service
from tcpservice import __version__
from tcpservice_operator.api import crd
from tcpservice_operator.cache.objects import read_pod
from tcpservice_operator.check.facts import Facts, Finding, SeenPod, Unknown
from tcpservice_operator.check.findings import check

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FORBIDDEN = Unknown("Forbidden: no")
HOOK = {
    "failurePolicy": "Ignore",
    "clientConfig": {"caBundle": "QQ==", "service": {"namespace": "tcpservice-system", "name": "tcpservice-operator"}},
}


def deployment(wanted: int = 2, ready: int = 2, version: str = __version__) -> dict[str, Any]:
    metadata = {"namespace": "tcpservice-system", "labels": {"app.kubernetes.io/version": version}}
    return {"metadata": metadata, "spec": {"replicas": wanted}, "status": {"availableReplicas": ready}}


def lease(age: float) -> dict[str, Any]:
    renewed = (NOW - timedelta(seconds=age)).isoformat()
    return {"spec": {"holderIdentity": "one", "renewTime": renewed}}


def looked_at(*conditions: tuple[str, str, str, str]) -> dict[str, Any]:
    names = ("type", "status", "reason", "message")
    said = [dict(zip(names, condition, strict=True)) for condition in conditions]
    return tcp_service(
        status={"observedGeneration": 3, "replicas": {"ready": 2, "total": 3}, "conditions": said},
    )


WELL = looked_at(("Accepted", "True", "Accepted", "the manifest is valid"), ("Ready", "True", "Serving", "2 of 3"))
FAILED = ("Ready", "False", "NoReplicas", "none is ready")
GOOD = Facts(
    now=NOW, version=(1, 36), definition=crd.definition(), webhook={"webhooks": [HOOK]}, operator=deployment(),
    lease=lease(3), trusted=NOW + timedelta(days=60), unreached="", denied=(), unanswered=0, services=(WELL,),
    tried={("shop", "orders"): ""}, pods=(),
)  # fmt: skip


def seen(version: str = "", words: frozenset[str] = frozenset(), **more: Any) -> SeenPod:
    return SeenPod(pod=read_pod(pod("web", app="web", **more)), version=version, words=words)


def test_when_all_is_well() -> None:
    assert [(finding.mark, finding.subject) for finding in check(GOOD)] == [
        ("passed", "cluster"), ("passed", "CRD"), ("passed", "webhook"), ("passed", "webhook"),
        ("passed", "webhook"), ("passed", "operator"), ("passed", "leader"),
        ("passed", "rights"), ("passed", "shop/orders"), ("passed", "shop/orders"),
    ]  # fmt: skip


CASES: list[tuple[str, dict[str, Any], str, str, str]] = [
    (
        "too old", {"version": (1, 32)}, "failed", "cluster",
        "Kubernetes 1.32 is too old: TcpService needs 1.33 or newer",
    ),
    ("no CRD", {"definition": None}, "failed", "CRD", "does not exist. To install it: helm upgrade --install"),
    (
        "another CRD", {"definition": {"spec": {"versions": [{"schema": {"openAPIV3Schema": {}}}]}}}, "warned", "CRD",
        "The CRD differs",
    ),
    (
        "no webhook", {"webhook": None}, "failed", "webhook",
        "MutatingWebhookConfiguration tcpservice does not exist. To create it: helm",
    ),
    (
        "no certificate", {"webhook": {"webhooks": [{"clientConfig": {"service": {"namespace": "home"}}}]}}, "failed",
        "webhook", "kubectl logs -n home deployment/tcpservice-operator",
    ),
    ("strict", {"webhook": {"webhooks": [HOOK | {"failurePolicy": "Fail"}]}}, "warned", "webhook", "not Ignore"),
    (
        "it ended", {"trusted": NOW}, "failed", "webhook",
        "The caBundle of the webhook expired on 2026-01-01. To see why: kubectl logs -n tcpservice-system",
    ),
    ("it ends", {"trusted": NOW + timedelta(days=6)}, "warned", "webhook", "expires on 2026-01-07 and was not renewed"),
    ("no way", {"unreached": "none; look"}, "failed", "webhook", "cannot reach the operator: none; look"),
    ("it was away", {"unanswered": 7}, "warned", "webhook", "The webhook did not respond 7 times"),
    ("no operator", {"operator": None}, "failed", "operator", "does not exist. To create it: helm"),
    (
        "none is ready", {"operator": deployment(2, 0)}, "failed", "operator",
        "0 of 2 replicas are ready. To see why: kubectl",
    ),
    ("one is ready", {"operator": deployment(2, 1)}, "warned", "operator", "1 of 2 replicas"),
    ("one is wanted", {"operator": deployment(1, 1)}, "warned", "operator", "--replicas=2"),
    (
        "none is wanted", {"operator": deployment(0, 0)}, "failed", "operator",
        "The operator has 0 replicas, but should have at least 2. To scale it: kubectl scale",
    ),
    (
        "another operator", {"operator": deployment(version="9")}, "warned", "operator",
        "The operator has the version 9, and this command",
    ),
    ("the Lease has expired", {"lease": lease(60)}, "failed", "leader", "No replica of the operator is the leader"),
    ("there is no Lease", {"lease": None}, "failed", "leader", "No replica of the operator is the leader"),
    (
        "rights", {"denied": ("list pods",)}, "failed", "rights",
        "The operator lacks the rights: list pods. To grant them: helm",
    ),
    ("no services", {"services": ()}, "warned", "TcpServices", "There are no TcpServices yet"),
    (
        "a condition", {"services": (looked_at(("Ready", "False", "NoReplicas", "none is ready; look: kubectl")),)},
        "failed", "shop/orders", "Ready: none is ready; look: kubectl",
    ),
    (
        "a lesser condition", {"services": (looked_at(("Injected", "False", "PodsLackSidecar", "2 lack it")),)},
        "warned", "shop/orders", "Injected: 2 lack it",
    ),
    ("not looked at", {"services": (tcp_service(),)}, "warned", "shop/orders", "not reconciled the last change"),
    (
        "a trial that fails", {"tried": {("shop", "orders"): "it is so"}}, "failed", "shop/orders",
        "no sidecar, because it is so",
    ),
    ("a forbidden dry run", {"tried": {("shop", "orders"): FORBIDDEN}}, "warned", "shop/orders", "Cannot test whether"),
    (
        "a pod that is refused", {"pods": (seen(annotations={"tcpservice.dev/not-injected": "it runs on Windows"}),)},
        "warned", "shop/web", "The pod has no sidecar, because it runs on Windows",
    ),
    (
        "callers that go past",
        {"services": (looked_at(("Injected", "True", "AllInjected", "All have it. 2 are older"), FAILED),)},
        "warned", "shop/orders", "2 are older",
    ),
    (
        "a call of nobody", {"pods": (seen(calls="orders, bill.bank"),)}, "warned", "shop/web",
        "tcpservice.dev/calls of the pod lists the TcpService bank/bill, which does not exist",
    ),
    (
        "a sidecar younger than the operator", {"pods": (seen(__version__),), "operator": deployment(version="9")},
        "warned", "pods", "1 pod has a sidecar of version 0.1.0, but the operator has 9. To recreate the pods: kubectl",
    ),
    (
        "plain Python", {"forms": {("shop", "a"): "compiled", ("shop", "b"): "python"}}, "warned", "pods",
        "The sidecar of shop/b runs in plain Python, which uses several times the CPU. Remove TCPSERVICE_IMPL",
    ),
    (
        "an older sidecar", {"pods": (seen("0.0.9"),)}, "warned", "pods",
        "1 pod has a sidecar of version 0.0.9, but the operator has 0.1.0. To recreate the pods: kubectl rollout "
        "restart",
    ),
]  # fmt: skip


def test_sidecars_that_are_compiled_pass() -> None:
    found = check(replace(GOOD, forms={("shop", "a"): "compiled"}))
    assert Finding("passed", "pods", "The message path is compiled. Asked: 1 sidecar.") in found


@pytest.mark.parametrize(
    ("change", "mark", "subject", "words"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_each_problem_is_found_with_its_fix(change: dict[str, Any], mark: str, subject: str, words: str) -> None:
    found = [each for each in check(replace(GOOD, **change)) if each.mark != "passed"]
    assert any((each.mark, each.subject) == (mark, subject) and words in each.message for each in found), found


@pytest.mark.parametrize("name", [
    "definition", "webhook", "trusted", "unreached", "unanswered", "operator", "lease", "denied", "services", "pods",
])  # fmt: skip
def test_an_unknown_fact_is_a_warning(name: str) -> None:
    found = [each for each in check(replace(GOOD, **{name: FORBIDDEN})) if each.mark != "passed"]
    assert [(each.mark, each.message) for each in found] == [
        ("warned", f"{'Cannot read how often the webhook did not respond: ' * (name == 'unanswered')}Forbidden: no")
    ]


@pytest.mark.parametrize(
    ("named", "calls", "said"),
    [("orders.shop", None, True), ("orders.shop", "orders.shop", False), ("prices.shop", None, False)],
)
def test_callers_from_other_namespaces_are_found(named: str, calls: str | None, said: bool) -> None:
    body = pod("web", app="web", inject="enabled", calls=calls)
    body["metadata"]["namespace"] = "front"
    facts = replace(GOOD, pods=(SeenPod(pod=read_pod(body), version="", words=frozenset({named, "b.c"})),))
    found = [each for each in check(facts) if each.mark != "passed"]
    expected = Finding("warned", "front/web", "The pod seems to call orders.shop without a sidecar")
    assert [(each.subject, each.message.partition(". ")[0]) for each in found] == (
        [(expected.subject, expected.message)] if said else []
    )
