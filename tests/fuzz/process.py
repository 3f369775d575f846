"""Fuzz a running sidecar: `python -m fuzz.process --inputs 200000`.

Hostile callers, sidecars and a replica send any bytes over loopback, beside a neighbour that sends a request each few
milliseconds. At the end the process is alive, has logged no traceback, answered `/livez` all the time, and the
neighbour has its own answers. The sidecar has 256Mi of memory where cgroup v2 lets root limit it.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fuzz import campaign, streams
from fuzz.attackers import Ports, attack
from fuzz.campaign import Options, Result
from interop.processes import Child
from interop.rawpeer import split
from interop.sidecar import ROOT

MEMORY: Final = 256 << 20
EACH_S: Final = 0.005
PATIENCE_S: Final = 30.0
LIVE_S: Final = 30.0
TREE: Final = Path("/sys/fs/cgroup")


class Neighbour(threading.Thread):
    """Sends a request, reads its answer, and again; `finding` is what went wrong."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.finding = ""
        self.seconds: list[float] = []
        self.ending = threading.Event()

    def run(self) -> None:
        """Ask until told to end."""
        number = 0
        while not self.ending.wait(EACH_S) and not self.finding:
            number += 1
            begun = time.perf_counter()
            try:
                self.finding = self._ask(number)
            except (OSError, ValueError) as error:
                self.finding = f"request {number} of the neighbour: {type(error).__name__}: {error}"
            self.seconds.append(time.perf_counter() - begun)
        self._socket.close()

    def _ask(self, number: int) -> str:
        """Ask once; return what is wrong with the answer."""
        self._socket.sendall(streams.packet("sum", number, f"n{number}"))
        data = b""
        while True:
            read = self._socket.recv(1 << 16)
            if not read:
                return f"the neighbour's connection was closed at request {number}"
            data += read
            pieces, rest = split(data)
            if pieces:
                wanted = {"response": number, "isDisposed": True, "id": f"n{number}"}
                wrong = rest or len(pieces) > 1 or pieces[0].message != wanted
                return f"request {number} of the neighbour was answered with {data[:300]!r}" if wrong else ""


class Watch(threading.Thread):
    """Asks `/livez` again and again; `finding` is what went wrong."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._url = f"http://127.0.0.1:{port}/livez"
        self.finding = ""
        self.slowest = 0.0
        self.ending = threading.Event()

    def run(self) -> None:
        """Ask until told to end."""
        while not self.ending.wait(0.2) and not self.finding:
            begun = time.perf_counter()
            try:
                with urllib.request.urlopen(self._url, timeout=LIVE_S) as answer:
                    self.finding = "" if answer.status == 200 else f"/livez answered {answer.status}"
            except OSError as error:
                self.finding = f"/livez: {type(error).__name__}: {error}"
            self.slowest = max(self.slowest, time.perf_counter() - begun)


@contextlib.contextmanager
def limited() -> Iterator[Path | None]:
    """Make a cgroup of 256Mi below the own one; None where that is not possible, with a line that says so."""
    group: Path | None = None
    try:
        (TREE / "cgroup.controllers").read_text()
        own = Path("/proc/self/cgroup").read_text().strip().rpartition("::")[2].lstrip("/")
        group = TREE / own / f"tcpservice-fuzz-{os.getpid()}"
        group.mkdir()
        (group / "memory.max").write_text(str(MEMORY))
    except OSError as error:
        print(f"process: the sidecar runs without a limit of memory, which needs root and cgroup v2: {error}")
        if group is not None and group.exists():
            group.rmdir()
        group = None
    try:
        yield group
    finally:
        if group is not None:
            group.rmdir()


def sidecar(group: Path | None, app: int, evil: int) -> Child:
    """Make the sidecar's process; it enters its cgroup before it begins."""
    command = [
        sys.executable, "-m", "tcpservice_sidecar",
        "--upstream", f"orders=127.0.0.1:{app}", "--upstream", f"evil=127.0.0.1:{evil}",
        "--listen", "orders=127.0.0.1:0", "--listen", "evil=127.0.0.1:0",
        "--mesh", "127.0.0.1:0", "--app", f"orders=127.0.0.1:{app}", "--admin", "127.0.0.1:0",
    ]  # fmt: skip
    if group is not None:
        command = ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(group / "cgroup.procs"), *command]
    return Child(command, env={"PYTHONPATH": str(ROOT / "sidecar")})


def listening(process: Child, count: int) -> dict[str, int]:
    """Return the ports that the sidecar prints."""
    ports: dict[str, int] = {}
    while len(ports) < count:
        word, _, rest = process.line().partition(" ")
        name, _, address = rest.partition("=")
        if word == "listening" and address:
            ports[name] = int(address.rpartition(":")[2])
    return ports


def peak(pid: int) -> int:
    """Return the most memory that a process has had (bytes), 0 where that is not known."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def fuzz(asked: Options) -> Result:
    """Run it all once."""
    listener = socket.create_server(("127.0.0.1", 0))
    env = {"PYTHONPATH": f"{ROOT / 'sidecar'}:{ROOT / 'tests'}"}
    with listener, limited() as group, Child([sys.executable, "-m", "fuzz.app"], env=env) as app:
        port = int(app.line())
        with sidecar(group, port, listener.getsockname()[1]) as process:
            ports = listening(process, 4)
            return _watched(asked, process, app, ports, listener)


def _watched(asked: Options, process: Child, app: Child, ports: dict[str, int], listener: socket.socket) -> Result:
    """Let the attackers run, and watch the others meanwhile."""
    neighbour, watch = Neighbour(ports["orders"]), Watch(ports["admin"])
    context = multiprocessing.get_context("spawn")
    count, stop = context.Value("q", 0), context.Value("b", 0)
    targets = Ports(ports["orders"], ports["mesh"], ports["evil"], "default/orders")
    attackers = context.Process(target=attack, args=(asked, targets, listener, count, stop))
    for each in (neighbour, watch, attackers):
        each.start()
    finding = ""
    while attackers.is_alive() and not finding:
        attackers.join(0.2)
        finding = neighbour.finding or watch.finding or _broken(process, app)
    sent = count.value
    stop.value = 1
    attackers.join(PATIENCE_S)
    for thread in (neighbour, watch):
        thread.ending.set()
        thread.join(PATIENCE_S)
    finding = finding or neighbour.finding or watch.finding or _broken(process, app)
    _summary(neighbour, watch, process)
    if finding:
        finding += f"\n  at about input {sent} of --seed {asked.seed}\n{process.stderr[-3000:]}"
    return Result(sent, finding or None)


def _broken(process: Child, app: Child) -> str:
    """Say what is wrong with the processes."""
    if not app.alive:
        return f"the app got what NestJS stops at: {app.stderr[-600:]}"
    if not process.alive:
        return f"the sidecar ended with {process.returncode}"
    return "the sidecar logged a traceback" if "Traceback" in process.stderr else ""


def _summary(neighbour: Neighbour, watch: Watch, process: Child) -> None:
    took = sorted(neighbour.seconds) or [0.0]
    words = {
        "requests": len(neighbour.seconds),
        "p50_ms": round(took[len(took) // 2] * 1e3, 1),
        "p99_ms": round(took[len(took) * 99 // 100] * 1e3, 1),
        "max_ms": round(took[-1] * 1e3, 1),
        "livez_max_ms": round(watch.slowest * 1e3, 1),
        "peak_mib": peak(process.pid) >> 20 if process.alive else None,
    }
    print(f"process: neighbour and sidecar: {json.dumps(words)}")


def main() -> int:
    """Fuzz as asked; return the exit status."""
    asked = campaign.options(campaign.parser(__doc__ or "", seconds=3600, inputs=200_000).parse_args())
    return campaign.report("process", asked, fuzz(asked))


if __name__ == "__main__":
    sys.exit(main())
