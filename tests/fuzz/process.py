"""Fuzz a running sidecar: `python -m fuzz.process --inputs 200000`.

Hostile callers, sidecars and a replica send any bytes over loopback, beside a neighbour that sends a request each few
milliseconds. At the end the process is alive, has logged no traceback, answered `/livez` all the time, and the
neighbour has its own answers. Another neighbour, whose sidecar is not attacked, shows how busy the machine is. The
sidecar has 256Mi of memory: by a cgroup where root may make one, else a thread ends the sidecar above that.
"""

from __future__ import annotations

import json
import multiprocessing
import socket
import sys
import threading
import time
import urllib.request
from contextlib import ExitStack
from typing import Final

from acceptance.limits import LimitedSidecar
from fuzz import campaign, streams
from fuzz.attackers import Ports, attack
from fuzz.campaign import Options, Result
from interop.processes import Child
from interop.rawpeer import split
from interop.sidecar import ROOT

EACH_S: Final = 0.005
PATIENCE_S: Final = 30.0
LIVE_S: Final = 30.0


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


def fuzz(asked: Options) -> Result:
    """Run it all once."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        app, other_app = stack.enter_context(_app()), stack.enter_context(_app())
        port, hostile = int(app.line()), listener.getsockname()[1]
        sidecar = stack.enter_context(LimitedSidecar(
            "--upstream", f"orders=127.0.0.1:{port}", "--upstream", f"evil=127.0.0.1:{hostile}",
            "--listen", "orders=127.0.0.1:0", "--listen", "evil=127.0.0.1:0",
            "--mesh", "127.0.0.1:0", "--app", f"orders=127.0.0.1:{port}", "--admin", "127.0.0.1:0",
        ))  # fmt: skip
        other = stack.enter_context(LimitedSidecar(
            "--upstream", f"orders=127.0.0.1:{int(other_app.line())}", "--listen", "orders=127.0.0.1:0",
        ))  # fmt: skip
        return _watched(asked, sidecar, app, listener, Neighbour(other.ports["orders"]))


def _app() -> Child:
    return Child([sys.executable, "-m", "fuzz.app"], env={"PYTHONPATH": f"{ROOT / 'sidecar'}:{ROOT / 'tests'}"})


def _watched(
    asked: Options, sidecar: LimitedSidecar, app: Child, listener: socket.socket, elsewhere: Neighbour
) -> Result:
    """Let the attackers run, and watch the others meanwhile; `elsewhere` is a neighbour whose sidecar is left alone."""
    ports, process = sidecar.ports, sidecar.process
    neighbour, watch = Neighbour(ports["orders"]), Watch(ports["admin"])
    context = multiprocessing.get_context("spawn")
    count, stop = context.Value("q", 0), context.Value("b", 0)
    targets = Ports(ports["orders"], ports["mesh"], ports["evil"], "default/orders")
    attackers = context.Process(target=attack, args=(asked, targets, listener, count, stop))
    for each in (neighbour, elsewhere, watch, attackers):
        each.start()
    finding = ""
    while attackers.is_alive() and not finding:
        attackers.join(0.2)
        finding = neighbour.finding or elsewhere.finding or watch.finding or _broken(process, app)
    sent = count.value
    stop.value = 1
    attackers.join(PATIENCE_S)
    for thread in (neighbour, elsewhere, watch):
        thread.ending.set()
        thread.join(PATIENCE_S)
    finding = finding or neighbour.finding or watch.finding or _broken(process, app)
    _summary(neighbour, elsewhere, watch, sidecar)
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


def _summary(neighbour: Neighbour, elsewhere: Neighbour, watch: Watch, sidecar: LimitedSidecar) -> None:
    words = {
        "requests": len(neighbour.seconds),
        **{f"p{percent}_ms": _milliseconds(neighbour.seconds, percent) for percent in (50, 99, 100)},
        **{f"p{percent}_ms_elsewhere": _milliseconds(elsewhere.seconds, percent) for percent in (50, 99)},
        "livez_max_ms": round(watch.slowest * 1e3, 1),
        "peak_mib": sidecar.peak >> 20,
    }
    print(f"process: neighbour and sidecar: {json.dumps(words)}")


def _milliseconds(seconds: list[float], percent: int) -> float | None:
    """Return a percentile in milliseconds; None where there are no times."""
    took = sorted(seconds)
    return round(took[min(len(took) - 1, len(took) * percent // 100)] * 1e3, 1) if took else None


def main() -> int:
    """Fuzz as asked; return the exit status."""
    asked = campaign.options(campaign.parser(__doc__ or "", seconds=3600, inputs=200_000).parse_args())
    return campaign.report("process", asked, fuzz(asked))


if __name__ == "__main__":
    sys.exit(main())
