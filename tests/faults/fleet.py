"""A small fleet: NestJS replicas that write down what they run, sidecars as in a cluster, and callers under load.

    with Fleet("two", replicas=3, folder=tmp_path) as fleet, fleet.load(rate=500, seconds=10) as load:
        fleet.kill(0)
        report = load.report()

`way` "one": the callers' sidecar dials the apps. "two": each app has a sidecar of its own, reached over the mesh.
"""

from __future__ import annotations

import json
import signal
import urllib.request
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal, Self

from interop.manifests import endpoint_slice, tcp_service, write_documents
from interop.node import node, version_directory
from interop.processes import Child
from interop.sidecar import ROOT, Sidecar

if TYPE_CHECKING:
    from pathlib import Path

Way = Literal["one", "two"]
WAYS: tuple[Way, ...] = ("one", "two")
FAULTS = ROOT / "tests" / "faults"
IDEMPOTENT = {"routes": [{"name": "read", "match": {"type": "Exact", "pattern": "read"}, "idempotent": True}]}
QUICK_PROBES = ("--probe-after", "1s", "--probe-timeout", "1s")


class Replica:
    """One app; it keeps its port when it is started again."""

    def __init__(self, name: str, runs: Path, work_ms: int) -> None:
        self.name = name
        self.port = 0
        self.pids: list[int] = []
        self._env = {"NAME": name, "RUNS": str(runs), "WORK_MS": str(work_ms)}
        self._child: Child | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        command = [node(), str(FAULTS / "replica.mjs")]
        self._child = Child(command, env={**self._env, "PORT": str(self.port)}).start()
        self.port = json.loads(self._child.line())["listening"]
        self.pids.append(self._child.pid)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._child is not None
        self._child.signal(number)

    def kill(self) -> None:
        """End it at once."""
        assert self._child is not None
        self._child.kill()


class Fleet:
    """Replicas a, b, c ... of the service `orders`, and the sidecar that callers dial."""

    def __init__(
        self, way: Way, folder: Path, *, work_ms: tuple[int, ...] = (10, 10, 10), flags: tuple[str, ...] = ()
    ) -> None:
        version_directory(12)
        self.way = way
        self.runs_file = folder / "runs.txt"
        self.runs_file.touch()
        self.replicas = [Replica(chr(ord("a") + n), self.runs_file, ms) for n, ms in enumerate(work_ms)]
        self.pods: dict[str, Sidecar] = {}
        self._manifest = folder / "orders.yaml"
        self._own = folder / "own.yaml"
        self._flags = flags
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack as stack:
            for replica in self.replicas:
                self.add(replica)
            self.publish(self.replicas)
            self.sidecar = stack.enter_context(
                Sidecar(
                    "--file",
                    str(self._manifest),
                    "--listen",
                    "orders=127.0.0.1:0",
                    "--admin",
                    "127.0.0.1:0",
                    *self._flags,
                )
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, replica: Replica) -> None:
        """Start a replica and, over the mesh, its sidecar."""
        replica.start()
        self._stack.callback(replica.kill)
        if self.way == "two":
            write_documents(self._own, [tcp_service("orders", IDEMPOTENT)])
            app = f"orders=127.0.0.1:{replica.port}"
            self.pods[replica.name] = self._stack.enter_context(
                Sidecar(
                    "--file",
                    str(self._own),
                    "--mesh",
                    "127.0.0.1:0",
                    "--app",
                    app,
                    "--admin",
                    "127.0.0.1:0",
                    *self._flags,
                )
            )

    def publish(self, replicas: list[Replica]) -> None:
        """Write the manifest that names these replicas."""
        documents = [tcp_service("orders", IDEMPOTENT)]
        for serial, replica in enumerate(replicas, 1):
            if self.way == "two":
                port, name = self.pods[replica.name].ports["mesh"], "mesh"
            else:
                port, name = replica.port, "app"
            documents.append(endpoint_slice("orders", port, serial=serial, port_name=name))
        beside = self._manifest.with_suffix(".new")
        write_documents(beside, documents)
        beside.rename(self._manifest)

    def break_manifest(self) -> None:
        """Write what cannot be taken in."""
        self._manifest.write_text(
            "apiVersion: tcpservice.dev/v1alpha1\nkind: TcpService\nmetadata: {name: orders}\nspec: {port: 0}\n"
        )

    def load(self, **options: object) -> Load:
        """Start callers; see caller.mjs for the options."""
        return Load({"port": self.sidecar.ports["orders"], **options})

    def in_flight(self, name: str) -> int:
        """How many requests the callers' sidecar has in flight at a replica."""
        port = self.replicas[ord(name) - ord("a")].port
        if self.way == "two":
            port = self.pods[name].ports["mesh"]
        found = self.view()["services"][0]["endpoints"]
        return int(next(replica["inFlight"] for replica in found if replica["address"].endswith(f":{port}")))

    def healthy(self) -> list[str]:
        """Return the replicas that messages go to."""
        return [each["name"] for each in self.view()["services"][0]["endpoints"] if each["state"] == "healthy"]

    def view(self) -> Any:
        """What the callers' sidecar says of itself."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.sidecar.ports['admin']}/snapshot", timeout=60) as answer:
            return json.loads(answer.read())

    def runs(self) -> dict[str, list[int]]:
        """Which processes ran which write."""
        runs: dict[str, list[int]] = {}
        for line in self.runs_file.read_text().splitlines():
            key, pid = line.split()
            runs.setdefault(key, []).append(int(pid))
        return runs

    def stop_replica(self, replica: Replica) -> None:
        """Let it hang: it keeps its connections, and says nothing."""
        replica.signal(signal.SIGSTOP)
        self._stack.callback(replica.signal, signal.SIGCONT)


class Report:
    """What the callers saw."""

    def __init__(self, text: str) -> None:
        values = json.loads(text)
        self.sent: int = values["sent"]
        self.ended: int = values["ended"]
        self.slowest_ms: float = values["slowest"]
        self.replicas: dict[str, int] = values["replicas"]
        self.failed: list[list[Any]] = values["failed"]

    def failed_of(self, pattern: str) -> list[list[Any]]:
        """The failures of one pattern."""
        return [failure for failure in self.failed if failure[0] == pattern]


class Load:
    """Callers in a process of their own."""

    def __init__(self, options: dict[str, object]) -> None:
        self._child = Child([node(), str(FAULTS / "caller.mjs"), json.dumps(options)])

    def __enter__(self) -> Self:
        self._child.start()
        self._child.line()
        return self

    def stop(self) -> None:
        """Send no more: the end of a load that was given no seconds."""
        self._child.write_line("stop")

    def report(self, within: float = 180.0) -> Report:
        """Wait for the end of the load."""
        return Report(self._child.line(within))

    def __exit__(self, *_: object) -> None:
        self._child.kill()
