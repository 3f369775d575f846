"""What keeps a program running, with real processes: one that is stopped stays away, whenever that happens."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from local.running import MARK, left_behind, wait_until
from tcpservice_local.designs import Design
from tcpservice_local.pod import Pod
from tcpservice_local.processes import Guard, Program
from tcpservice_local.supervised import Supervised

SECONDS = 180.0
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(1000)"


def play(folder: Path, scene: Callable[[Guard], Awaitable[None]]) -> None:
    async def run() -> None:
        guard = Guard(folder)
        await guard.start()
        try:
            async with asyncio.timeout(SECONDS):
                await scene(guard)
                assert [line for line in left_behind() if "guard.py" not in line] == [], "nothing is left to the guard"
        finally:
            await guard.stop()

    asyncio.run(run())
    wait_until(lambda: not left_behind(), "the guard ends")


@pytest.fixture(autouse=True)
def _marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MARK, str(os.getpid()))


def program(folder: Path, text: str) -> Program:
    return Program(words=(sys.executable, "-c", text), variables=dict(os.environ), folder=folder)


def test_what_was_stopped_before_it_was_started_stays_away(tmp_path: Path) -> None:
    async def scene(guard: Guard) -> None:
        said: list[str] = []
        supervised = Supervised(program(tmp_path, "print('here')"), guard, said.append, lambda: None)
        await supervised.stop(1.0)
        supervised.start()
        await supervised.stop(1.0)
        assert said == []

    play(tmp_path, scene)


def test_what_waits_to_be_started_again_is_not_started_to_be_ended(tmp_path: Path) -> None:
    async def scene(guard: Guard) -> None:
        said: list[str] = []
        waits = asyncio.Event()
        supervised = Supervised(
            program(tmp_path, "print('here')"), guard, said.append, lambda: waits.set() if supervised.waiting else None
        )
        supervised.start()
        await waits.wait()
        await supervised.stop(1.0)
        assert said == ["here", "here"], "once, and again at once"

    play(tmp_path, scene)


def test_what_ignores_that_it_should_end_is_ended(tmp_path: Path) -> None:
    async def scene(guard: Guard) -> None:
        said = asyncio.Event()
        supervised = Supervised(program(tmp_path, DEAF), guard, lambda _: said.set(), lambda: None)
        supervised.start()
        await said.wait()
        await supervised.stop(0.1)
        assert supervised.pid is None

    play(tmp_path, scene)


def test_what_is_still_being_started_when_its_time_ends_is_ended(tmp_path: Path) -> None:
    async def scene(guard: Guard) -> None:
        supervised = Supervised(program(tmp_path, DEAF), guard, lambda _: None, lambda: None)
        supervised.start()
        await asyncio.sleep(0)
        await supervised.stop(0.0)
        assert supervised.pid is None

    play(tmp_path, scene)


@pytest.mark.parametrize("turns", range(4))
def test_a_replica_that_ends_when_its_sidecar_is_just_ready_does_not_start_its_app(tmp_path: Path, turns: int) -> None:
    """`turns`: for how often the event loop went round since."""

    async def scene(guard: Guard) -> None:
        nothing = program(tmp_path, "import time; time.sleep(1000)")
        design = Design(
            name="a-1", workload="a", app=nothing, sidecar=nothing, serves=(), mesh=1, admin=1, probe=None,
            probe_port=0, grace=1.0,
        )  # fmt: skip
        pod = Pod(design, guard, lambda *_: None, lambda: None)
        pod.start()
        await asyncio.sleep(0)
        pod.sidecar._was_ready.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        await pod.end(5.0)
        await asyncio.sleep(0)
        assert pod.app.pid is None

    play(tmp_path, scene)
