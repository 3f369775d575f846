"""A pod that started without the sidecar starts with it: what users set is kept, and what would clash is left alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from control.objects import namespace as namespace_event
from control.objects import pod as pod_event
from control.objects import tcp_service
from tcpservice_operator.cache.cluster_state import ClusterState
from tcpservice_operator.cache.pod_roles import Called, Roles, Served
from tcpservice_operator.inject.pod_patch import LARGEST_ANNOTATIONS, Injected, inject
from tcpservice_operator.inject.resource_fit import NamespaceRules
from tcpservice_operator.inject.sidecar_options import Options, for_pod
from tcpservice_operator.inject.webhook import Webhook
from tcpservice_operator.kube.kube_client import ApiError

Document = dict[str, Any]


def document(name: str) -> Document:
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": {"port": 3001}}


SERVES = Roles(serves=(Served(key=("shop", "orders"), port=3001, target="nestjs", document=document("orders")),))
CALLS = Roles(calls=(Called(key=("shop", "stock"), port=3002, others=(), document=document("stock")),))


def pod(container: Document | None = None, annotations: dict[str, str] | None = None, **spec: Any) -> Document:
    app = {"name": "app", "image": "shop:1", "ports": [{"name": "nestjs", "containerPort": 3001}], **(container or {})}
    metadata = {"name": "one", "namespace": "shop", "annotations": annotations or {}}
    return {"metadata": metadata, "spec": {"containers": [app], **spec}}


def injected(made: Document, roles: Roles = SERVES, options: Options | None = None) -> Injected:
    return inject(made, roles, options or Options())


def sidecar(done: Injected) -> Document:
    found: Document = done.pod["spec"]["initContainers"][0]
    assert found["name"] == "tcpservice-sidecar", done.reason
    return found


def variables(container: Document) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in container.get("env", [])}


# Variables of Services


def test_containers_get_the_variable_of_a_service_that_they_call_init_containers_too() -> None:
    done = injected(pod(initContainers=[{"name": "migrate", "image": "shop:1"}]), CALLS)
    _, migrate = done.pod["spec"]["initContainers"]
    (app,) = done.pod["spec"]["containers"]
    assert variables(migrate) == variables(app)
    assert list(variables(app)) == ["STOCK_SERVICE_HOST"]


@pytest.mark.parametrize(
    "made", [pod({"envFrom": [{"configMapRef": {"name": "settings"}}]}), pod(enableServiceLinks=False)]
)
def test_a_configmap_of_the_users_and_a_pod_without_such_variables_keep_theirs(made: Document) -> None:
    (app,) = injected(made, CALLS).pod["spec"]["containers"]
    assert "STOCK_SERVICE_HOST" not in variables(app)


# Ports


@pytest.mark.parametrize("number", [15801, 15820, 15890])
def test_an_app_on_a_port_of_the_sidecar_keeps_it(number: int) -> None:
    made = pod({"ports": [{"name": "nestjs", "containerPort": 3001}, {"containerPort": number}]})
    assert injected(made).reason == f"the app listens on port {number}, which the sidecar uses"
    listed = pod({"ports": made["spec"]["containers"][0]["ports"]}, {"tcpservice.dev/app-ports": "3001"})
    assert not injected(listed).reason, "the annotation says where it listens"


def test_the_ports_of_a_server_are_free_in_a_pod_that_only_calls() -> None:
    assert not injected(pod({"ports": [{"containerPort": 15801}]}), CALLS).reason


# Annotations


def test_annotations_that_are_full_leave_no_room_for_the_sidecars() -> None:
    full = pod(annotations={"large": "x" * (LARGEST_ANNOTATIONS - 100)})
    assert "and the API server accepts at most 262144" in injected(full).reason


def test_annotations_change_the_sidecar_of_one_pod() -> None:
    given = {"cpu": "75m", "cpu-limit": "1", "memory": "96Mi", "memory-limit": "1Gi", "image": "mirror/sidecar:2"}
    made = injected(pod(annotations={f"tcpservice.dev/sidecar-{name}": value for name, value in given.items()}))
    assert made.notes == ()
    assert sidecar(made)["image"] == "mirror/sidecar:2"
    assert sidecar(made)["resources"] == {
        "requests": {"cpu": "75m", "memory": "96Mi"},
        "limits": {"cpu": "1", "memory": "1Gi"},
    }


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("cpu", "lots", 'expected a quantity such as 100m or 64Mi, got "lots"'),
        ("memory", "-1", 'expected a quantity of 0 or more, got "-1"'),
        ("image", "", 'expected the name of an image, got ""'),
        ("image", "a b", 'expected the name of an image, got "a b"'),
        ("ram", "1Gi", "expected one of tcpservice.dev/sidecar-cpu, "),
    ],
)
def test_an_annotation_that_is_not_valid_is_ignored_with_a_note(name: str, value: str, problem: str) -> None:
    options, (note,) = for_pod(Options(), {f"tcpservice.dev/sidecar-{name}": value, "other": "x"})
    assert (options.cpu, options.memory, options.image) == (Options().cpu, Options().memory, Options().image)
    assert note.startswith(f"the annotation tcpservice.dev/sidecar-{name} is ignored: {problem}")


def test_an_installation_without_a_security_context_leaves_it_to_the_platform() -> None:
    assert "securityContext" not in sidecar(injected(pod(), options=Options(security_context={})))
    assert sidecar(injected(pod()))["securityContext"]["runAsNonRoot"] is True


# Rules of the namespace


def test_a_namespace_whose_rules_leave_no_room_gets_the_pod_as_it_is() -> None:
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"limits.memory": "1Mi"}}, "status": {}}
    done = inject(pod(), SERVES, Options(), NamespaceRules(quotas=(quota,)))
    assert "the ResourceQuota q leaves too little" in done.reason


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_the_webhook_reads_rules_and_a_dry_run_writes_nothing(dry_run: bool, fails: bool) -> None:
    state, written, read = ClusterState(), list[str](), list[str]()
    state.apply_namespace_event(namespace_event())
    state.apply_tcp_service_event(tcp_service("orders", selector={"app": "orders"}, port=3001))

    async def read_now(_: str) -> ClusterState:
        return state

    async def ensure_bundle(name: str) -> None:
        written.append(name)

    async def read_rules(name: str) -> NamespaceRules:
        read.append(name)
        if fails:
            raise ApiError(500, "busy")
        return NamespaceRules()

    async def ask() -> Document:
        webhook = Webhook(state, Options(), read_now, ensure_bundle, read_rules)
        return await webhook.answer("shop", pod_event("one", app="orders", injected=False), dry_run=dry_run)

    assert "patch" in asyncio.run(ask())
    assert read == ["shop"]
    assert written == ([] if dry_run else ["shop"])
