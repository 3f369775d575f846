"""An operator of named namespaces works in these, and has no right in any other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.apiserver import ApiServer
from cluster.running import Operator, wait_for
from cluster.test_check import check
from cluster.test_discovery import line, stream, token, trust
from cluster.test_webhook import install_webhook, pod, sidecars
from control.objects import tcp_service
from tcpservice_operator.api.crd import text
from tcpservice_operator.api.rbac import roles

WATCHED = ("shop", "bank")
HOME = "tcpservice-system"
PLACES = (*WATCHED, "other")
ACCOUNT = {"kind": "ServiceAccount", "name": "tcpservice-operator", "namespace": HOME}


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server where the operator has the rights of two namespaces, in which there are three."""
    with ApiServer(tmp_path_factory.mktemp("narrow")) as api:
        api.kubectl("apply", "--server-side", "-f", "-", text=text())
        api.kubectl("wait", "--for=condition=Established", "crd/tcpservices.tcpservice.dev", "--timeout=120s")
        for place in (*PLACES, HOME):
            api.kubectl("create", "namespace", place)
        for home, subject in (("shop", {"kind": "User", "name": "operator"}), (HOME, ACCOUNT)):
            for role in roles(f"operator-{subject['kind'].lower()}", home, subject, WATCHED):
                api.kubectl("apply", "-f", "-", text=json.dumps(role))
        yield api


def apply(api: ApiServer, place: str, **spec: Any) -> None:
    body = tcp_service(**spec)
    metadata = {"name": "orders", "namespace": place}
    api.kubectl("apply", "-f", "-", text=json.dumps({**body, "metadata": metadata}))


def observed(api: ApiServer, place: str) -> int:
    """Return the generation of the status of a TcpService, 0 if it has none."""
    found = api.get(f"/apis/tcpservice.dev/v1alpha1/namespaces/{place}/tcpservices/orders")
    return int((found.get("status") or {}).get("observedGeneration", 0))


def maps(api: ApiServer) -> set[str]:
    found = api.get("/api/v1/configmaps?fieldSelector=metadata.name%3Dtcpservice-ca")["items"]
    return {each["metadata"]["namespace"] for each in found}


def test_the_watched_namespaces_are_served_and_others_left_alone(narrow: ApiServer) -> None:
    for place in PLACES:
        apply(narrow, place)
    with Operator(narrow, "one", "--watch-namespaces", "shop,bank") as operator:
        install_webhook(narrow, operator)
        wait_for("both are reconciled", lambda: all(observed(narrow, place) for place in WATCHED), operator)
        apply(narrow, "bank", port=4000)
        wait_for("a change is seen", lambda: observed(narrow, "bank") == 2, operator)
        wait_for("the CA is there", lambda: maps(narrow) == set(WATCHED), operator)

        def injected() -> bool:
            """The API server takes a moment to know a webhook."""
            narrow.kubectl("delete", "pods", "-n", "shop", "--all", "--grace-period=0", "--force")
            narrow.kubectl("apply", "-f", "-", text=json.dumps(pod("orders-a")))
            return sidecars(narrow, "orders-a") != []

        wait_for("a pod has its sidecar", injected, operator)
        with stream(operator, trust(narrow), f"Bearer {token(narrow, 'orders-a')}") as answer:
            assert [each["name"] for each in line(answer)["services"]] == ["orders"]
        elsewhere = pod("orders-b")
        elsewhere["metadata"]["namespace"] = "other"
        narrow.kubectl("apply", "-f", "-", text=json.dumps(elsewhere))
        assert "initContainers" not in narrow.get("/api/v1/namespaces/other/pods/orders-b")["spec"]
        assert observed(narrow, "other") == 0
        assert maps(narrow) == set(WATCHED)
        assert "using the cache" not in operator.stderr, "of other namespaces, it reads nothing"


@pytest.mark.parametrize(
    ("watched", "mark"),
    [
        ("shop,bank", r"^passed +rights "),
        ("shop,other", r"^failed +rights +The operator lacks the rights: list namespaces, "),
    ],
)
def test_check_looks_at_what_the_operator_watches(narrow: ApiServer, watched: str, mark: str) -> None:
    container = {"name": "operator", "image": "x", "args": [f"--watch-namespaces={watched}"]}
    labels = {"app": "operator"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    metadata = {"name": "tcpservice-operator", "namespace": HOME}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
    narrow.kubectl("apply", "-f", "-", text=json.dumps(deployment))
    apply(narrow, "other")
    done = check(Path(narrow.kubeconfig), "-o", "text")
    found = done.stdout
    assert re.search(mark, found, re.MULTILINE), found
    assert ("other/orders" in found) == ("other" in watched), "only TcpServices that it works with"
