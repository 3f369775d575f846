"""The sidecar's resources are fitted to what a namespace and a pod allow; the property test asks a real API server."""

from __future__ import annotations

from typing import Any

import pytest

from tcpservice_operator.inject.resource_fit import Fit, NamespaceRules, fit

Document = dict[str, Any]
REQUESTS = {"cpu": "50m", "memory": "64Mi"}
LIMITS = {"memory": "256Mi"}


def pod(*containers: Document, **spec: Any) -> Document:
    return {"metadata": {}, "spec": {"containers": [{"name": "app", **each} for each in containers or ({},)], **spec}}


def resources(*, requests: Document | None = None, limits: Document | None = None) -> Document:
    return {"resources": {"requests": requests or {}, "limits": limits or {}}}


def limit_range(**item: Any) -> Document:
    return {"metadata": {"name": "r"}, "spec": {"limits": [{"type": "Container", **item}]}}


def pod_range(**item: Any) -> Document:
    return {"metadata": {"name": "r"}, "spec": {"limits": [{"type": "Pod", **item}]}}


def quota(used: Document | None = None, scopes: tuple[str, ...] = (), **hard: str) -> Document:
    amounts = {name.replace("_", "."): value for name, value in hard.items()}
    spec = {"hard": amounts, "scopes": list(scopes)}
    return {"metadata": {"name": "q"}, "spec": spec, "status": {"used": used or {}}}


def fitted(made: Document, *, ranges: tuple[Document, ...] = (), quotas: tuple[Document, ...] = ()) -> Fit:
    return fit(made, REQUESTS, LIMITS, NamespaceRules(ranges, quotas))


UNCHANGED = Fit(requests=REQUESTS, limits=LIMITS)


def test_without_rules_nothing_changes() -> None:
    assert fitted(pod()) == UNCHANGED


@pytest.mark.parametrize(
    ("rule", "requests", "limits"),
    [
        (limit_range(min={"cpu": "100m"}), {"cpu": "100m", "memory": "64Mi"}, LIMITS),
        (limit_range(min={"memory": "1Gi"}), {"cpu": "50m", "memory": "1073741824"}, {"memory": "1073741824"}),
        (limit_range(max={"cpu": "1"}), REQUESTS, {"cpu": "1000m", "memory": "256Mi"}),
        (limit_range(max={"memory": "128Mi"}), REQUESTS, {"memory": "134217728"}),
        (limit_range(default={"cpu": "20m"}), REQUESTS, {"cpu": "50m", "memory": "256Mi"}),
        (limit_range(maxLimitRequestRatio={"memory": "2"}), REQUESTS, {"memory": "134217728"}),
        (
            limit_range(maxLimitRequestRatio={"memory": "1"}, max={"memory": "64Mi"}),
            REQUESTS, {"memory": "67108864"},
        ),
        (pod_range(max={"memory": "300Mi"}), REQUESTS, {"memory": "256Mi"}),
    ],
)  # fmt: skip
def test_a_limit_range_changes_as_little_as_it_demands(rule: Document, requests: Document, limits: Document) -> None:
    assert fitted(pod(), ranges=(rule,)) == Fit(requests=requests, limits=limits)


def test_a_limit_range_of_pods_counts_the_containers() -> None:
    made = pod(resources(limits={"memory": "100Mi"}))
    done = fitted(made, ranges=(pod_range(max={"memory": "200Mi"}),))
    assert done.limits == {"memory": str(100 << 20)}
    assert fitted(made, ranges=(pod_range(max={"memory": "120Mi"}),)).reason


def test_a_limit_range_that_allows_too_little_leaves_the_sidecar_out() -> None:
    done = fitted(pod(), ranges=(limit_range(max={"memory": "32Mi"}),))
    assert "needs a memory limit of at least 48Mi" in done.reason


def test_resources_of_the_pod_itself_have_room_for_what_is_left() -> None:
    made = pod(resources(requests={"cpu": "90m"}), resources={"requests": {"cpu": "100m"}, "limits": {"memory": "1Gi"}})
    done = fitted(made)
    assert done == Fit(requests={"cpu": "10m", "memory": "64Mi"}, limits=LIMITS)
    full = pod(resources(requests={"cpu": "100m"}), resources={"requests": {"cpu": "100m"}})
    assert fitted(full).requests["cpu"] == "0m"


def test_a_quota_demands_limits_and_leaves_what_is_not_used() -> None:
    made = pod(resources(limits={"cpu": "1", "memory": "512Mi"}))
    done = fitted(made, quotas=(quota(limits_cpu="4", limits_memory="1Gi"),))
    assert done == Fit(requests=REQUESTS, limits={"cpu": "500m", "memory": "256Mi"})
    tight = quota({"limits.memory": "400Mi"}, limits_memory="1Gi")
    assert fitted(made, quotas=(tight,)).limits == {"memory": str(112 << 20)}
    full = quota({"limits.memory": "500Mi"}, limits_memory="1Gi")
    assert "the ResourceQuota q leaves too little" in fitted(made, quotas=(full,)).reason


def test_a_quota_on_requests_that_is_used_up_leaves_none() -> None:
    done = fitted(pod(resources(requests={"cpu": "1"})), quotas=(quota({"requests.cpu": "1"}, requests_cpu="2"),))
    assert done.requests == {"cpu": "0m", "memory": "64Mi"}


@pytest.mark.parametrize(
    ("scopes", "spec", "counts"),
    [
        ((), {}, True),
        (("BestEffort",), {}, False),
        (("NotBestEffort",), {}, True),
        (("Terminating",), {}, False),
        (("Terminating",), {"activeDeadlineSeconds": 5}, True),
        (("NotTerminating",), {"activeDeadlineSeconds": 5}, False),
    ],
)
def test_a_quota_counts_pods_of_its_scopes(scopes: tuple[str, ...], spec: Document, counts: bool) -> None:
    rule = quota(scopes=scopes, limits_memory="1Mi")
    assert bool(fitted(pod(**spec), quotas=(rule,)).reason) == counts


@pytest.mark.parametrize(
    ("operator", "values", "priority", "counts"),
    [("In", ["high"], "high", True), ("In", ["high"], "", False), ("NotIn", ["high"], "low", True),
     ("Exists", [], "high", True), ("Exists", [], "", False), ("DoesNotExist", [], "", True)],
)  # fmt: skip
def test_a_quota_counts_pods_of_its_priority(operator: str, values: list[str], priority: str, counts: bool) -> None:
    expression = {"scopeName": "PriorityClass", "operator": operator, "values": values}
    rule = quota(limits_memory="1Mi")
    rule["spec"]["scopeSelector"] = {"matchExpressions": [expression]}
    assert bool(fitted(pod(priorityClassName=priority), quotas=(rule,)).reason) == counts


def test_containers_that_run_one_after_the_other_count_once() -> None:
    initial = {"name": "migrate", **resources(limits={"memory": "300Mi"})}
    native = {"name": "proxy", "restartPolicy": "Always", **resources(limits={"memory": "50Mi"})}
    made = pod(resources(limits={"memory": "100Mi"}), initContainers=[initial, native])
    assert fitted(made, ranges=(pod_range(max={"memory": "400Mi"}),)).limits == {"memory": str(100 << 20)}
