from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct, convert

from tcpservice.spec import read
from tcpservice.spec.check import check
from tcpservice.spec.problems import Path, render
from tcpservice.spec.schema import TcpService
from tcpservice.spec.slices import EndpointSlice

MATCH = {"type": "Prefix", "pattern": "order."}
SERVICE = {
    "apiVersion": "tcpservice.dev/v1alpha1",
    "kind": "TcpService",
    "metadata": {"name": "orders", "namespace": "shop", "uid": "1", "labels": {"a": "b"}},
    "spec": {
        "selector": {"app": "orders", "example.com/tier": ""},
        "port": 3001,
        "targetPort": "nestjs",
        "protocol": "NestJS",
        "timeouts": {"request": "10s", "backendRequest": "2s", "streamIdle": "60s", "connect": "1s"},
        "loadBalancing": {"algorithm": "RoundRobin"},
        "retry": {"attempts": 3, "backoff": "50ms"},
        "retryConstraint": {
            "budget": {"percent": 10, "interval": "5s"},
            "minRetryRate": {"count": 5, "interval": "2s"},
        },
        "limits": {"maxFrameSize": "4Mi", "maxRequestsPerReplica": 512},
        "drain": {"timeout": "10s", "streamTimeout": "25s"},
        "routes": [
            {
                "name": "sum",
                "match": {"type": "Exact", "pattern": '{"cmd":"sum"}'},
                "idempotent": True,
                "timeouts": {"request": "2s", "backendRequest": "500ms"},
                "retry": {"attempts": 5},
                "delivery": "OneReplica",
            },
            {"name": "rest", "match": MATCH},
        ],
        "injection": {"restart": "Manual"},
    },
    "status": {
        "observedGeneration": 3,
        "replicas": {"total": 3, "ready": 3, "injected": 2},
        "conditions": [
            {"type": "Ready", "status": "True", "reason": "Ok", "message": "", "lastTransitionTime": "2026-01-01"}
        ],
    },
}
LATER = {
    "loadBalancing": {
        "algorithm": "ConsistentHash",
        "consistentHash": {"source": "Data", "path": "customerId"},
        "trafficDistribution": "PreferSameZone",
        "slowStart": {"window": "30s"},
    },
    "outlierDetection": {"consecutiveErrors": 5, "baseEjectionTime": "10s", "maxEjectionPercent": 50},
    "rateLimit": {"requests": 500, "interval": "1s"},
    "tracing": {"samplingPercent": "0.1", "slowThreshold": "500ms"},
    "routes": [
        {
            "name": "sum",
            "match": MATCH,
            "fallback": {"type": "Response", "response": "0"},
            "delivery": "AllReplicas",
            "backendRefs": [{"name": "orders", "weight": 90}, {"name": "orders-v2"}],
        }
    ],
    "access": {
        "mode": "Audit",
        "rules": [{"name": "web", "from": [{"namespace": "shop", "serviceAccount": "web"}], "to": [MATCH]}],
    },
}
WHOLE = {**SERVICE, "spec": {**SERVICE["spec"], **LATER}}  # type: ignore[dict-item]
SLICE = {
    "apiVersion": "discovery.k8s.io/v1",
    "kind": "EndpointSlice",
    "metadata": {"name": "orders-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "orders"}},
    "addressType": "IPv4",
    "endpoints": [
        {
            "addresses": ["10.0.0.1"],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "targetRef": {"kind": "Pod", "name": "orders-1", "uid": "1"},
            "zone": "a",
            "nodeName": "node",
        },
        {"addresses": ["10.0.0.2"]},
    ],
    "ports": [{"name": "mesh", "port": 15001, "protocol": "TCP"}],
}

SIMPLE = (
    st.none()
    | st.booleans()
    | st.integers(-1, 70_000)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(("1s", "0s", "1Mi", "a", "sum", "rest", "mesh", "Exact", "IPv6", "Opaque", "10.0.0.2"))
)
VALUES = st.recursive(
    SIMPLE,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("name", "port", "request", "match", "x")) | st.text(max_size=3), inner, max_size=3
        )
    ),
    max_leaves=6,
)


def paths_in(value: object, path: Path = ()) -> Iterator[Path]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in members:
        yield (*path, step)
        yield from paths_in(item, (*path, step))


def put(document: object, path: Path, value: object) -> Any:
    changed: Any = json.loads(json.dumps(document))
    holder = changed
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    return changed


CASES = [
    (document, kind, path)
    for document, kind in ((SERVICE, TcpService), (WHOLE, TcpService), (SLICE, EndpointSlice))
    for path in paths_in(document)
]


@pytest.mark.parametrize(("document", "kind"), [(SERVICE, TcpService), (WHOLE, TcpService), (SLICE, EndpointSlice)])
def test_what_is_right_has_no_problems(document: object, kind: type[Struct]) -> None:
    assert list(check(document, kind)) == []
    convert(document, kind)


@settings(max_examples=1000)
@given(st.sampled_from(CASES), VALUES)
def test_a_problem_points_at_the_value_that_makes_it(case: tuple[object, type[Struct], Path], value: object) -> None:
    document, kind, path = case
    changed = put(document, path, value)
    findings = list(check(changed, kind))
    assert all(finding.path[: len(path)] == path for finding in findings)
    if not findings:
        convert(changed, kind)


@settings(max_examples=500)
@given(st.sampled_from([case for case in CASES if case[0] is not WHOLE]), VALUES)
def test_any_value_is_read_or_refused(case: tuple[object, type[Struct], Path], value: object) -> None:
    document, _, path = case
    others = [other for other in (SERVICE, SLICE) if other is not document]
    texts = [json.dumps(each) for each in (put(document, path, value), *others)]
    reading = read([("manifests.yaml", "\n---\n".join(texts))])
    assert (reading.snapshot is None) == bool(reading.problems)
    for problem in reading.problems:
        assert "\n" not in str(problem)


REQUIRED = {"port", "name", "match", "type", "pattern"}
OPTIONAL = [
    path
    for path in paths_in(SERVICE["spec"], ("spec",))
    if isinstance(path[-1], str) and path[-1] not in REQUIRED and path[:-1] != ("spec", "selector")
]


@pytest.mark.parametrize("path", OPTIONAL, ids=render)
def test_null_is_as_left_out(path: Path) -> None:
    empty, shorter = put(SERVICE, path, None), put(SERVICE, path, None)
    holder: Any = shorter
    for step in path[:-1]:
        holder = holder[step]
    del holder[path[-1]]
    readings = [read([("manifests.yaml", json.dumps(each))]) for each in (empty, shorter)]
    assert readings[0] == readings[1]
    assert readings[0].problems == ()
