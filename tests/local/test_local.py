"""A run as programs drive it: five services, fifteen replicas, a chain of three calls as one trace, and many deaths."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from local.manifests import deployment, env, tcp_service, write
from local.running import MARK, SECONDS, left_behind, wait_until
from tcpservice_local.files import Files
from tcpservice_local.local import Asked, Local
from tcpservice_local.pod import STARTING
from tcpservice_traces import plain, render
from tcpservice_transport import Client, RpcError

PORTS = {"a": 4631, "b": 4632, "c": 4633, "d": 4634, "e": 4635}
CHAIN = {"a": "b", "b": "c", "c": "d", "e": "d"}


def five_services(folder: Path) -> Path:
    for name, port in PORTS.items():
        following = CHAIN.get(name, "")
        variables = env(NEXT_HOST=following, NEXT_PORT=str(PORTS[following])) if following else []
        container = {"env": variables, "ports": [{"name": "nestjs", "containerPort": port}]}
        write(folder / f"{name}.yaml", tcp_service(name, port), deployment(name, replicas=3, container=container))
    return folder


def play(folder: Path, scene: Callable[[Local], Awaitable[None]]) -> list[str]:
    lines: list[str] = []

    async def run() -> None:
        asked = Asked(files=Files([folder]))
        async with Local(asked, lambda who, line: lines.append(f"{who} | {line}"), lines.append) as local:
            await until(local.fleet.ready, "all replicas are ready")
            await scene(local)

    asyncio.run(run())
    wait_until(lambda: not left_behind(), "processes are left")
    return lines


async def until(holds: Callable[[], Any], what: str) -> None:
    deadline = asyncio.get_running_loop().time() + SECONDS
    while not holds():
        assert asyncio.get_running_loop().time() < deadline, what
        await asyncio.sleep(0.02)


@pytest.fixture(autouse=True)
def _marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MARK, str(os.getpid()))


def test_callers_start_once_the_services_are_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the time that this may take, which ends on slow machines."""
    monkeypatch.setattr("tcpservice_local.fleet._HOLD_S", SECONDS)
    caller = deployment("web", container={"command": ["sleep", "1000"], "ports": []})
    asked = Asked(files=Files([write(tmp_path / "a.yaml", tcp_service("a", 4637), deployment("a"), caller)]))
    seen: list[dict[str, str]] = []
    until_then: list[dict[str, str]] = []

    def look(local: Local) -> None:
        seen.append({name: pod.state for name, pod in local.fleet.pods.items()})

    async def run() -> None:
        async with Local(asked, lambda *_: None, lambda _: None, lambda: look(local)) as local:
            await until(lambda: local.fleet.ready() and "web-1" in seen[-1], "all replicas are ready")
            until_then.extend(seen)

    asyncio.run(run())
    wait_until(lambda: not left_behind(), "processes are left")
    assert {"a-1": STARTING} in until_then
    assert [states for states in until_then if "web-1" in states and states["a-1"] == STARTING] == []


def test_a_chain_of_three_calls_is_one_trace(tmp_path: Path) -> None:
    async def scene(local: Local) -> None:
        assert len(local.fleet.pods) == 15
        async with Client("127.0.0.1", PORTS["a"]) as client:
            answered = await client.send("chain", 1)
        assert isinstance(answered, list)
        assert [name[0] for name in answered] == ["a", "b", "c", "d"]
        await until(lambda: any(len(trace.spans) == 9 for trace in local.traces.recent(9)), "the trace is whole")
        (trace,) = local.traces.recent(9)
        tree = [plain(line) for line in render(trace, 100)]
        assert len([line for line in tree[1:] if line[0] not in "│└├ "]) == 1, tree
        assert all(any(name in line for line in tree) for name in answered), tree

    play(five_services(tmp_path), scene)


def test_whichever_replica_is_killed_nothing_hangs(tmp_path: Path) -> None:
    ended = {"ok": 0, "failed": 0}

    async def ask(client: Client, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                async with asyncio.timeout(60):
                    await client.send("chain", 1)
                ended["ok"] += 1
            except RpcError:
                ended["failed"] += 1

    async def scene(local: Local) -> None:
        stop = asyncio.Event()
        async with Client("127.0.0.1", PORTS["a"]) as client, asyncio.TaskGroup() as tasks:
            for _ in range(4):
                tasks.create_task(ask(client, stop))
            for name in list(local.fleet.pods):
                before = ended["ok"]
                local.fleet.kill(name)
                await until(lambda before=before: ended["ok"] > before + 3, f"messages flow after {name} was killed")  # type: ignore[misc]
            stop.set()
        await until(local.fleet.ready, "all are back")

    play(five_services(tmp_path), scene)
    assert ended["ok"] > 50


def test_scaling_up_and_down_under_load_loses_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "orders.yaml", tcp_service("orders", 4636), deployment("orders", replicas=2))
    faults: list[object] = []

    async def ask(client: Client, stop: asyncio.Event) -> int:
        answered = 0
        while not stop.is_set():
            await client.send("whoami")
            answered += 1
        return answered

    async def scene(local: Local) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
        stop, fleet = asyncio.Event(), local.fleet
        async with Client("127.0.0.1", 4636) as client:
            asking = [asyncio.create_task(ask(client, stop)) for _ in range(4)]
            for replicas in (3, 2, 4, 1, 2):
                fleet.scale("shop/orders", replicas)
                await until(lambda count=replicas: len(fleet.pods) == count and fleet.ready(), f"{replicas} are there")  # type: ignore[misc]
            stop.set()
            assert min([await each for each in asking]) > 10

    play(path, scene)
    assert faults == []
