"""The CustomResourceDefinition on a real API server: it refuses what the judge of files refuses, in words that help."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.apiserver import ApiServer
from core.spec.wrong import FIELDS, HEADS, LATER, ROUTE, ROUTES, SERVICE
from tcpservice.spec import read
from tcpservice_operator.crd import text

SERVICES = "/apis/tcpservice.dev/v1alpha1/namespaces/shop/tcpservices"
PATTERNS_ALIKE = {"a pattern of no handler", "the same pattern", "the same pattern as JSON", "the same prefix"}
PATTERNS_ALIKE |= {"the same pattern in another order"}
"""What only the operator and the judge of files see: they know what NestJS makes of a pattern."""

WRONG = {
    **{f"field: {name}": SERVICE + text for name, (text, *_) in FIELDS.items()},
    **{f"route: {name}": SERVICE + ROUTE + text for name, (text, *_) in ROUTES.items() if name not in PATTERNS_ALIKE},
    **{f"head: {name}": text for name, (text, *_) in HEADS.items()},
}
OTHERWISE = {
    "field: unknown null field", "head: the same service again",
    "head: the same service in the default namespace",
}  # fmt: skip
"""A null field is none to Kubernetes; several documents are several requests."""


def apply(api: ApiServer, manifest: str) -> tuple[int, Any]:
    """Create what a file says, as `kubectl create` does; nothing is kept."""
    return api.send_text("POST", f"{SERVICES}?fieldValidation=Strict&dryRun=All", manifest)


@pytest.mark.parametrize("name", [name for name in WRONG if name not in OTHERWISE])
def test_a_wrong_manifest_is_refused_and_says_where(api: ApiServer, name: str) -> None:
    assert read([("orders.yaml", WRONG[name])]).problems
    status, answer = apply(api, WRONG[name])
    assert status in (400, 404, 409, 422), answer
    message = answer["message"]
    paths = {problem.path for problem in read([("orders.yaml", WRONG[name])]).problems if problem.path}
    assert any(word in message for path in paths for word in words(path)), (paths, message)


def words(path: str) -> list[str]:
    """What of a path either judge says: its last name, or that of what holds it, where Kubernetes drops a null."""
    names = re.findall(r"[A-Za-z]+", path)
    return ["version"] if path == "apiVersion" else [names[-1], ".".join(names[:-1]) or path]


RIGHT: dict[str, str] = {
    "smallest": SERVICE,
    **{f"later: {name}": SERVICE + text for name, (text, *_) in LATER.items()},
    "all": """\
apiVersion: tcpservice.dev/v1alpha1
kind: TcpService
metadata: {name: orders, namespace: shop}
spec:
  selector: {app: orders, example.com/tier: back}
  port: 3001
  targetPort: nestjs
  protocol: NestJS
  timeouts: {request: 10s, backendRequest: 2s, streamIdle: 1h30m, connect: 250ms}
  loadBalancing:
    algorithm: ConsistentHash
    consistentHash: {source: Data, path: customerId}
    trafficDistribution: PreferSameZone
    slowStart: {window: 30s}
  retry: {attempts: 2, backoff: 25ms}
  retryConstraint: {budget: {percent: 20, interval: 10s}, minRetryRate: {count: 10, interval: 1s}}
  outlierDetection: {consecutiveErrors: 5, baseEjectionTime: 10s, maxEjectionPercent: 50}
  limits: {maxFrameSize: 16Mi, maxRequestsPerReplica: 1024}
  rateLimit: {requests: 500, interval: 1s}
  drain: {timeout: 20s, streamTimeout: 25s}
  tracing: {samplingPercent: "0.5", slowThreshold: 500ms}
  routes:
  - name: sum
    match: {type: Exact, pattern: '{"cmd":"sum"}'}
    idempotent: true
    timeouts: {request: 2s, backendRequest: 500ms}
    retry: {attempts: 0}
    fallback: {type: Response, response: "0"}
  - name: created
    match: {type: Exact, pattern: order.created}
    delivery: AllReplicas
  - name: report
    match: {type: Prefix, pattern: report.}
    backendRefs: [{name: orders, weight: 90}, {name: orders-v2, weight: 10}]
  access:
    mode: Audit
    rules:
    - name: web
      from: [{namespace: shop, serviceAccount: web}, {namespace: shop}]
      to: [{type: Prefix, pattern: order.}, {type: Prefix, pattern: report.}]
  injection: {restart: Manual}
""",
    "a port by number": SERVICE + "  targetPort: 3002\n",
    "a size by number": SERVICE + "  limits: {maxFrameSize: 1073741824}\n",
    "a size with a fraction": SERVICE + "  limits: {maxFrameSize: 1.5Mi}\n",
    "no limit on the request": SERVICE + "  timeouts: {request: 0s, backendRequest: 2s}\n",
    "the longest name": SERVICE.replace("orders", "o" * 54),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_manifest_comes_back_as_it_went(api: ApiServer, name: str) -> None:
    status, answer = apply(api, RIGHT[name])
    assert status == 201, answer
    assert answer["spec"] == yaml.safe_load(RIGHT[name])["spec"]


def test_the_committed_file_is_what_the_structs_say() -> None:
    committed = (Path(__file__).parents[2] / "crds" / "tcpservices.yaml").read_text()
    assert committed == text(), "run `make crds`"


def test_people_find_their_way(api: ApiServer) -> None:
    explained = api.kubectl("explain", "tcpservice.spec.routes")
    assert "Rules for the messages of some patterns" in explained
    assert "backendRefs" in explained
    api.kubectl("apply", "-f", "-", text=RIGHT["all"])
    listed = api.kubectl("get", "tcps", "-n", "shop").splitlines()
    assert listed[0].split() == ["NAME", "PORT", "REPLICAS", "INJECTED", "READY", "AGE"]
    assert listed[1].split()[:2] == ["orders", "3001"]
    assert "tcpservice.tcpservice.dev/orders" in api.kubectl("get", "all", "-n", "shop")
    api.kubectl("delete", "tcps", "-n", "shop", "orders")


def test_a_word_in_another_case_is_told(api: ApiServer) -> None:
    said = api.kubectl("apply", "-f", "-", text=SERVICE + "  timeout: {request: 1s}\n", status=1)
    assert 'unknown field "spec.timeout"' in said
