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
from tcpservice_operator.api.crd import text

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
  loadBalancing: {algorithm: RoundRobin}
  retry: {attempts: 2, backoff: 25ms}
  retryConstraint: {budget: {percent: 20, interval: 10s}, minRetryRate: {count: 10, interval: 1s}}
  limits: {maxFrameSize: 16Mi, maxRequestsPerReplica: 1024}
  drain: {timeout: 20s, streamTimeout: 25s}
  tracing: {samplingPercent: "0.5", slowThreshold: 500ms}
  routes:
  - name: sum
    match: {type: Exact, pattern: '{"cmd":"sum"}'}
    idempotent: true
    timeouts: {request: 2s, backendRequest: 500ms}
    retry: {attempts: 0}
  - name: created
    match: {type: Exact, pattern: order.created}
    delivery: OneReplica
  - name: report
    match: {type: Prefix, pattern: report.}
  allowedCallers: {namespaces: {from: Selector, selector: {team: web}}}
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


@pytest.mark.parametrize("name", LATER)
def test_what_is_not_supported_yet_is_unknown(api: ApiServer, name: str) -> None:
    status, answer = apply(api, SERVICE + LATER[name][0])
    assert status in (400, 422), answer
    assert "unknown field" in answer["message"] or "Unsupported value" in answer["message"], answer


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (
            SERVICE + "  timeouts: {request: fast}\n",
            ["spec.timeouts.request", "expected a duration in whole numbers with a unit, such as 250ms, 5s or 1m30s"],
        ),
        (SERVICE.replace("orders", "9orders"), ["metadata.name", "expected lowercase letters, digits and hyphens"]),
        (
            SERVICE.replace("orders", "orders-replicas"),
            ["metadata.name", "expected a name that does not end with -replicas"],
        ),
        (
            SERVICE + "  allowedCallers: {namespaces: {from: Selector}}\n",
            ["spec.allowedCallers.namespaces", "expected a selector if from is Selector, and no selector otherwise"],
        ),
    ],
)
def test_a_refusal_is_written_for_people(api: ApiServer, manifest: str, words: list[str]) -> None:
    status, answer = apply(api, manifest)
    assert status == 422, answer
    assert all(each in answer["message"] for each in words), answer
    assert "<nil>" not in answer["message"]
    assert "should match" not in answer["message"]


def test_the_committed_file_is_what_the_structs_say() -> None:
    committed = (Path(__file__).parents[2] / "crds" / "tcpservices.yaml").read_text()
    assert committed == text(), "run `make crds`"


def test_people_find_their_way(api: ApiServer) -> None:
    explained = api.kubectl("explain", "tcpservice.spec.routes")
    assert "Policies for the messages of some patterns" in explained
    assert "delivery" in explained
    assert "backendRefs" not in explained, "it is not supported yet"
    api.kubectl("apply", "-f", "-", text=RIGHT["all"])
    listed = api.kubectl("get", "tcps", "-n", "shop").splitlines()
    assert listed[0].split() == ["NAME", "READY", "REPLICAS", "INJECTED", "PORT", "REASON", "AGE"]
    assert listed[1].split()[:2] == ["orders", "3001"]
    api.kubectl("delete", "tcps", "-n", "shop", "orders")


def test_a_word_in_another_case_is_told(api: ApiServer) -> None:
    said = api.kubectl("apply", "-f", "-", text=SERVICE + "  timeout: {request: 1s}\n", status=1)
    assert 'unknown field "spec.timeout"' in said
