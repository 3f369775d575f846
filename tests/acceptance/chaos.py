"""Faults of every kind, one after the other and at once, under a thousand messages a second.

    cd tests && ../.venv/bin/python -m acceptance.chaos --seconds 600 --way two

`orders` has four replicas, of which at least one is healthy at any time; `ledger` has one. A replica is killed every
two seconds; meanwhile one is stopped (SIGSTOP), loses its connections by RST, accepts and closes, is half-open, drains,
or (two sidecars) gets a new sidecar, while the manifest is written again twenty times a second.

Promises: every request ends, once, with its own value; what is not idempotent runs at most once, and exactly once if it
was answered; what failed with `no_endpoints` or `overloaded` did not run; idempotent requests of `orders` are all
answered; events run at most once; a replica runs the messages of one connection in the order in which they were sent.
Order is asked of `ledger` always, of `orders` except around a fault: a message that could not reach one replica goes to
another, where later ones may have arrived before it.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from acceptance.links import Link, Mode
from acceptance.programs import App, Recorded, by_process, recorded
from acceptance.topology import QUICK_PROBES, WAYS, Topology, Way
from interop.node import node, version_directory
from interop.processes import Child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

HERE = Path(__file__).parent
REPLICAS = 4
KILL_EVERY = 2.0
RELOAD_EVERY = 0.05
EXCUSED_SECONDS = 2.0
NOTHING_RAN = {"no_endpoints", "overloaded"}
POLICY = {
    "retry": {"attempts": 20, "backoff": "25ms"},
    "retryConstraint": {"budget": {"percent": 100}, "minRetryRate": {"count": 10_000, "interval": "1s"}},
    "routes": [{"name": "read", "match": {"type": "Exact", "pattern": "read"}, "idempotent": True}],
}


class Key(NamedTuple):
    """Who sent a message on which connection, its number there, and when."""

    connection: str
    number: int
    sent: float

    @classmethod
    def read(cls, text: str) -> Key:
        connection, number, ms = text.rsplit(".", 2)
        return cls(connection, int(number), int(ms) / 1000)


class Result(NamedTuple):
    """What broke a promise; empty or 0 where nothing did."""

    sent: dict[str, int]
    failed: dict[str, int]
    faults: dict[str, int]
    hung: list[str]
    doubled: int
    wrong: list[str]
    ran_twice: list[str]
    answered_without_a_run: list[str]
    ran_though_refused: list[str]
    idempotent_failed: list[list[str]]
    out_of_order: list[str]
    died: list[str]

    def broken(self) -> dict[str, Any]:
        """The promises that were broken."""
        figures = self._asdict()
        return {name: figures[name] for name in self._fields[3:] if figures[name]}


class Faults:
    """Makes faults until it is told to end, and remembers when there was one."""

    def __init__(self, orders: Topology, apps: list[App], ledger: Topology, ledger_app: App, seed: int) -> None:
        self.count: Counter[str] = Counter()
        self.windows: list[tuple[float, float]] = []
        self._orders = orders
        self._apps = apps
        self._ledger = ledger
        self._ledger_app = ledger_app
        self._random = random.Random(seed)
        self._faulty: set[int] = set()
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self._terminating: int | None = None
        self._errors: list[BaseException] = []
        loops = (self._kills, self._others, self._reloads, self._ledger_faults)
        self._threads = [threading.Thread(target=self._watched, args=(loop,), daemon=True) for loop in loops]

    def __enter__(self) -> Faults:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(60)
        if self._errors:
            raise self._errors[0]

    def _watched(self, loop: Callable[[], None]) -> None:
        try:
            loop()
        except BaseException as error:
            self._errors.append(error)

    @contextmanager
    def _one(self, kind: str, *, leaving: int) -> Iterator[int | None]:
        """Choose a healthy replica if that leaves so many others; it counts as faulty until the end."""
        with self._guard:
            healthy = sorted(set(range(REPLICAS)) - self._faulty)
            chosen = self._random.choice(healthy) if len(healthy) > leaving else None
            if chosen is not None:
                self._faulty.add(chosen)
                self.count[kind] += 1
        began = time.time()
        try:
            yield chosen
        finally:
            if chosen is not None:
                self.windows.append((began, time.time()))
                self._ended.wait(0.5)  # to be found healthy again before the next one is not
                with self._guard:
                    self._faulty.discard(chosen)

    def _kills(self) -> None:
        running: list[threading.Thread] = []
        while not self._ended.wait(KILL_EVERY):
            running.append(threading.Thread(target=self._watched, args=(self._kill_one,), daemon=True))
            running[-1].start()
        for thread in running:
            thread.join(60)

    def _kill_one(self) -> None:
        with self._one("kill", leaving=1) as chosen:
            if chosen is not None:
                self._kill(self._apps[chosen], self._orders.links[chosen])

    def _kill(self, app: App, link: Link) -> None:
        """Kill a replica and start it again; its port refuses connections meanwhile, as without the link."""
        if self._orders.way == "one":
            link.accepting(False)
        app.kill()
        app.start()
        link.accepting(True)

    def _others(self) -> None:
        kinds = [self._stop, self._reset, self._close, self._swallow, self._stall, self._drain]
        if self._orders.way == "two":
            kinds.append(self._new_sidecar)
        while not self._ended.wait(0.2):
            self._random.shuffle(kinds)
            for kind in kinds:
                if self._ended.is_set():
                    return
                with self._one(kind.__name__.strip("_"), leaving=2) as chosen:
                    if chosen is not None:
                        kind(chosen)

    def _stop(self, chosen: int) -> None:
        self._apps[chosen].signal(signal.SIGSTOP)
        self._ended.wait(3.0)
        self._apps[chosen].signal(signal.SIGCONT)

    def _reset(self, chosen: int) -> None:
        for _ in range(5):
            self._orders.links[chosen].reset()
            self._ended.wait(0.1)

    def _close(self, chosen: int) -> None:
        self._mode(self._orders.links[chosen], Mode.CLOSE, 1.5)

    def _swallow(self, chosen: int) -> None:
        self._mode(self._orders.links[chosen], Mode.SWALLOW, 3.0)

    def _stall(self, chosen: int) -> None:
        self._mode(self._orders.links[chosen], Mode.STALL, 3.0)

    def _mode(self, link: Link, mode: Mode, seconds: float) -> None:
        link.mode = mode
        if mode is Mode.CLOSE:
            link.reset()
        self._ended.wait(seconds)
        link.reset()
        link.mode = Mode.FORWARD

    def _drain(self, chosen: int) -> None:
        self._terminating = chosen
        self._ended.wait(1.5)
        self._terminating = None
        self._ended.wait(0.2)

    def _new_sidecar(self, chosen: int) -> None:
        self._orders.restart_replica_sidecar(chosen)

    def _reloads(self) -> None:
        turn = 0
        while not self._ended.wait(RELOAD_EVERY):
            turn += 1
            self._orders.publish(
                {**POLICY, "retry": {"attempts": 20, "backoff": f"{25 + turn % 2}ms"}}, terminating=self._terminating
            )
            self._orders.sidecar.signal(signal.SIGUSR1)
        self.count["reload"] = turn

    def _ledger_faults(self) -> None:
        while not self._ended.wait(4.0):
            if self._random.random() < 0.5:
                self.count["ledger reset"] += 1
                self._ledger.links[0].reset()
            else:
                self.count["ledger kill"] += 1
                self._kill(self._ledger_app, self._ledger.links[0])


def run(way: Way, folder: Path, *, seconds: float, rate: int = 1000, seed: int = 1) -> Result:
    """Run the load and the faults; return what broke a promise."""
    with ExitStack() as stack:
        orders_record, ledger_record = folder / "orders.txt", folder / "ledger.txt"
        apps = [stack.enter_context(App(name=f"orders-{n}", record=orders_record)) for n in range(REPLICAS)]
        ledger_app = stack.enter_context(App(name="ledger", record=ledger_record))
        topologies = []
        for name, ports in (("orders", [app.port for app in apps]), ("ledger", [ledger_app.port])):
            own = folder / name
            own.mkdir()
            topologies.append(
                stack.enter_context(Topology(way, own, ports, spec=POLICY, flags=QUICK_PROBES, links="caller"))
            )
        orders, ledger = topologies
        options = {"orders": orders.port, "ledger": ledger.port, "seconds": seconds, "rate": rate}
        caller = Child([node(), str(HERE / "chaos_caller.mjs"), json.dumps(options)]).start()
        stack.callback(caller.kill)
        caller.line(40)
        with Faults(orders, apps, ledger, ledger_app, seed) as faults:
            time.sleep(seconds)
        report = json.loads(caller.line(120))
        died = [
            f"a sidecar: {sidecar}"
            for topology in topologies
            for sidecar in (topology.sidecar, *topology.replica_sidecars)
            if not sidecar.process.alive
        ]
        return judge(report, recorded(orders_record), recorded(ledger_record), faults, died)


def judge(
    report: dict[str, Any], orders: list[Recorded], ledger: list[Recorded], faults: Faults, died: list[str]
) -> Result:
    """Compare what the caller saw with what the replicas ran."""
    once = Counter(message.key for message in (*orders, *ledger) if message.kind != "read")
    refused = [key for kind, key, code in report["failed"] if kind == "write" and code in NOTHING_RAN]
    return Result(
        sent=report["sent"],
        failed=dict(Counter(f"{kind} {code}" for kind, _, code in report["failed"])),
        faults=dict(faults.count),
        hung=report["hung"],
        doubled=report["doubled"],
        wrong=report["wrong"],
        ran_twice=[key for key, count in once.items() if count > 1],
        answered_without_a_run=[key for key in report["answered"] if not once[key]],
        ran_though_refused=[key for key in refused if once[key]],
        idempotent_failed=[failure for failure in report["failed"] if failure[0] == "read"],
        out_of_order=[*out_of_order(ledger, ()), *out_of_order(orders, faults.windows)],
        died=died,
    )


def out_of_order(messages: list[Recorded], excused: Sequence[tuple[float, float]]) -> list[str]:
    """Find writes and events that one process ran after a later one of the same connection."""
    found = []
    for pid, ran in by_process([message for message in messages if message.kind != "read"]).items():
        newest: dict[str, int] = {}
        for message in ran:
            key = Key.read(message.key)
            if key.number < newest.get(key.connection, -1):
                if not any(began - EXCUSED_SECONDS < key.sent < ended + EXCUSED_SECONDS for began, ended in excused):
                    found.append(f"{message.key} after {newest[key.connection]} in {pid}")
            else:
                newest[key.connection] = key.number
    return found


def main() -> int:
    """Run it as a command; the exit code says whether all promises held."""
    parser = argparse.ArgumentParser(prog="python -m acceptance.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=int, default=1000, help="messages a second (default 1000)")
    parser.add_argument("--way", choices=WAYS, action="append", help="one sidecar or two (default: both, in turn)")
    parser.add_argument("--seed", type=int, default=1, help="draws the faults (default 1)")
    options = parser.parse_args()
    version_directory(12)
    broken = False
    for way in options.way or WAYS:
        with tempfile.TemporaryDirectory() as folder:
            result = run(way, Path(folder), seconds=options.seconds, rate=options.rate, seed=options.seed)
        print(json.dumps({"way": way, **summary(result)}, indent=1))
        broken = broken or bool(result.broken())
    return 1 if broken else 0


def summary(result: Result) -> dict[str, Any]:
    """Give counts, and the first few of each kind."""
    figures = result._asdict()
    return {
        name: {"count": len(value), "first": value[:5]} if isinstance(value, list) else value
        for name, value in figures.items()
    }


if __name__ == "__main__":
    sys.exit(main())
