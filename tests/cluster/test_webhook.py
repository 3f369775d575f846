"""The webhook with a real API server, which judges the patches, too."""

from __future__ import annotations

import json
import re
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.apiserver import ApiServer
from cluster.running import SERVICES, Operator, condition, empty, wait_for
from cluster.test_discovery import trust
from control.objects import tcp_service
from tcpservice_operator.identity.authority import renewed, serve
from tcpservice_operator.inject.offline import inject_all
from tcpservice_operator.inject.pod_templates import template_of
from tcpservice_operator.inject.sidecar_options import Options

GOLDEN = Path(__file__).parents[1] / "control" / "inject" / "golden"
SHAPES = sorted(path.stem for path in GOLDEN.glob("*.yaml") if not path.stem.endswith(".out"))
NAMED = {"name": "orders", "namespace": "shop"}
PODS = "/api/v1/namespaces/shop/pods"
OTHER = "127.0.0.2"
"""The address of a client that is not the API server."""


@pytest.fixture(autouse=True)
def _clean(api: ApiServer) -> Iterator[None]:
    yield
    api.kubectl("delete", "mutatingwebhookconfigurations", "--all")
    api.kubectl("delete", "deployments", "-n", "shop", "--all")
    empty(api)


def install_webhook(api: ApiServer, operator: Operator, seconds: int = 30) -> None:
    """Do what the chart does; the operator then lets the API server trust it, which waits for so many seconds."""
    hook = {
        "name": "inject.tcpservice.dev",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Ignore",
        "reinvocationPolicy": "IfNeeded",
        "timeoutSeconds": seconds,
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        "clientConfig": {"url": f"https://{operator.address('sidecars')}/v1/inject"},
    }
    document = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "tcpservice"},
        "webhooks": [hook],
    }
    api.kubectl("apply", "-f", "-", text=json.dumps(document))
    path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/tcpservice"
    wait_for("it is trusted", lambda: "caBundle" in json.dumps(api.get(path)), operator, seconds=180)


def pod(name: str, app: str = "orders", **spec: Any) -> dict[str, Any]:
    container = {"name": "app", "image": "none", "ports": [{"name": "nestjs", "containerPort": 3001}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": app}},
        "spec": {"containers": [container], **spec},
    }


def sidecars(api: ApiServer, name: str) -> list[str]:
    found = api.get(f"{PODS}/{name}")
    return [container["name"] for container in found["spec"].get("initContainers", [])]


def failed_open(api: ApiServer) -> float:
    """Return how many pods were made without the webhook's answer."""
    counted = r"^apiserver_admission_webhook_fail_open_count\{.*\} ([0-9.e+]+)$"
    return sum(map(float, re.findall(counted, api.get("/metrics"), re.MULTILINE)))


def test_one_apply_of_a_tcp_service_and_its_pod_gives_it_the_sidecar(api: ApiServer) -> None:
    with Operator(api) as operator:
        install_webhook(api, operator)

        def applied() -> bool:
            """The API server takes a moment to know a webhook."""
            api.kubectl("delete", "tcps,pods", "-n", "shop", "--all", "--grace-period=0", "--force")
            service = {**tcp_service(), "metadata": {"name": "orders", "namespace": "shop"}}
            api.kubectl("apply", "-f", "-", text=f"{json.dumps(service)}\n---\n{json.dumps(pod('orders-a'))}")
            return sidecars(api, "orders-a") == ["tcpservice-sidecar"]

        wait_for("the pod has its sidecar", applied, operator)
        wait_for("it is counted", lambda: condition(api, "Injected") == ("True", "AllInjected"), operator)
        made = api.get(f"{PODS}/orders-a")
        assert made["spec"]["initContainers"][0]["image"].startswith("ghcr.io/tcpservice/sidecar:")
        (app,) = made["spec"]["containers"]
        assert app["ports"][0]["name"] == "nestjs-app"
        assert made["metadata"]["annotations"]["tcpservice.dev/injected"]

        api.kubectl("apply", "-f", "-", text=json.dumps(pod("stranger", app="other")))
        assert sidecars(api, "stranger") == []
        assert "tcpservice.dev" not in json.dumps(api.get(f"{PODS}/stranger")["metadata"].get("annotations", {}))

        said = api.kubectl("apply", "-f", "-", text=json.dumps(pod("host", hostNetwork=True)))
        assert "Warning: tcpservice: no sidecar, because the pod uses the host network" in said
        assert sidecars(api, "host") == []
        annotations = api.get(f"{PODS}/host")["metadata"]["annotations"]
        assert annotations["tcpservice.dev/not-injected"] == "the pod uses the host network"

        operator.child.kill()
        api.kubectl("apply", "-f", "-", text=json.dumps(pod("orders-b")))
        assert sidecars(api, "orders-b") == [], "nobody answers, and the pod is there all the same"


def test_a_pod_waits_a_moment_for_what_it_calls_by_name(api: ApiServer) -> None:
    """One apply of a folder makes objects in the order of its files; Deployments make pods meanwhile."""
    with Operator(api) as operator:
        install_webhook(api, operator)
        calling = pod("web", app="web")
        calling["metadata"]["labels"]["tcpservice.dev/inject"] = "enabled"
        calling["metadata"]["annotations"] = {"tcpservice.dev/calls": "stock", "tcpservice.dev/app-ports": ""}
        stock = {**tcp_service("stock"), "metadata": {"name": "stock", "namespace": "shop"}}

        def applied() -> bool:
            api.kubectl("delete", "tcps,pods", "-n", "shop", "--all", "--grace-period=0", "--force")
            with ThreadPoolExecutor() as beside:
                made = beside.submit(api.kubectl, "apply", "-f", "-", text=json.dumps(calling))
                api.kubectl("apply", "-f", "-", text=json.dumps(stock))
                made.result()
            return sidecars(api, "web") == ["tcpservice-sidecar"]

        wait_for("it finds what came after it", applied, operator)


def test_a_pod_finds_what_was_made_just_before_it_beside_what_is_known(api: ApiServer) -> None:
    """Its namespace calls all, so that a role is no sign of knowing all."""
    api.kubectl("label", "namespace", "shop", "tcpservice.dev/inject=enabled")
    with Operator(api) as operator:
        install_webhook(api, operator)
        api.kubectl("apply", "-f", "-", text=json.dumps({**tcp_service(port=4000), "metadata": NAMED}))

        def listening(name: str) -> list[str]:
            init = api.get(f"{PODS}/{name}")["spec"].get("initContainers", [{"args": []}])
            return [flag.split("=")[1] for flag in init[0]["args"] if flag.startswith("--listen=")]

        def known() -> bool:
            api.kubectl("delete", "pods", "-n", "shop", "--all", "--grace-period=0", "--force")
            api.kubectl("apply", "-f", "-", text=json.dumps(pod("first", app="web")))
            return listening("first") == ["shop/orders"]

        wait_for("it answers", known, operator)
        expected = {"shop/orders"}
        for number in range(5):
            newer = tcp_service(port=4001 + number, selector={"app": f"n{number}"})
            newer["metadata"] = {"name": f"n{number}", "namespace": "shop"}
            assert api.post(SERVICES, newer)[0] == 201
            assert api.post(PODS, pod(f"web-{number}", app="web"))[0] == 201
            expected.add(f"shop/n{number}")
            assert set(listening(f"web-{number}")) == expected
    api.kubectl("label", "namespace", "shop", "tcpservice.dev/inject-")


def test_whoever_answers_late_or_with_an_old_certificate_keeps_no_pod_from_being_made(
    api: ApiServer, tmp_path: Path
) -> None:
    then = datetime.now(UTC) - timedelta(days=60)
    authority = renewed(None, then)
    certificate, key = serve(authority, ["127.0.0.1"], then)
    for name, text in (("tls.crt", certificate), ("tls.key", key), ("ca.crt", authority.bundle)):
        (tmp_path / name).write_text(text)
    api.kubectl("apply", "-f", "-", text=json.dumps({**tcp_service(), "metadata": NAMED}))
    with Operator(api, "one", "--certificate", str(tmp_path)) as operator:
        install_webhook(api, operator)
        before = failed_open(api)

        def asked() -> bool:
            """The API server takes a moment to know a webhook."""
            api.kubectl("delete", "pods", "-n", "shop", "--all", "--grace-period=0", "--force")
            api.kubectl("apply", "-f", "-", text=json.dumps(pod("expired")))
            return failed_open(api) > before

        wait_for("it is asked, and not believed", asked, operator)
        assert sidecars(api, "expired") == []
    with Operator(api) as operator:
        install_webhook(api, operator, seconds=5)

        def injected() -> bool:
            api.kubectl("delete", "pods", "-n", "shop", "--all", "--grace-period=0", "--force")
            api.kubectl("apply", "-f", "-", text=json.dumps(pod("orders-a")))
            return sidecars(api, "orders-a") != []

        wait_for("it answers", injected, operator)
        operator.child.signal(signal.SIGSTOP)
        try:
            api.kubectl("apply", "-f", "-", text=json.dumps(pod("late")))
        finally:
            operator.child.signal(signal.SIGCONT)
        assert sidecars(api, "late") == []
        wait_for("the condition", lambda: condition(api, "Injected") == ("False", "PodsLackSidecar"), operator)


def test_what_is_no_review_is_refused(api: ApiServer) -> None:
    with Operator(api) as operator:
        host, _, port = operator.address("sidecars").partition(":")
        for text in ("", "[]", "{}", '{"request": {}}'):
            connection = HTTPSConnection(host, int(port), context=trust(api), timeout=60)
            connection.request("POST", "/v1/inject", body=text)
            answer = connection.getresponse()
            assert answer.status == 400
            assert "expected an AdmissionReview" in answer.read().decode()
            connection.close()


def test_names_are_captured_where_there_are_endpoints(api: ApiServer) -> None:
    """Slices made by hand, and a second name for the same pods are; an ExternalName is not."""
    ports = [{"name": "tcp", "port": 3001, "targetPort": 3001}]
    named = [{"name": "tcp", "port": 3001, "targetPort": "nestjs"}]
    by_hand = {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "legacy-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "legacy"}},
        "endpoints": [{"addresses": ["198.18.0.57"]}], "ports": [{"name": "tcp", "port": 3001}],
    }  # fmt: skip
    services: dict[str, dict[str, Any]] = {
        "legacy": {"ports": ports},
        "saas": {"type": "ExternalName", "externalName": "orders.example.com"},
        "orders": {"selector": {"app": "orders"}, "ports": named},
        "shop-orders": {"selector": {"app": "orders"}, "ports": named},
    }
    documents: list[dict[str, Any]] = [by_hand]
    for name, spec in services.items():
        metadata = {"name": name, "namespace": "shop"}
        documents.append({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
        own = {"apiVersion": "tcpservice.dev/v1alpha1", "kind": "TcpService"}
        documents.append({**own, "metadata": metadata, "spec": {"port": 3001}})
    api.kubectl("apply", "-f", "-", text="\n---\n".join(map(json.dumps, documents)))
    calling = pod("web", app="web")
    calling["metadata"]["labels"]["tcpservice.dev/inject"] = "enabled"
    calling["metadata"]["annotations"] = {"tcpservice.dev/app-ports": ""}
    with Operator(api) as operator:
        install_webhook(api, operator)
        accepted, refused = ("True", "Accepted"), ("False", "NoSelector")
        for name, expected in (("legacy", accepted), ("saas", refused), ("shop-orders", accepted)):
            wait_for(name, lambda n=name, e=expected: condition(api, "Accepted", n) == e, operator)  # type: ignore[misc]
        wait_for("legacy is served", lambda: condition(api, "Ready", "legacy") == ("True", "Serving"), operator)
        assert condition(api, "InboundReady", "legacy") == ("False", "ManualEndpoints")

        def injected() -> bool:
            """The API server takes a moment to know a webhook."""
            api.kubectl("delete", "pods", "-n", "shop", "--all", "--grace-period=0", "--force")
            api.kubectl("apply", "-f", "-", text=json.dumps(calling))
            return sidecars(api, "web") != []

        wait_for("it answers", injected, operator)
        made = api.get(f"{PODS}/web")["spec"]
        assert [each["hostnames"][0] for each in made["hostAliases"]] == ["legacy", "orders", "shop-orders"]
        (app,) = made["containers"]
        assert [each["name"] for each in app["env"]] == [
            "LEGACY_SERVICE_HOST", "ORDERS_SERVICE_HOST", "SHOP_ORDERS_SERVICE_HOST",
        ]  # fmt: skip
        listening = [word for word in made["initContainers"][0]["args"] if word.startswith("--listen=")]
        assert [word.split("=")[1] for word in listening] == ["shop/legacy", "shop/orders", "shop/shop-orders"]
    api.kubectl("delete", "endpointslice", "-n", "shop", "legacy-1", "--ignore-not-found")


FLOOD = 50


def test_a_pod_gets_its_sidecar_while_others_flood_the_webhook(api: ApiServer) -> None:
    """Any pod can send reviews: here 50 at a time, each of a pod that calls what is not there."""
    forged = pod("forged", app="web")
    forged["metadata"]["labels"]["tcpservice.dev/inject"] = "enabled"
    forged["metadata"]["annotations"] = {"tcpservice.dev/calls": "nobody"}
    body = json.dumps({"request": {"uid": "1", "namespace": "shop", "object": forged}}).encode()
    api.kubectl("apply", "-f", "-", text=json.dumps({**tcp_service(), "metadata": NAMED}))
    with Operator(api) as operator:
        install_webhook(api, operator)

        def injected() -> bool:
            """The API server takes a moment to know a webhook."""
            api.kubectl("delete", "pods", "-n", "shop", "--all", "--grace-period=0", "--force")
            api.kubectl("apply", "-f", "-", text=json.dumps(pod("orders-a")))
            return sidecars(api, "orders-a") != []

        wait_for("it answers", injected, operator)
        before, trusted, ended, answered = failed_open(api), trust(api), threading.Event(), list[int]()

        def flood() -> None:
            host, _, port = operator.address("sidecars").partition(":")
            while not ended.is_set():
                connection = HTTPSConnection(host, int(port), context=trusted, timeout=60, source_address=(OTHER, 0))
                with closing(connection), suppress(OSError):  # the operator ends a handshake that takes too long
                    connection.request("POST", "/v1/inject", body=body)
                    answered.append(connection.getresponse().status)

        with ThreadPoolExecutor(FLOOD) as beside:
            floods = [beside.submit(flood) for _ in range(FLOOD)]
            try:
                wait_for("the flood is there", lambda: len(answered) > FLOOD, operator)
                for number in range(5):
                    assert api.post(PODS, pod(f"orders-{number}"))[0] == 201
                    assert sidecars(api, f"orders-{number}") == ["tcpservice-sidecar"]
            finally:
                ended.set()
            for each in floods:
                each.result()
        assert failed_open(api) == before
        assert set(answered) <= {200, 503}


def test_a_namespace_that_is_a_path_leads_nowhere(api: ApiServer) -> None:
    with Operator(api) as operator:
        host, _, port = operator.address("sidecars").partition(":")
        path = "../../../../api/v1/namespaces/shop/secrets/tcpservice-ca?x="
        asked = {"request": {"uid": "1", "namespace": path, "object": pod("a")}}
        connection = HTTPSConnection(host, int(port), context=trust(api), timeout=60)
        connection.request("POST", "/v1/inject", body=json.dumps(asked))
        answer = connection.getresponse()
        assert (answer.status, "matching regex" in answer.read().decode()) == (400, True)
        connection.close()
        assert "secrets" not in operator.stderr, "the operator asked for its Secret, and says what came"


@pytest.mark.parametrize("name", SHAPES)
def test_the_api_server_takes_every_shape(api: ApiServer, name: str) -> None:
    """Also where the strictest of Kubernetes' own standards is asked for."""
    documents = [each for each in yaml.safe_load_all((GOLDEN / f"{name}.yaml").read_text()) if each]
    for result in inject_all(documents, Options(image="sidecar:1")):
        template = template_of(result.document)
        if template is None:
            continue
        metadata = {**(template.get("metadata") or {}), "name": "shape", "namespace": "shop"}
        whole = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        code, answer = api.send("POST", f"{PODS}?dryRun=All&fieldValidation=Strict", whole)
        assert code == 201, answer


def test_the_sidecar_passes_the_restricted_standard(api: ApiServer) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "strict", "labels": labels}}
    api.kubectl("apply", "-f", "-", text=json.dumps(namespace))
    security = {
        "runAsNonRoot": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    service = {**tcp_service(), "metadata": {"name": "orders", "namespace": "strict"}}
    body = pod("orders-a")
    body["metadata"]["namespace"] = "strict"
    body["spec"]["containers"][0]["securityContext"] = security
    _, made = (result.document for result in inject_all([service, body], Options(image="sidecar:1")))
    wait_for("the namespace is there", lambda: api.get("/api/v1/namespaces/strict/serviceaccounts/default"))
    code, answer = api.send("POST", "/api/v1/namespaces/strict/pods?dryRun=All", made)
    assert code == 201, answer
