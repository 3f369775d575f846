"""Pods with their sidecars: real-life shapes as golden files, and what holds for all of them.

`golden/NAME.yaml` is what people write, `golden/NAME.out.yaml` what becomes of it; written anew by
`UPDATE_GOLDEN=1 pytest tests/control/inject/test_pod_patch.py`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
from pathlib import Path
from typing import Any

import jsonpatch
import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from control.objects import pod, tcp_service
from tcpservice.spec import read
from tcpservice.spec.yaml_writer import write_all
from tcpservice_operator.api.names import SIDECAR_CONTAINER
from tcpservice_operator.cache.cluster_state import ClusterState
from tcpservice_operator.cache.objects import read_tcp_service
from tcpservice_operator.cache.pod_roles import Called, Roles
from tcpservice_operator.cache.pod_views import roles_of
from tcpservice_operator.inject.offline import flat, inject_all, state_of
from tcpservice_operator.inject.pod_patch import BOOTSTRAP, INJECTED, LARGEST_BOOTSTRAP, inject
from tcpservice_operator.inject.pod_templates import template_of
from tcpservice_operator.inject.sidecar_options import Options
from tcpservice_operator.inject.webhook import Webhook
from tcpservice_sidecar.settings import read_settings

GOLDEN = Path(__file__).parent / "golden"
SHAPES = sorted(path.stem for path in GOLDEN.glob("*.yaml") if not path.stem.endswith(".out"))
KEY = "0123456789abcdef" * 2
OPTIONS = Options(
    image="sidecar:1",
    version="1",
    variables=(("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317"),),
    hook_key=lambda: KEY,
)


def documents(name: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all((GOLDEN / f"{name}.yaml").read_text()) if each]


def pods(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [template for document in found if (template := template_of(document)) is not None]


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_becomes_what_is_written(name: str) -> None:
    results = list(inject_all(documents(name), OPTIONS))
    made = [result.document for result in results if template_of(result.document) is not None]
    said = "".join(f"# {line}\n" for result in results for line in result.lines)
    text = said + write_all(made)
    path = GOLDEN / f"{name}.out.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_pull_secrets_are_added_once() -> None:
    state = state_of(documents("deployment"))
    template = pods(documents("deployment"))[0]
    template["spec"]["imagePullSecrets"] = [{"name": "own"}]
    roles = roles_of(state, template, "shop")
    made = inject(template, roles, msgspec.structs.replace(OPTIONS, pull_secrets=("own", "sidecars"))).pod
    assert made["spec"]["imagePullSecrets"] == [{"name": "own"}, {"name": "sidecars"}]


def test_a_pod_may_ask_to_serve_what_does_not_select_it_yet() -> None:
    blue = pod("a", app="orders-blue", injected=False, annotations={"tcpservice.dev/serves": "orders, unknown"})
    made = inject(blue, roles_of(state_of([tcp_service()]), blue, "shop"), OPTIONS).pod
    assert "--app=shop/orders=localhost:3001" in made["spec"]["initContainers"][0]["args"]


@pytest.mark.parametrize("name", SHAPES)
def test_doing_it_again_changes_nothing(name: str) -> None:
    once = [result.document for result in inject_all(documents(name), OPTIONS)]
    assert [result.document for result in inject_all(once, OPTIONS)] == once


@pytest.mark.parametrize("name", SHAPES)
def test_the_webhook_makes_of_a_pod_what_the_command_makes_and_asked_again_has_nothing_to_say(name: str) -> None:
    found = list(flat(documents(name)))
    state = state_of(found)
    for document, result in zip(found, inject_all(found, OPTIONS), strict=True):
        before, after = template_of(document), template_of(result.document)
        if before is None or after is None or after == before:
            continue
        metadata = {**(before.get("metadata") or {}), "namespace": document["metadata"].get("namespace", "default")}
        pod = {**before, "metadata": metadata}
        made = jsonpatch.apply_patch(pod, answer(state, pod)["patch"])
        assert made["spec"] == after["spec"]
        assert made["metadata"]["annotations"] == after["metadata"]["annotations"]
        assert answer(state, made) == {}


def answer(state: ClusterState, body: dict[str, Any]) -> dict[str, Any]:
    """Return the patch and the warnings of a webhook that asks nobody."""

    async def look(_: str) -> ClusterState:
        return state

    async def tell(_: str) -> None:
        return

    async def ask() -> dict[str, Any]:
        return await Webhook(state, OPTIONS, look, tell).answer(body["metadata"]["namespace"], body)

    said = asyncio.run(ask())
    return {**said, "patch": json.loads(base64.b64decode(said["patch"]))} if said else {}


@pytest.mark.parametrize("name", SHAPES)
def test_nothing_is_taken_away(name: str) -> None:
    before = documents(name)
    after = [result.document for result in inject_all(before, OPTIONS)]
    assert before == documents(name), "what is given stays as it is"
    for old, new in zip(pods(list(flat(before))), pods(after), strict=True):
        assert {each["name"] for each in old["spec"]["containers"]} == {
            each["name"] for each in new["spec"]["containers"]
        }
        for key in ("labels", "annotations"):
            assert (old["metadata"].get(key) or {}).items() <= (new["metadata"].get(key) or {}).items()


@pytest.mark.parametrize("name", SHAPES)
def test_a_sidecar_begins_with_manifests_that_it_can_read(name: str) -> None:
    for result in inject_all(documents(name), OPTIONS):
        template = template_of(result.document)
        if template is not None and BOOTSTRAP in (template["metadata"].get("annotations") or {}):
            reading = read([("bootstrap.yaml", template["metadata"]["annotations"][BOOTSTRAP])])
            assert not reading.problems
            assert reading.snapshot is not None


@pytest.mark.parametrize("name", SHAPES)
def test_the_sidecar_knows_every_flag_that_it_is_given(name: str) -> None:
    """A flag that it does not know would be ignored in a pod, with a warning in its log only."""
    results = inject_all(documents(name), OPTIONS)
    for made in pods([result.document for result in results if template_of(result.document) is not None]):
        if INJECTED not in (made["metadata"].get("annotations") or {}):
            continue
        (sidecar,) = (each for each in made["spec"]["initContainers"] if each["name"] == "tcpservice-sidecar")
        words = [word.replace("$(POD_IP)", "10.0.0.1") for word in sidecar["args"]]
        assert read_settings(words, {}).ignored == ()


OF_THE_POD = ("labels", "annotations")
OF_THE_SPEC = ("initContainers", "volumes", "hostAliases", "os", "nodeSelector", "terminationGracePeriodSeconds")
OF_CONTAINERS = ("ports", "env", "lifecycle", "livenessProbe", "readinessProbe", "startupProbe")


def emptied(template: dict[str, Any], fields: set[str]) -> None:
    """Let fields have no value, as Helm writes them."""
    containers = template["spec"]["containers"]
    template["metadata"].update(dict.fromkeys(fields.intersection(OF_THE_POD)))
    template["spec"].update(dict.fromkeys(fields.intersection(OF_THE_SPEC)))
    for container in containers:
        if "preStop" in fields:
            container["lifecycle"] = {**container.get("lifecycle", {}), "preStop": None}
        container.update(dict.fromkeys(fields.intersection(OF_CONTAINERS)))


@given(st.sampled_from(SHAPES), st.sets(st.sampled_from([*OF_THE_POD, *OF_THE_SPEC, *OF_CONTAINERS, "preStop"])))
def test_a_field_without_a_value_is_as_good_as_none(name: str, fields: set[str]) -> None:
    def made(found: list[dict[str, Any]]) -> tuple[str, list[tuple[str, ...]]]:
        results = list(inject_all(found, OPTIONS))
        text = json.dumps(without_nulls([result.document for result in results]), sort_keys=True)
        return text, [result.lines for result in results]

    found = list(flat(documents(name)))
    for template in pods(found):
        emptied(template, fields)
    assert made(found) == made(without_nulls(found))


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_nulls(each) for name, each in value.items() if each is not None}
    return [without_nulls(each) for each in value] if isinstance(value, list) else value


def test_documents_of_nearly_nothing_are_no_trouble() -> None:
    found: list[dict[str, Any]] = [
        {"kind": "Pod", "metadata": None, "spec": {"containers": [{"name": "a"}]}},
        {"kind": "Service", "metadata": {"name": "a"}, "spec": None},
        {"kind": "Namespace", "metadata": {"name": "a", "labels": None}},
        {"kind": "Deployment", "metadata": {"name": "a", "namespace": None}, "spec": None},
        {"kind": "List", "items": None},
    ]
    assert [result.document for result in inject_all([tcp_service(), *found], OPTIONS)] == [tcp_service(), *found[:-1]]


def many(count: int, size: int) -> list[dict[str, Any]]:
    """Make TcpServices with long manifests."""
    routes = [
        {"name": f"r{number}", "match": {"type": "Exact", "pattern": f"{number}-".ljust(200, "x")}}
        for number in range(size)
    ]
    return [
        tcp_service(f"s{each}", selector={"app": f"s{each}"}, port=4000 + each, routes=routes) for each in range(count)
    ]


def test_a_tcp_service_that_became_wrong_begins_as_it_was() -> None:
    state = ClusterState()
    state.apply_tcp_service_event(tcp_service(drain={"timeout": "3s"}))
    broken = tcp_service(port=3009, targetPort="other", rateLimit={"requests": 1, "interval": "1s"})
    broken["metadata"]["generation"] = 4
    state.apply_tcp_service_event(broken)
    (served,) = roles_of(state, pod("a", injected=False), "shop").serves
    assert served.document["spec"] == tcp_service(drain={"timeout": "3s"})["spec"]
    assert (served.port, served.target) == (3001, "nestjs"), "its Services stay as they were, too"


@pytest.mark.parametrize(
    ("count", "size", "services", "policies"), [(2, 10, 2, ["s0"]), (20, 50, 20, ["s0"]), (2, 600, 1, [])]
)
def test_what_a_sidecar_begins_with_is_never_too_large(
    count: int, size: int, services: int, policies: list[str]
) -> None:
    """600 routes are more than a TcpService may have: one that is not accepted is not called."""
    labels = {"app": "s0", "tcpservice.dev/inject": "enabled"}
    body = pod("a", injected=False, annotations={"tcpservice.dev/app-ports": "8080"})
    body["metadata"]["labels"] = labels
    *_, made = (each.document for each in inject_all([*many(count, size), {"kind": "Pod", **body}], OPTIONS))
    text = made["metadata"]["annotations"][BOOTSTRAP]
    assert len(text) <= LARGEST_BOOTSTRAP
    reading = read([("bootstrap.yaml", text)])
    assert reading.snapshot is not None
    assert len(reading.snapshot.services) == services
    assert [each.name for each in reading.snapshot.services if each.routes] == policies


@pytest.mark.parametrize("name", SHAPES)
def test_ports_have_names_of_their_own_and_short_ones(name: str) -> None:
    for template in pods([result.document for result in inject_all(documents(name), OPTIONS)]):
        spec = template["spec"]
        containers = [*spec["containers"], *(spec.get("initContainers") or [])]
        names = [port["name"] for each in containers for port in each.get("ports") or [] if "name" in port]
        assert len(names) == len(set(names))
        assert all(len(name) <= 15 for name in names)


def test_each_pod_has_a_hook_key_that_its_manifest_does_not_tell() -> None:
    """A client that sends the webhook a copy of a pod does not receive the key of the real pod."""

    def key() -> str:
        (made,) = pods([each.document for each in inject_all(documents("caller"), Options(image="sidecar:1"))])
        (found,) = (each for each in made["spec"]["initContainers"][0]["args"] if each.startswith("--hook-key="))
        return str(found)

    assert len({key() for _ in range(20)}) == 20
    assert len(key().removeprefix("--hook-key=")) == 32


def test_a_pod_holds_no_policy_of_what_it_calls() -> None:
    """The webhook cannot verify its client, so that a patch tells no more of a TcpService than injection needs."""
    secret: dict[str, Any] = {
        "selector": {"app": "stock", "tier": "secret"},
        "routes": [{"name": "secret", "match": {"type": "Exact", "pattern": "secret"}}],
        "retry": {"attempts": 7},
    }
    service = tcp_service("stock", port=3002, targetPort="secret", **secret)
    assert read_tcp_service(service).problems == ()
    body = pod("web", app="web", injected=False, inject="enabled", annotations={"tcpservice.dev/app-ports": ""})
    *_, made = (each.document for each in inject_all([service, {"kind": "Pod", **body}], OPTIONS))
    (item,) = json.loads(made["metadata"]["annotations"][BOOTSTRAP])["items"]
    assert item["spec"] == {"port": 3002}
    assert item["metadata"] == {"name": "stock", "namespace": "shop"}
    assert "secret" not in json.dumps(made["metadata"]["annotations"])


def test_a_container_that_came_later_gets_what_the_others_have() -> None:
    (made,) = pods([result.document for result in inject_all(documents("caller"), OPTIONS)])
    made["spec"]["containers"].append({"name": "late", "image": "late:1"})
    whole = {"apiVersion": "v1", "kind": "Pod", **made}
    whole["metadata"]["namespace"] = "shop"
    (again,) = pods([result.document for result in inject_all([*documents("caller")[:2], whole], OPTIONS)])
    late = again["spec"]["containers"][-1]
    assert late["lifecycle"]["preStop"]["httpGet"]["path"] == "/gate"
    assert [each["name"] for each in late["env"]] == ["ORDERS_SERVICE_HOST"]
    assert [each["name"] for each in again["spec"]["initContainers"]] == [SIDECAR_CONTAINER]


def test_a_pod_without_a_role_is_left_alone() -> None:
    pod = {"metadata": {}, "spec": {"containers": [{"name": "app"}]}}
    assert inject(pod, Roles(), OPTIONS).reason == "the pod serves no TcpService and calls none"


def test_a_tcp_service_that_appears_between_two_invocations_is_left_for_the_next_pod() -> None:
    def called(name: str) -> Called:
        document = {
            "apiVersion": "tcpservice.dev/v1alpha1", "kind": "TcpService",
            "metadata": {"name": name, "namespace": "shop"}, "spec": {"port": 3002},
        }  # fmt: skip
        return Called(key=("shop", name), port=3002, others=(), document=document)

    metadata = {"namespace": "shop", "annotations": {"tcpservice.dev/app-ports": ""}}
    pod = {"metadata": metadata, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}
    once = inject(pod, Roles(calls=(called("prices"),)), OPTIONS).pod
    assert inject(once, Roles(calls=(called("prices"), called("stock"))), OPTIONS).pod == once
