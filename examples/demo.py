"""The demo: the shop of `examples/orders` with three replicas of `orders`, before and after, and one that is killed.

Run by `make demo`: real NestJS apps where Node.js is there, else their Python twins (`--python`). Everything is a local
process, and nothing is left behind. Exits with 1 where a promise did not hold.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.console import Console

from tcpservice_local.files import Files
from tcpservice_local.local import Asked, Local, inherited
from tcpservice_local.processes import Program, Running
from tcpservice_traces import Trace, render, styled, summary_of

HERE: Final = Path(__file__).parent
ORDERS: Final = HERE / "orders"
REPLICAS: Final = ("orders-1", "orders-2", "orders-3")
SERVICES: Final = frozenset({"web", "orders", "stock", "prices"})
ORDERS_PER_SECOND: Final = 100
LOAD_S: Final = 2.0
"""How long orders go on after the caller's first report of answers, some three seconds after its start."""

START_S: Final = 180.0
TRACE_S: Final = 60.0
WIDTH: Final = 100

Report = dict[str, Any]


class Apps(NamedTuple):
    """The shop in one language: its manifests, its programs, and what starts a caller."""

    manifests: Path
    folder: Path
    caller: tuple[str, ...]


NESTJS: Final = Apps(ORDERS, ORDERS / "app", ("node", "dist/web/main.js"))
PYTHON: Final = Apps(ORDERS / "python", ORDERS / "python", ("python3", "web.py"))


class Demo:
    """One demo with the apps of one language."""

    def __init__(self, local: Local, apps: Apps) -> None:
        self._local = local
        self._caller = Program(words=apps.caller, variables={}, folder=apps.folder)

    async def run(self) -> bool:
        """Show everything; return whether all promises held."""
        fleet = self._local.fleet
        await self._await_ready()
        say("1. Without a sidecar the caller's one connection leads to one replica, as through a Kubernetes Service.")
        direct = await self._load(fleet.pods[REPLICAS[0]].design.probe_port)
        show(direct)
        front = fleet.ports["shop/orders"]
        say("2. With sidecars each message goes to the replica that is best for it. The same caller, the same apps:")
        spread = await self._load(front)
        show(spread)
        say("3. The same again, and orders-2 is killed (SIGKILL) under load; it is started again. An order that it was")
        say("   working on fails at once: it may have run, and the manifest does not call it idempotent.")
        killed = await self._load(front, self._kill)
        show(killed)
        say("4. One order is one trace, through all services; the apps need no OpenTelemetry for it.")
        trace = await self._await_trace()
        show_trace(trace)
        return summarise(direct, spread, killed, trace)

    async def _await_ready(self) -> None:
        deadline = time.monotonic() + START_S
        while not self._local.fleet.ready():
            if time.monotonic() > deadline:
                raise SystemExit("the apps did not start; their own lines say why")
            await asyncio.sleep(0.1)

    async def _load(self, port: int, meanwhile: Callable[[], Awaitable[None]] | None = None) -> Report:
        """Run the caller towards a port; return what it reports at its end."""
        lines: list[str] = []
        where = {"ORDERS_SERVICE_HOST": "127.0.0.1", "ORDERS_SERVICE_PORT": str(port), "RATE": str(ORDERS_PER_SECOND)}
        program = Program(
            words=self._caller.words, variables={**inherited(os.environ), **where}, folder=self._caller.folder
        )
        caller = await Running.start(program, self._local.fleet.guard, lines.append)
        ended = asyncio.create_task(caller.wait())
        deadline = time.monotonic() + START_S
        while not last_report(lines).get("answered"):
            if ended.done() or time.monotonic() > deadline:
                raise SystemExit("\n".join(["no order of the caller was answered; its own lines:", *lines[-20:]]))
            await asyncio.sleep(0.05)
        if meanwhile is not None:
            await meanwhile()
        await asyncio.sleep(LOAD_S)
        caller.signal(signal.SIGTERM)
        await ended
        return last_report(lines)

    async def _kill(self) -> None:
        self._local.fleet.kill(REPLICAS[1])

    async def _await_trace(self) -> Trace | None:
        """Find an order that `web` has placed and that all four have a part in."""
        deadline = time.monotonic() + TRACE_S
        while time.monotonic() < deadline:
            for trace in self._local.traces.recent(200):
                whole = {span.service for span in trace.spans} >= SERVICES
                if whole and summary_of(trace).source == "web" and time.time() - trace.updated > 1:
                    return trace
            await asyncio.sleep(0.2)
        return None


def last_report(lines: list[str]) -> Report:
    """Return what a caller reported last, nothing where it did not yet."""
    return next((json.loads(line) for line in reversed(lines) if line.startswith("{")), {})


def say(text: str) -> None:
    """Print what happens next."""
    print(f"\n{text}\n", flush=True)


def show(report: Report) -> None:
    """Print how the answers were spread."""
    answered = report["answered"]
    for name in REPLICAS:
        share = answered.get(name, 0) / max(report["sent"], 1)
        print(f"   {name}  {answered.get(name, 0):5}  {'█' * round(40 * share)}".rstrip())
    reason = f" ({report['reason']})" if report["reason"] else ""
    end = f"{report['failed']} failed{reason}, {report['hung']} hung, slowest {report['slowest']} ms"
    print(f"   {report['sent']} orders sent, {end}", flush=True)


def show_trace(trace: Trace | None) -> None:
    """Print a trace as a tree with time bars."""
    console = Console(highlight=False)
    width = min(console.width - 3, WIDTH) if console.is_terminal else WIDTH
    for line in render(trace, width) if trace is not None else []:
        console.print("   ", styled(line), sep="", soft_wrap=True)


def summarise(direct: Report, spread: Report, killed: Report, trace: Trace | None) -> bool:
    """Print which promises held; return whether all did."""
    counts = [spread["answered"].get(name, 0) for name in REPLICAS]
    whole = f"{len(trace.spans)} spans, one tree" if trace is not None else "none was found"
    promises = [
        ("without sidecars one replica got every order", list(direct["answered"]) == [REPLICAS[0]]),
        (f"with them each of three got its share: {counts}", min(counts) * 2 >= max(counts) > 0),
        (f"no order failed or hung: {spread['sent']} sent", spread["failed"] == spread["hung"] == 0),
        (f"with a replica killed: {killed['sent']} sent, {killed['failed']} failed, hung = {killed['hung']}",
         killed["hung"] == 0 and sum(killed["answered"].values()) + killed["failed"] == killed["sent"]),
        (f"an order's trace: {whole}", trace is not None),
    ]  # fmt: skip
    say("Summary")
    for text, held in promises:
        print(f"   {'ok  ' if held else 'FAIL'}  {text}", flush=True)
    return all(held for _, held in promises)


async def main(apps: Apps, kind: str) -> int:
    """Run the demo; return the exit status."""
    began = time.monotonic()
    print(f"The shop of examples/orders, {kind}: orders (3 replicas), stock (2), prices (2), web.")
    print("Each replica is a local process with a sidecar of its own; nothing is left when this ends.", flush=True)
    loop, running = asyncio.get_running_loop(), asyncio.current_task()
    assert running is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, running.cancel)
    troubles: list[str] = []
    try:
        async with Local(
            Asked(files=Files([apps.manifests])), lambda who, line: troubles.append(f"{who} | {line}"), print
        ) as local:
            held = await Demo(local, apps).run()
    except SystemExit:
        print("\n".join(troubles[-20:]), file=sys.stderr)
        raise
    try_it = apps.manifests.relative_to(HERE.parent)
    say(f"That took {time.monotonic() - began:.0f} s. Try it yourself:  .venv/bin/tcpservice up -f {try_it}")
    return 0 if held else 1


if __name__ == "__main__":
    chosen = (PYTHON, "written in Python") if "--python" in sys.argv else (NESTJS, "real NestJS 12 microservices")
    try:
        sys.exit(asyncio.run(main(*chosen)))
    except asyncio.CancelledError:
        sys.exit(130)
