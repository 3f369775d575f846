"""The demo: one NestJS client, three NestJS replicas, the sidecar between them, and a replica that is killed.

Run by `make demo`. Everything is a local process; nothing is left behind. Exits with 1 where a promise did not hold.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
APP = HERE / "app"
NAMES = ("orders-1", "orders-2", "orders-3")
LOAD_SECONDS = 4
HUNG_MS = 5000


def main() -> int:
    """Run the demo; return the exit status."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        say("Starting three replicas of `orders`, real NestJS 12 microservices ...")
        replicas = [Replica(name) for name in NAMES]
        for replica in replicas:
            stack.enter_context(replica.running())
        say(f"Without the sidecar: one NestJS client, {LOAD_SECONDS} s, connected as through a Kubernetes Service ...")
        direct = load(replicas[0].port)
        show(direct)
        say("With the sidecar: the same client, the same replicas, each message balanced by itself ...")
        port = stack.enter_context(sidecar(write_manifest(folder, replicas)))
        spread = load(port)
        show(spread)
        say("Again, and `orders-2` is killed (SIGKILL) in the middle, then started again ...")
        with caller(port) as running:
            time.sleep(LOAD_SECONDS / 4)
            replicas[1].kill()
            time.sleep(LOAD_SECONDS / 4)
            replicas[1].start()
            killed = result(running)
        show(killed)
        return summarise(direct, spread, killed)


class Replica:
    """One NestJS process; it keeps its port when it is started again."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start it, and end it with the context."""
        self.start()
        try:
            yield
        finally:
            self.kill()

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._process = spawn(["node", str(APP / "orders.mjs")], {"NAME": self.name, "PORT": str(self.port)})
        self.port = json.loads(line_of(self._process))["listening"]

    def kill(self) -> None:
        """End it at once, as a node that loses power would."""
        assert self._process is not None
        end(self._process)


def spawn(command: list[str], environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a process whose lines can be read; it ends when this one does, as its stdin then closes."""
    return subprocess.Popen(
        command, env={**os.environ, **(environment or {})}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def end(process: subprocess.Popen[str]) -> None:
    """Kill a process and close its pipes."""
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def line_of(process: subprocess.Popen[str]) -> str:
    """Read the next line that a process prints."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"{process.args!r} ended with status {process.wait()} before it was ready")
    return line


def write_manifest(folder: Path, replicas: list[Replica]) -> Path:
    """Write the manifest with an EndpointSlice for each replica."""
    documents = [(HERE / "orders.yaml").read_text()]
    for replica in replicas:
        endpoint = {"addresses": ["127.0.0.1"], "targetRef": {"kind": "Pod", "name": replica.name, "uid": replica.name}}
        labels = {"kubernetes.io/service-name": "orders"}
        slice_ = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": replica.name, "namespace": "shop", "labels": labels},
            "addressType": "IPv4",
            "endpoints": [endpoint],
            "ports": [{"name": "app", "port": replica.port}],
        }
        documents.append(json.dumps(slice_))
    path = folder / "orders.yaml"
    path.write_text("\n---\n".join(documents))
    return path


@contextmanager
def sidecar(manifest: Path) -> Iterator[int]:
    """Run the sidecar; give the port on which callers reach `orders`."""
    command = [sys.executable, "-m", "tcpservice_sidecar", "--file", str(manifest), "--listen", "orders=127.0.0.1:0"]
    command += ["--log-format", "human"]
    process = spawn(command)
    try:
        yield int(line_of(process).rpartition(":")[2])
    finally:
        end(process)


@contextmanager
def caller(port: int) -> Iterator[subprocess.Popen[str]]:
    """Run the NestJS caller towards a port."""
    process = spawn(["node", str(APP / "caller.mjs"), str(port), str(LOAD_SECONDS)])
    try:
        yield process
    finally:
        end(process)


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for what a caller reports."""
    report: dict[str, Any] = json.loads(line_of(process))
    return report


def load(port: int) -> dict[str, Any]:
    """Run a caller to its end."""
    with caller(port) as process:
        return result(process)


def say(text: str) -> None:
    """Print what happens next."""
    print(f"\n{text}", flush=True)


def show(report: dict[str, Any]) -> None:
    """Print how the answers were spread."""
    for name in NAMES:
        count = report["replicas"].get(name, 0)
        print(f"  {name}  {count:6}  {'#' * round(40 * count / max(report['ended'], 1))}", flush=True)
    slowest = f"slowest {report['slowest']:.0f} ms"
    print(
        f"  {report['sent']} sent, {report['failed']} failed, {report['sent'] - report['ended']} hung, {slowest}",
        flush=True,
    )


def summarise(direct: dict[str, Any], spread: dict[str, Any], killed: dict[str, Any]) -> int:
    """Print which promises held; return the exit status."""
    counts = [spread["replicas"].get(name, 0) for name in NAMES]
    promises = [
        ("without the sidecar, one replica gets every message", len(direct["replicas"]) == 1),
        ("with it, each of three gets its share (within 25 %)", min(counts) * 4 >= max(counts) * 3),
        (
            "a replica killed under load: no message hung",
            killed["ended"] == killed["sent"] and killed["slowest"] < HUNG_MS,
        ),
        ("and none failed, as the route is marked idempotent", killed["failed"] == spread["failed"] == 0),
    ]
    say("Summary")
    for text, held in promises:
        print(f"  {'ok  ' if held else 'FAIL'}  {text}")
    return 0 if all(held for _, held in promises) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
