"""The operator as a process, and what a test does in place of people and of kubelets."""

from __future__ import annotations

import json
import re
import shlex
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from cluster.apiserver import ApiServer
from interop.processes import Child
from tcpservice_operator.api.crd import text
from tcpservice_operator.api.rbac import roles

TESTS = Path(__file__).parents[1]
SECONDS = 120.0
COLLECTOR_SECONDS = 180.0  # the garbage collector looks for new kinds every half minute
SERVICES = "/apis/tcpservice.dev/v1alpha1/namespaces/shop/tcpservices"


def install(api: ApiServer, namespace: str) -> None:
    """Do what an administrator does: the CRD, the namespace, and just the rights that the operator needs."""
    api.kubectl("apply", "--server-side", "-f", "-", text=text())
    api.kubectl("wait", "--for=condition=Established", "crd/tcpservices.tcpservice.dev", "--timeout=120s")
    api.kubectl("create", "namespace", namespace)
    for role in roles("tcpservice-operator", namespace, {"kind": "User", "name": "operator"}):
        api.kubectl("apply", "-f", "-", text=json.dumps(role))


class Operator:
    """One replica of the operator, started as its users start it."""

    def __init__(
        self,
        api: ApiServer,
        identity: str = "one",
        *flags: str,
        forbidden_for_a_while: bool = False,
        program: str = "tcpservice_operator.main",
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._forgiven = forbidden_for_a_while
        self._addresses: dict[str, str] = {}
        self.child = Child(
            [
                sys.executable, "-m", program, "--identity", identity, "--namespace", "shop",
                "--listen", "127.0.0.1:0", "--health", "127.0.0.1:0", "--serving-name", "127.0.0.1", *flags,
            ],
            env={"KUBECONFIG": str(api.operators), "PYTHONPATH": str(TESTS), **(env or {})},
        )  # fmt: skip

    def __enter__(self) -> Operator:
        self.child.start()
        return self

    @property
    def stderr(self) -> str:
        """Its log so far."""
        return self.child.stderr

    def address(self, name: str) -> str:
        """Return where it listens: for `sidecars` or for `health`."""
        while name not in self._addresses:
            listener, _, address = self.child.line().removeprefix("listening ").partition("=")
            self._addresses[listener] = address
        return self._addresses[name]

    def figure(self, name: str) -> float:
        """Return one of its metrics, summed over its labels."""
        with urllib.request.urlopen(f"http://{self.address('health')}/metrics", timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        found = [re.fullmatch(rf"tcpservice_operator_{name}(?:{{.*}})? (\S+)", line) for line in lines]
        return sum(float(match[1]) for match in found if match is not None)

    def __exit__(self, *_: object) -> None:
        self.child.stop()
        assert self._forgiven or "orbidden" not in self.child.stderr, self.child.stderr


class Speaks(Protocol):
    """What says on stderr how it fares."""

    @property
    def stderr(self) -> str:
        """All that it has said so far."""


def wait_for(what: str, holds: Callable[[], Any], *speakers: Speaks, seconds: float = SECONDS) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        said = "\n---\n".join(speaker.stderr[-4000:] for speaker in speakers)
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}\n{said}"
        time.sleep(0.05)
    return found


def create(api: ApiServer, body: dict[str, Any]) -> None:
    kind = body.get("kind", "Pod" if "containers" in body["spec"] else "Service")
    spec = {key: value for key, value in body["spec"].items() if key != "clusterIP"}
    if kind == "Pod":
        spec["containers"] = [{"image": "none", **container} for container in spec["containers"]]
        spec["initContainers"] = [{"image": "none", **container} for container in spec["initContainers"]]
    metadata = {
        key: value for key, value in body["metadata"].items() if key in ("name", "namespace", "labels", "annotations")
    }
    version = "tcpservice.dev/v1alpha1" if kind == "TcpService" else "v1"
    document = {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}
    api.kubectl("apply", "-f", "-", text=json.dumps(document))
    if kind == "Pod" and body["status"]["conditions"][0]["status"] == "True":
        make_ready(api, metadata["name"])


def make_ready(api: ApiServer, name: str) -> None:
    """Do what a kubelet does."""
    status = {
        "status": {"phase": "Running", "podIP": "198.18.0.9", "conditions": [{"type": "Ready", "status": "True"}]}
    }
    path = f"/api/v1/namespaces/shop/pods/{name}/status"
    code, answer = api.send("PATCH", path, status, "application/merge-patch+json")
    assert code == 200, answer


def condition(api: ApiServer, kind: str, name: str = "orders") -> tuple[str, str]:
    found = api.get(f"{SERVICES}/{name}") or {}
    for one in (found.get("status") or {}).get("conditions") or []:
        if one["type"] == kind:
            return one["status"], one["reason"]
    return "", ""


def shell(api: ApiServer, command: str) -> None:
    api.kubectl(*shlex.split(command)[1:])


def empty(api: ApiServer, *, own: bool = False) -> None:
    """Remove what tests made in the namespace; `own`: the operator's certificates, too."""
    there = "/api/v1/namespaces/shop"
    paths = [SERVICES, f"{there}/pods", f"{there}/services", f"{there}/events"]
    paths += ["/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies"]
    paths += ["/apis/coordination.k8s.io/v1/namespaces/shop/leases"]
    paths += [f"{there}/secrets"] if own else []
    for path in paths:
        code, answer = api.send("DELETE", f"{path}?gracePeriodSeconds=0")
        assert code == 200, answer
    if own:
        api.kubectl("delete", "configmaps", "-A", "--field-selector=metadata.name=tcpservice-ca")
    for path in paths:
        wait_for(f"{path} is empty", lambda path=path: _is_empty(api, path))  # type: ignore[misc]


def _is_empty(api: ApiServer, path: str) -> bool:
    """Whether nothing is there; what came after all was deleted, such as an event of a controller, is deleted, too."""
    if api.get(path)["items"] == []:
        return True
    api.send("DELETE", f"{path}?gracePeriodSeconds=0")
    return False
