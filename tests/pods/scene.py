"""Pods without a kubelet: objects of a real API server, and beside each its NestJS app and its sidecar as processes.

Each pod has an address of its own in the tests' network, each Service a name that CoreDNS resolves. What a kubelet does
is done here: the status, the token, the authority's file.
"""

from __future__ import annotations

import itertools
import json
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from cluster.apiserver import ApiServer
from cluster.found import nameserver
from cluster.running import Operator, wait_for
from faults.fleet import FAULTS, Load
from interop.node import node, version_directory
from interop.processes import Child
from interop.sidecar import Sidecar

NAMESPACE = "shop"
OPERATOR = "127.0.0.1:15810"
MESH, APP = 15801, 3001
LOAD_SECONDS = 1.0
"""How long messages go on once all is as a test waits for."""

BACK_SECONDS = 120.0
"""How long all may take to be as it was, on a busy machine."""

SLICES = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"
QUICK = ("--discovery-silence", "3s", "--resolve-every", "1s")
COREFILE = ".:53 {{\n errors\n kubernetes cluster.local {{\n kubeconfig {kubeconfig}\n ttl 0\n }}\n}}\n"


def tcp_service(**spec: object) -> dict[str, Any]:
    """Make the TcpService of the tests."""
    return {
        "apiVersion": "tcpservice.dev/v1alpha1",
        "kind": "TcpService",
        "metadata": {"name": "orders", "namespace": NAMESPACE},
        "spec": {"selector": {"app": "orders"}, "port": APP, "targetPort": "nestjs", **spec},
    }


# Each pod of a run has its own: a name server may know what the scene before had for a while.
ADDRESSES = itertools.count(1)


class NameServer:
    """The cluster's own."""

    def __init__(self, api: ApiServer, folder: Path) -> None:
        path = folder / "Corefile"
        path.write_text(COREFILE.format(kubeconfig=api.kubeconfig))
        self._child = Child([str(nameserver()), "-conf", str(path)])

    def __enter__(self) -> Self:
        self._child.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()

    @property
    def stderr(self) -> str:
        """What it has logged."""
        return self._child.stderr


class Pod:
    """One pod, with a sidecar; with an app where it serves."""

    def __init__(self, scene: Scene, name: str, number: int, app: str = "") -> None:
        self.name = name
        self.ip = f"198.18.1.{number}"
        self._scene = scene
        self._app = app
        self._folder = scene.folder / name
        self._folder.mkdir()
        self._stack = ExitStack()
        self.child: Child | None = None

    def start(self, *flags: str) -> Self:
        """Create it, and run what is in it; it is ready when this returns, and whoever watches knows soon."""
        api = self._scene.api
        api.kubectl("create", "-f", "-", text=json.dumps(self._document()))
        self._mount()
        if self._app:
            self._start_app()
        role = ["--mesh", f"{self.ip}:{MESH}", "--app", f"orders={self.ip}:{APP}"] if self._app else []
        role = role or ["--listen", "orders=127.0.0.1:0"]
        self.sidecar = self._stack.enter_context(
            Sidecar(
                *role, "--admin", "127.0.0.1:0", "--file", str(self._folder / "bootstrap.yaml"),
                "--discovery", OPERATOR,
                "--discovery-token", str(self._folder / "token"), "--discovery-ca", str(self._folder / "ca.crt"),
                *QUICK, *flags,
            )
        )  # fmt: skip
        self.tell(ready=True)
        return self

    def tell(self, *, ready: bool) -> None:
        """Set its status, as a kubelet does."""
        condition = {"type": "Ready", "status": "True" if ready else "False"}
        status = {
            "status": {"phase": "Running", "podIP": self.ip, "podIPs": [{"ip": self.ip}], "conditions": [condition]}
        }
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{self.name}/status"
        code, answer = self._scene.api.send("PATCH", path, status, "application/merge-patch+json")
        assert code == 200, answer

    def leave(self) -> None:
        """End it as a rolling update does: told, drained, gone."""
        self._scene.api.kubectl("delete", "pod", "-n", NAMESPACE, self.name, "--grace-period=30", "--wait=false")
        request = urllib.request.Request(f"http://127.0.0.1:{self.sidecar.ports['admin']}/drain", method="POST")
        with urllib.request.urlopen(request, timeout=120) as answer:
            assert answer.status == 200
        self.close()
        self._scene.api.kubectl("delete", "pod", "-n", NAMESPACE, self.name, "--grace-period=0", "--force")

    def close(self) -> None:
        """End what runs in it."""
        self._stack.close()

    def replicas(self) -> dict[str, str]:
        """Return what its sidecar knows of `orders`: each replica's name and address."""
        return {each["name"]: each["address"] for each in self.view()["endpoints"]}

    def connected(self) -> set[str]:
        """Return the names of the replicas of `orders` that its sidecar has a connection to."""
        return {each["name"] for each in self.view()["endpoints"] if each["connected"]}

    def view(self) -> Any:
        """Return what its sidecar says of `orders`."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.sidecar.ports['admin']}/snapshot", timeout=60) as answer:
            return next(each for each in json.load(answer)["services"] if each["service"] == f"{NAMESPACE}/orders")

    def load(self, **options: object) -> Load:
        """Let NestJS clients beside its sidecar send; see faults/caller.mjs."""
        return Load({"port": self.sidecar.ports["orders"], **options})

    def _start_app(self) -> None:
        runs = self._folder / "runs"
        environment = {"HOST": self.ip, "PORT": str(APP), "NAME": self.name, "RUNS": str(runs)}
        self.child = self._stack.enter_context(Child([node(), str(FAULTS / "replica.mjs")], env=environment))
        self.child.line()

    def _mount(self) -> None:
        """Write what a kubelet mounts: the services to begin with, the token, what verifies the operator."""
        api = self._scene.api
        (self._folder / "bootstrap.yaml").write_text(json.dumps(tcp_service()))
        uid = api.get(f"/api/v1/namespaces/{NAMESPACE}/pods/{self.name}")["metadata"]["uid"]
        pod = {"apiVersion": "v1", "kind": "Pod", "name": self.name, "uid": uid}
        asked = {"spec": {"audiences": ["tcpservice.dev"], "boundObjectRef": pod}}
        code, answer = api.post(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default/token", asked)
        assert code == 201, answer
        (self._folder / "token").write_text(answer["status"]["token"])
        found = api.get(f"/api/v1/namespaces/{NAMESPACE}/configmaps/tcpservice-ca")
        if found is not None:
            (self._folder / "ca.crt").write_text(found["data"]["ca.crt"])

    def _document(self) -> dict[str, Any]:
        labels = {"app": self._app or "web"} | ({} if self._app else {"tcpservice.dev/inject": "enabled"})
        ports = [{"name": "nestjs", "containerPort": APP}] if self._app else []
        sidecar = {
            "name": "tcpservice-sidecar", "image": "none", "restartPolicy": "Always",
            "ports": [{"name": "tcps-mesh", "containerPort": MESH}],
        }  # fmt: skip
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.name, "namespace": NAMESPACE, "labels": labels},
            "spec": {
                "nodeName": "here",
                "containers": [{"name": "app", "image": "none", "ports": ports}],
                "initContainers": [sidecar],
            },
        }


class Scene:
    """A namespace with a TcpService, its pods, and a caller."""

    def __init__(self, api: ApiServer, folder: Path) -> None:
        version_directory(12)
        self.api = api
        self.folder = folder
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self.api.kubectl("delete", "tcps,pods,services,leases", "-n", NAMESPACE, "--all", "--grace-period=0", "--force")

    def operator(self, identity: str = "one") -> Operator:
        """Make a copy of the operator; it is not started."""
        return Operator(self.api, identity, "--listen", OPERATOR, "--heartbeat", "1s", forbidden_for_a_while=True)

    def pod(self, name: str, app: str = "orders", *flags: str) -> Pod:
        """Start a pod."""
        pod = Pod(self, name, next(ADDRESSES), app)
        self._stack.callback(pod.close)
        return pod.start(*flags)

    def caller(self, *flags: str) -> Pod:
        """Start a pod that calls, once there is what verifies the operator."""
        path = f"/api/v1/namespaces/{NAMESPACE}/configmaps/tcpservice-ca"
        wait_for("the authority is told", lambda: self.api.get(path))
        return self.pod("web", "", *flags)
