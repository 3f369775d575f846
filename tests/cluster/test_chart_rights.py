"""The chart, installed by Helm on a real API server: what it lets the operator and people do."""

from __future__ import annotations

import json
import subprocess
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster.apiserver import ApiServer
from cluster.found import helm

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "tcpservice"
CRDS = ROOT / "crds"
HOME = "tcpservice-chart"
OPERATOR = f"--as=system:serviceaccount:{HOME}:tcpservice-operator"
MANAGED = {"app.kubernetes.io/managed-by": "tcpservice-operator"}
SECONDS = 60.0


def run_helm(api: ApiServer, *words: str) -> str:
    command = [str(helm()), *words, "--kubeconfig", str(api.kubeconfig), "-n", HOME]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """The chart on an API server of its own, whose CRD was applied by kubectl before."""
    with ApiServer(tmp_path_factory.mktemp("chart")) as api:
        api.kubectl("apply", "--server-side", "-f", str(CRDS))
        api.kubectl("create", "namespace", "shop")
        run_helm(api, "install", "tcpservice", str(CHART), "--create-namespace")
        yield api
        run_helm(api, "uninstall", "tcpservice")


def service(name: str, labels: dict[str, str]) -> str:
    metadata = {"name": name, "namespace": HOME, "labels": labels}
    spec = {"ports": [{"port": 1, "name": "a"}], "selector": {"app": "a"}}
    return json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})


def until(holds: Callable[[], bool]) -> None:
    """Wait for what the API server learns some time after an object was made."""
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def refusal(api: ApiServer, *words: str, text: str = "") -> str:
    """Return why a command was refused, nothing where it was not."""
    try:
        api.kubectl(*words, text=text)
    except AssertionError as error:
        return str(error)
    return ""


def test_a_crd_that_kubectl_applied_is_left_alone(installed: ApiServer) -> None:
    run_helm(installed, "upgrade", "tcpservice", str(CHART), "--set", "replicas=1")
    crd = installed.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/tcpservices.tcpservice.dev")
    assert "meta.helm.sh/release-name" not in (crd["metadata"].get("annotations") or {})


def test_the_operators_credential_changes_only_services_of_its_own(installed: ApiServer) -> None:
    apply = (OPERATOR, "apply", "--server-side", "--force-conflicts", "--field-manager=tcpservice-operator", "-f", "-")
    denied = "may only write Services with the label"
    installed.kubectl("create", "-f", "-", text=service("dns", {"app.kubernetes.io/managed-by": "someone"}))
    until(lambda: denied in refusal(installed, *apply, "--dry-run=server", text=service("dns", {})))
    for labels in ({}, MANAGED):
        assert denied in refusal(installed, *apply, text=service("dns", labels)), (
            "a Service that the operator does not manage"
        )
    assert denied in refusal(installed, *apply, text=service("new", {}))
    for _ in range(2):  # it is created, then changed
        installed.kubectl(*apply, text=service("own", MANAGED))
    patch = json.dumps({"spec": {"selector": {"app": "b"}}})
    installed.kubectl("patch", "service", "-n", HOME, "dns", "-p", patch)


def test_the_operators_credential_changes_only_the_bundle_of_its_webhook(installed: ApiServer) -> None:
    def change(path: str, value: object) -> str:
        operations = json.dumps([{"op": "add", "path": path, "value": value}])
        name = ("mutatingwebhookconfiguration", "tcpservice")
        return refusal(installed, OPERATOR, "patch", *name, "--type=json", "-p", operations)

    bundle = installed.get("/api/v1/namespaces/default/configmaps/kube-root-ca.crt")["data"]["ca.crt"]
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"]}
    until(lambda: "may only change the CA bundle" in change("/webhooks/0/rules/-", rule))
    wrong: tuple[tuple[str, object], ...] = (
        ("/webhooks/0/clientConfig/service/namespace", "attacker"),
        ("/webhooks/0/failurePolicy", "Fail"),
        ("/webhooks/0/namespaceSelector", {}),
        ("/webhooks/0/objectSelector", {"matchLabels": {"a": "b"}}),
        ("/webhooks/0/matchConditions", [{"name": "none", "expression": "false"}]),
        ("/webhooks/0/timeoutSeconds", 30),
        ("/metadata/labels", {"a": "b"}),
    )
    for path, value in wrong:
        assert "may only change the CA bundle" in change(path, value), path
    assert change("/webhooks/0/clientConfig/caBundle", _base64(bundle)) == ""


@pytest.mark.parametrize(
    ("role", "allowed"), [("view", {"get", "list"}), ("edit", {"get", "list", "create", "delete"})]
)
def test_kubernetes_own_roles_cover_tcp_services(installed: ApiServer, role: str, allowed: set[str]) -> None:
    installed.kubectl(
        "create", "rolebinding", f"chart-{role}", f"--clusterrole={role}", f"--user={role}er", "-n", "shop"
    )

    def may(verb: str) -> bool:
        words = ("auth", "can-i", verb, "tcpservices.tcpservice.dev", "-n", "shop", f"--as={role}er")
        return refusal(installed, *words) == ""

    until(lambda: may("list"))
    assert {verb for verb in ("get", "list", "create", "delete") if may(verb)} == allowed
    installed.kubectl("delete", "rolebinding", f"chart-{role}", "-n", "shop")


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()
