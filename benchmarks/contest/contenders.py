"""What stands between callers and replicas: nothing, one or two sidecars, one or two Envoys, HAProxy.

Used by `rounds`. Each is started as its users start it, with one worker thread where that can be chosen, so that CPU
per request compares.
"""

from __future__ import annotations

import json
import socket
import sys
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from string import Template
from typing import Final, Protocol

from contest.places import BENCHMARKS, PEERS, ROOT, RUNNING
from contest.processes import Child, Children
from contest.tools import Tool

HOST: Final = "127.0.0.1"
PROXY: Final = "proxy"
REPLICA_SIDE: Final = "replica side"
_SERVICE: Final = "app"
_serials = count(1)


@dataclass(frozen=True)
class Running:
    """A contender that is ready: where callers dial, its processes by side, and how long it took to be ready."""

    ports: tuple[int, ...]
    sides: Mapping[str, Sequence[Child]] = field(default_factory=dict)
    ready_seconds: float | None = None


class Contender(Protocol):
    """Something to measure."""

    @property
    def key(self) -> str:
        """Its name in the results."""

    def start(self, children: Children, replicas: Sequence[int]) -> Running:
        """Start it before replicas on these ports, and wait until it is ready."""


class Direct:
    """Callers dial the replicas themselves."""

    key = "direct"

    def start(self, children: Children, replicas: Sequence[int]) -> Running:  # noqa: ARG002  (needs no process)
        """Start nothing."""
        return Running(tuple(replicas))


class OneSidecar:
    """The callers' sidecar dials the apps; where `percent` is given, it sends traces to a collector."""

    _module = "tcpservice_sidecar"

    def __init__(self, key: str = "one", percent: str | None = None, collector: int | None = None) -> None:
        self.key = key
        self._percent = percent
        self._env = _exporting(collector)

    def start(self, children: Children, replicas: Sequence[int]) -> Running:
        """Start one process."""
        manifest = write_manifest(replicas, "app", self._percent)
        flags = ["--file", str(manifest), "--listen", f"{_SERVICE}={HOST}:0"]
        child = _sidecar(children, self.key, *flags, env=self._env, module=self._module)
        port, ready = _await_sidecar(child, _SERVICE)
        return Running((port,), {PROXY: [child]}, ready)


class WatchedSidecar(OneSidecar):
    """One sidecar that reports the pauses of its garbage collector."""

    _module = "contest.watched_sidecar"


class TwoSidecars:
    """The callers' sidecar dials a sidecar beside each app."""

    key = "two"

    def start(self, children: Children, replicas: Sequence[int]) -> Running:
        """Start a process for each replica, and one for the callers."""
        own = write_manifest((), "app")
        pods = [
            _sidecar(children, "pod", "--file", str(own), "--mesh", f"{HOST}:0", "--app", f"{_SERVICE}={HOST}:{port}")
            for port in replicas
        ]
        mesh = [_await_sidecar(pod, "mesh")[0] for pod in pods]
        manifest = write_manifest(mesh, "mesh")
        child = _sidecar(children, self.key, "--file", str(manifest), "--listen", f"{_SERVICE}={HOST}:0")
        port, ready = _await_sidecar(child, _SERVICE)
        return Running((port,), {PROXY: [child], REPLICA_SIDE: pods}, ready)


class Envoy:
    """Envoy's tcp_proxy."""

    key = "envoy"

    def __init__(self, tool: Tool) -> None:
        self._tool = tool

    def start(self, children: Children, replicas: Sequence[int]) -> Running:
        """Start one process with one worker thread."""
        child, port = self._process(children, replicas)
        return Running((port,), {PROXY: [child]}, child.until(lambda: accepts(port), "listener"))

    def _process(self, children: Children, targets: Sequence[int]) -> tuple[Child, int]:
        """Start an Envoy before these ports; return it and its own port."""
        port = free_port()
        address = "{{address: {host}, port_value: {port}}}"
        line = " " * 14 + "- endpoint: {{address: {{socket_address: {0}}}}}"
        endpoints = [line.format(address.format(host=HOST, port=target)) for target in targets]
        config = _fill("envoy.yaml", port=str(port), endpoints="\n".join(endpoints))
        flags = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
        return children.start(self.key, [str(self._tool.path), "-c", str(config), *flags], self._tool.env), port


class TwoEnvoys(Envoy):
    """The callers' Envoy dials an Envoy beside each app, as a mesh of byte movers does."""

    key = "two-envoys"

    def start(self, children: Children, replicas: Sequence[int]) -> Running:
        """Start a process for each replica, and one for the callers."""
        pods = [self._process(children, [port]) for port in replicas]
        for pod, port in pods:
            pod.until(lambda port=port: accepts(port), "listener")  # type: ignore[misc]
        child, port = self._process(children, [port for _, port in pods])
        ready = child.until(lambda: accepts(port), "listener")
        return Running((port,), {PROXY: [child], REPLICA_SIDE: [pod for pod, _ in pods]}, ready)


class HAProxy:
    """HAProxy in TCP mode."""

    key = "haproxy"

    def __init__(self, tool: Tool) -> None:
        self._tool = tool

    def start(self, children: Children, replicas: Sequence[int]) -> Running:
        """Start one process with one thread."""
        port = free_port()
        servers = "\n".join(f"    server replica{n} {HOST}:{port}" for n, port in enumerate(replicas, 1))
        config = _fill("haproxy.cfg", port=str(port), servers=servers)
        child = children.start(self.key, [str(self._tool.path), "-db", "-f", str(config)], self._tool.env)
        return Running((port,), {PROXY: [child]}, child.until(lambda: accepts(port), "listener"))


def write_manifest(ports: Iterable[int], port_name: str, percent: str | None = None) -> Path:
    """Write the service, and its replicas on this machine; return the file."""
    tracing = f'  tracing: {{samplingPercent: "{percent}"}}' if percent is not None else ""
    path = _fill("sidecar.yaml", tracing=tracing)
    slices = [_slice(serial, port, port_name) for serial, port in enumerate(ports, 1)]
    path.write_text("\n---\n".join([path.read_text(), *(json.dumps(one) for one in slices)]))
    return path


def _slice(serial: int, port: int, port_name: str) -> dict[str, object]:
    name = f"{_SERVICE}-{serial}"
    ready = {"ready": True, "serving": True, "terminating": False}
    target = {"kind": "Pod", "name": name, "uid": name}
    labels = {"kubernetes.io/service-name": _SERVICE}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [HOST], "conditions": ready, "targetRef": target}],
        "ports": [{"name": port_name, "port": port, "protocol": "TCP"}],
    }


def _fill(template: str, **values: str) -> Path:
    RUNNING.mkdir(parents=True, exist_ok=True)
    path = RUNNING / f"{next(_serials)}-{template}"
    path.write_text(Template((PEERS / template).read_text()).safe_substitute(values))
    return path


def _exporting(collector: int | None) -> dict[str, str]:
    if collector is None:
        return {}
    endpoint = f"http://{HOST}:{collector}"
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}


def _sidecar(
    children: Children,
    key: str,
    *flags: str,
    env: Mapping[str, str] | None = None,
    module: str = "tcpservice_sidecar",
) -> Child:
    argv = [sys.executable, "-m", module, *flags, "--admin", f"{HOST}:0"]
    return children.start(key, argv, {"PYTHONPATH": f"{ROOT / 'sidecar'}:{BENCHMARKS}", **(env or {})})


def _await_sidecar(child: Child, listener: str) -> tuple[int, float]:
    """Wait until it says that it is ready; return the port of a listener, and the seconds that it took."""
    ports: dict[str, int] = {}
    while listener not in ports or "admin" not in ports:
        word, _, rest = child.line().partition(" ")
        name, _, address = rest.partition("=")
        if word == "listening":
            ports[name] = int(address.rpartition(":")[2])
    return ports[listener], child.until(lambda: _is_ready(ports["admin"]), "readiness")


def _is_ready(admin: int) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"http://{HOST}:{admin}/readyz", timeout=1) as answer:
        return bool(answer.status == 200)
    return False


def accepts(port: int) -> bool:
    """Whether something listens there."""
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


def free_port() -> int:
    """Find a port for those that cannot be told to take any and to say which."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port
