"""docs/kubernetes.md: its commands do what it says, and it lists all rights of the operator."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.apiserver import ApiServer
from cluster.running import Operator, condition, empty, wait_for
from tcpservice_operator.api import rbac

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "kubernetes.md").read_text()
SHOWN = ("orders", "stock", "prices")


@pytest.fixture(autouse=True)
def _clean(api: ApiServer) -> Iterator[None]:
    yield
    api.kubectl("delete", "deployments", "-n", "shop", "--all")
    empty(api)


def commands() -> list[list[str]]:
    """Return what the page lets people type."""
    section = PAGE.split("## The operator from your own machine")[1]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return [shlex.split(line) for block in blocks[:2] for line in block.splitlines()]


def test_the_first_steps(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    typed = commands()
    assert typed.pop(2) == [".venv/bin/tcpservice-operator"]
    with Operator(api) as operator:
        said = {}
        for command in typed:
            assert command[0] == "kubectl"
            if command[1:3] == ["get", "tcpservices"]:
                for name in SHOWN:
                    wait_for(name, lambda name=name: condition(api, "Programmed", name)[0] == "True", operator)  # type: ignore[misc]
            there = command[1:] == ["create", "namespace", "shop"]
            said[command[1]] = api.kubectl(*command[1:], status=1 if there else 0)
    assert re.search(r"^NAME +READY +REPLICAS +INJECTED +PORT +REASON +AGE$", said["get"], re.MULTILINE)
    assert re.search(r"^orders +False +3 +0 +3001 +NoReplicas ", said["get"], re.MULTILINE)
    assert re.search(r"Reason: +NoReplicas$", said["describe"], re.MULTILINE)
    for words in ("kubectl get pods -n shop -l app=orders", "/docs/conditions.md#noreplicas", "Observed Generation"):
        assert words in said["describe"]
    assert re.search(r"^Events: +<none>$|Programmed", said["describe"], re.MULTILINE)
    assert "FIELD: routes" in said["explain"]
    assert "idempotent" in said["explain"]


def test_the_commands_of_the_removal_are_understood(api: ApiServer) -> None:
    section = PAGE.split("## Removing TcpService")[1].partition("\n## ")[0]
    lines = [
        line.strip() for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL) for line in block.splitlines()
    ]
    typed = [shlex.split(line) for line in lines if line.strip().startswith("kubectl")]
    assert len(typed) == 7
    for _, *words in typed:
        dry = ["--dry-run=server", "--ignore-not-found"] if words[0] == "delete" else []
        api.kubectl(*words, *dry)


def test_the_rights_are_those_that_are_listed() -> None:
    words = {
        "tcpservices": "TcpServices", "services": "Services", "endpointslices": "EndpointSlices",
        "networkpolicies": "NetworkPolicies", "tokenreviews": "verify tokens", "tcpservices/status": "the status",
        "secrets": "Secret", "pods/eviction": "evict pods", "leases": "Lease", "configmaps": "ConfigMaps",
        "mutatingwebhookconfigurations": "its own webhook",
    }  # fmt: skip
    for rule in (*rbac.cluster_wide(), *rbac.IN_NAMESPACES, *rbac.AT_HOME):
        (resource,) = rule["resources"]
        assert words.get(resource, resource).lower() in PAGE.lower()
