"""What a real API server accepts, it accepts with the sidecar, too; nothing that the user wrote is lost.

Pods of many shapes (`pod_specs`) are created on trial in namespaces with different rules. INJECTION_EXAMPLES says how
many are drawn for each namespace.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cluster.apiserver import ApiServer
from cluster.pod_specs import SERVED_NAME, SERVED_NUMBER, confined, pods
from tcpservice_operator.cache.pod_roles import Called, Roles, Served
from tcpservice_operator.inject.pod_patch import inject
from tcpservice_operator.inject.resource_fit import NamespaceRules
from tcpservice_operator.inject.sidecar_options import Options

Document = dict[str, Any]


def limit_range(*limits: Document) -> Document:
    return {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "r"}, "spec": {"limits": list(limits)}}


def quota(hard: Document) -> Document:
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": hard}}


EXAMPLES: Final = int(os.environ.get("INJECTION_EXAMPLES", "50"))
RULES: Final[dict[str, tuple[Document, list[Document]]]] = {
    "free": ({}, []),
    "restricted": ({"pod-security.kubernetes.io/enforce": "restricted"}, []),
    "limits": (
        {},
        [
            limit_range(
                {
                    "type": "Container",
                    "min": {"cpu": "60m"},
                    "max": {"memory": "1Gi"},
                    "default": {"memory": "128Mi", "cpu": "200m"},
                },
                {"type": "Pod", "max": {"memory": "2Gi", "cpu": "4"}},
            )
        ],
    ),
    "ratio": (
        {},
        [
            limit_range(
                {
                    "type": "Container",
                    "maxLimitRequestRatio": {"memory": "2", "cpu": "4"},
                    "default": {"cpu": "200m", "memory": "128Mi"},
                    "defaultRequest": {"cpu": "100m", "memory": "64Mi"},
                }
            )
        ],
    ),
    "quota": (
        {},
        [
            limit_range({"type": "Container", "default": {"cpu": "200m", "memory": "128Mi"}}),
            quota({"requests.cpu": "2", "limits.cpu": "2500m", "limits.memory": "1200Mi", "pods": "5"}),
        ],
    ),
}
CONFINED: Final = "property-restricted"
FEWEST_ACCEPTED: Final = 0.1
"""Of the pods that are drawn for a namespace; the others break its rules without a sidecar, too."""


def document(name: str) -> Document:
    metadata = {"name": name, "namespace": "property"}
    return {"apiVersion": "tcpservice.dev/v1alpha1", "kind": "TcpService", "metadata": metadata, "spec": {"port": 3001}}


def roles() -> st.SearchStrategy[Roles]:
    served = st.builds(
        lambda target: Served(key=("property", "orders"), port=3001, target=target, document=document("orders")),
        st.sampled_from([SERVED_NAME, SERVED_NUMBER, 8080]),
    )
    called = st.builds(
        lambda port, others: Called(key=("property", "stock"), port=port, others=others, document=document("stock")),
        st.sampled_from([3001, 3005]),
        st.sampled_from([(), (9090,)]),
    )
    far = st.just(Called(key=("elsewhere", "billing"), port=4000, others=(), document=document("billing")))
    return st.builds(
        lambda serves, calls, more, targeted: Roles(
            serves=tuple(serves), calls=(*calls, *more), targeted=frozenset(targeted)
        ),
        st.lists(served, max_size=1),
        st.lists(called, max_size=1),
        st.lists(far, max_size=1),
        st.sets(st.sampled_from([3001, 8080]), max_size=1),
    ).filter(bool)


@pytest.fixture(scope="module", params=sorted(RULES))
def namespace(request: pytest.FixtureRequest, api: ApiServer) -> Iterator[str]:
    """A namespace with rules of its own."""
    name, (labels, objects) = f"property-{request.param}", RULES[request.param]
    api.kubectl("create", "namespace", name)
    for label, value in labels.items():
        api.kubectl("label", "namespace", name, f"{label}={value}")
    for each in objects:
        api.kubectl("create", "-n", name, "-f", "-", text=json.dumps(each))
    if any(each["kind"] == "ResourceQuota" for each in objects):
        api.kubectl("wait", "-n", name, "resourcequota/q", "--for=jsonpath={.status.hard.pods}=5", "--timeout=60s")
    deadline = time.monotonic() + 60
    while api.get(f"/api/v1/namespaces/{name}/serviceaccounts/default") is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    yield name
    api.kubectl("delete", "namespace", name, "--wait=false")


def tried(api: ApiServer, namespace: str, pod: Document) -> tuple[int, Document]:
    """Create a pod on trial; return the status and the pod as the API server completed it, or why it was refused."""
    path = f"/api/v1/namespaces/{namespace}/pods?dryRun=All&fieldValidation=Strict"
    return api.send("POST", path, pod)


def rules_of(api: ApiServer, namespace: str) -> NamespaceRules:
    """Return the rules of a namespace as the operator reads them."""
    path = f"/api/v1/namespaces/{namespace}"
    return NamespaceRules(
        tuple(api.get(f"{path}/limitranges")["items"]), tuple(api.get(f"{path}/resourcequotas")["items"])
    )


def as_reviewed(made: Document) -> Document:
    """Return a pod as the API server shows it to webhooks."""
    metadata = {name: made["metadata"][name] for name in ("name", "labels", "annotations") if name in made["metadata"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": made["spec"]}


def test_what_was_accepted_is_accepted_with_the_sidecar(api: ApiServer, namespace: str) -> None:
    counted: Counter[str] = Counter()
    rules = rules_of(api, namespace)

    # What fails is shown as it was drawn: to make it smaller would take hundreds of questions.
    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), deadline=None, phases=[Phase.generate])
    @given(pods(), roles())
    def holds(pod: Document, roles: Roles) -> None:
        if namespace == CONFINED:
            pod = confined(pod)
        status, made = tried(api, namespace, pod)
        if status != 201:
            counted["refused without a sidecar"] += 1
            return
        for before in (as_reviewed(made), *(() if rules.limit_ranges else (pod,))):  # LimitRanges complete pods first
            done = inject(
                {**before, "metadata": {**before["metadata"], "namespace": namespace}}, roles, Options(), rules
            )
            counted["left as it was" if done.reason else "injected"] += 1
            again = inject(done.pod, roles, Options(), rules)
            assert again.pod == done.pod, "a second injection changes nothing"
            lost = list(missing(before, done.pod))
            assert not lost, lost
            status, answer = tried(api, namespace, done.pod)
            assert status == 201, answer["message"]

    holds()
    print(f"{namespace}: {dict(counted)}")
    assert counted["injected"] >= FEWEST_ACCEPTED * EXAMPLES


# What is lost


def missing(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Give what of one document is not in another; injection may add, rename the ports of apps, and probe by number."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name, value in before.items():
            if name not in after:
                yield f"{path}.{name}"
            elif not _may_differ(path, name, value, after[name]):
                yield from missing(value, after[name], f"{path}.{name}")
    elif isinstance(before, list) and isinstance(after, list):
        yield from _missing_items(before, after, path)
    elif before != after:
        yield f"{path}: {before!r} became {after!r}"


def _missing_items(before: list[Any], after: list[Any], path: str) -> Iterator[str]:
    """Give what is missing of a list, whose items keep their order; items may be added before, between and behind."""
    rest = iter(after)
    for index, item in enumerate(before):
        for other in rest:
            if _same_item(item, other):
                yield from missing(item, other, f"{path}[{index}]")
                break
        else:
            yield f"{path}[{index}]: {json.dumps(item)[:200]}"


def _same_item(item: Any, other: Any) -> bool:
    if not isinstance(item, dict) or not isinstance(other, dict):
        return bool(item == other)
    if "containerPort" in item:
        return bool(item["containerPort"] == other.get("containerPort"))
    key = next((name for name in ("name", "ip") if name in item), None)
    return bool(item.get(key) == other.get(key) if key else item == other)


def _may_differ(path: str, name: str, before: Any, after: Any) -> bool:
    """Whether injection may change a field: the name of an app's port; a probe's port, from its name to its number."""
    if name == "name" and ".ports[" in path:
        return isinstance(after, str) and "-app" in after
    return name == "port" and isinstance(before, str) and isinstance(after, int)
