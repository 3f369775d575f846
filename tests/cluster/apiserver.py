"""A real Kubernetes API server with etcd and the controllers that the tests need: no kubelet, so pods are only objects.

    with ApiServer(folder) as api:
        api.kubectl("get", "tcpservices")

Everything listens on 127.0.0.1, on ports that are free, with certificates of its own.
"""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

import trustme
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from cluster.found import folder as programs
from interop.processes import Child

ADMIN = "the-admins-token"
OPERATOR = "the-operators-token"
"""Of the user `operator`, who may do nothing until a test lets them."""
START_SECONDS = 180.0
CONTROLLERS = (
    "serviceaccount", "root-ca-cert-publisher", "endpointslice", "garbagecollector", "namespace", "replicaset",
    "deployment", "clusterrole-aggregation", "resourcequota",
)  # fmt: skip


class ApiServer:
    """One cluster without nodes, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._etcd_port, self._peer_port, self.port, self._controllers_port = _free_ports(4)
        self._children: dict[str, Child] = {}
        self.kubeconfig = folder / "kubeconfig"
        self.url = f"https://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._write_files()
        try:
            self.start("etcd")
            self.start("kube-apiserver")
            self.start("kube-controller-manager")
            self._wait_for(lambda: bool(self.get("/api/v1/namespaces/default/serviceaccounts/default")))
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End all."""
        for child in reversed(self._children.values()):
            child.kill()

    def start(self, name: str) -> Child:
        """Start one of the programs, again if it ran before; the API server is waited for."""
        child = Child([str(programs() / name), *self._flags(name)], on_line=lambda _: None).start()
        self._children[name] = child
        if name == "kube-apiserver":
            self._wait_for(lambda: self.get("/readyz") is not None)
        return child

    def child(self, name: str) -> Child:
        """Return the process of a program."""
        return self._children[name]

    # What tests ask

    def get(self, path: str) -> Any:
        """Get a path; its JSON or text, None where that failed."""
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {ADMIN}"})
        try:
            with urllib.request.urlopen(request, context=self._trust(), timeout=60) as answer:
                text = answer.read().decode()
        except (OSError, urllib.error.URLError):
            return None
        return json.loads(text) if text.startswith("{") else text

    def post(self, path: str, document: Any) -> tuple[int, Any]:
        """Create an object with strict validation; the status and what was answered."""
        return self.send("POST", f"{path}?fieldValidation=Strict", document)

    def send(self, method: str, path: str, document: Any = None, kind: str = "application/json") -> tuple[int, Any]:
        """Send a request; the status and what was answered."""
        return self.send_text(method, path, "" if document is None else json.dumps(document), kind)

    def send_text(self, method: str, path: str, text: str, kind: str = "application/yaml") -> tuple[int, Any]:
        """Send a request with a text; the status and what was answered."""
        headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": kind, "Accept": "application/json"}
        request = urllib.request.Request(self.url + path, data=text.encode() or None, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, context=self._trust(), timeout=300) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def kubectl(self, *words: str, text: str = "", status: int = 0) -> str:
        """Run kubectl; return what it printed, both streams."""
        command = [str(programs() / "kubectl"), "--kubeconfig", str(self.kubeconfig), *words]
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    # Starting

    def _write_files(self) -> None:
        authority = trustme.CA()
        self.authority = self._folder / "ca.crt"
        authority.cert_pem.write_to_path(self.authority)
        serving = authority.issue_cert("127.0.0.1", "localhost", "kubernetes.default.svc")
        serving.private_key_pem.write_to_path(self._folder / "tls.key")
        serving.cert_chain_pems[0].write_to_path(self._folder / "tls.crt")
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        (self._folder / "accounts.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        (self._folder / "tokens.csv").write_text(
            f'{ADMIN},admin,admin,"system:masters"\n{OPERATOR},operator,operator\n'
        )
        self.kubeconfig.write_text(yaml.safe_dump(self._kubeconfig_of(ADMIN)))
        self.operators = self._folder / "operators"
        self.operators.write_text(yaml.safe_dump(self._kubeconfig_of(OPERATOR)))

    def _kubeconfig_of(self, token: str) -> dict[str, Any]:
        """Return the kubeconfig of who has a token."""
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "test", "cluster": {"server": self.url, "certificate-authority": str(self.authority)}}
            ],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        }

    def _flags(self, name: str) -> list[str]:
        where, etcd = self._folder, f"http://127.0.0.1:{self._etcd_port}"
        if name == "etcd":
            peer = f"http://127.0.0.1:{self._peer_port}"
            return [
                f"--data-dir={where}/etcd", f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}",
                f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}", "--unsafe-no-fsync", "--log-level=warn",
            ]  # fmt: skip
        if name == "kube-apiserver":
            return [
                f"--etcd-servers={etcd}", "--bind-address=127.0.0.1", f"--secure-port={self.port}",
                "--endpoint-reconciler-type=none", f"--tls-cert-file={where}/tls.crt",
                f"--tls-private-key-file={where}/tls.key", f"--token-auth-file={where}/tokens.csv",
                "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
                f"--service-account-key-file={where}/accounts.key",
                f"--service-account-signing-key-file={where}/accounts.key",
                "--service-cluster-ip-range=198.19.0.0/16", "--authorization-mode=RBAC", "--profiling=false",
            ]  # fmt: skip
        return [
            f"--kubeconfig={self.kubeconfig}", f"--service-account-private-key-file={where}/accounts.key",
            f"--root-ca-file={where}/ca.crt", "--use-service-account-credentials=false", "--leader-elect=false",
            f"--controllers={','.join(CONTROLLERS)}", "--bind-address=127.0.0.1",
            f"--secure-port={self._controllers_port}", f"--cert-dir={where}/controllers",
        ]  # fmt: skip

    def _trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority))

    def _wait_for(self, holds: Any) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not holds():
            for name, child in self._children.items():
                assert child.alive, f"{name} ended: {child.stderr[-3000:]}"
            assert time.monotonic() < deadline, {name: child.stderr[-1500:] for name, child in self._children.items()}
            time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
