"""What the operator costs: memory per pod, and streams to sidecars, against a real API server.

    python benchmarks/control.py            # five minutes; writes benchmarks/README.md and control.json
    python benchmarks/control.py --quick    # a tenth of everything; writes nothing

It reports, and judges nothing; 2 is the exit status where it cannot run: it needs Go once, to build Kubernetes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import sys
import tempfile
import time
from collections.abc import Awaitable, Iterable, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final, TypeVar

import aiohttp
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from cluster.apiserver import ADMIN, ApiServer
from cluster.running import SERVICES, Operator, install, wait_for
from contest import machine
from contest.operator_process import AT_ONCE, all_of, cpu, is_quiet, memory
from contest.places import BENCHMARKS, README, ROOT, say

RESULTS: Final = BENCHMARKS / "control.json"
BEGIN: Final = "<!-- control: begin (written by `make bench-control`) -->"
END: Final = "<!-- control: end -->"
PODS: Final = (0, 1_000, 10_000)
TCP_SERVICES: Final = 100
STREAMS: Final = 2_000
CHANGES: Final = 20
HEARD_S: Final = 60
"""Within this time, all streams hear of a change, or the benchmark ends: a reader was too slow for its stream."""

_CANNOT_RUN: Final = 2
_SHOP: Final = "/api/v1/namespaces/shop"

T = TypeVar("T")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything; writes nothing")
    given = parser.parse_args(arguments)
    scale = 10 if given.quick else 1
    try:
        with tempfile.TemporaryDirectory() as folder, ApiServer(Path(folder)) as api:
            install(api, "shop")
            results = measure(api, scale)
    except pytest.skip.Exception as reason:
        say(f"control: {reason}")
        return _CANNOT_RUN
    text = "\n".join(_report(results))
    say(text)
    if not given.quick:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        before, _, rest = README.read_text().partition(BEGIN)
        README.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}")
        say(f"Written to {README.relative_to(ROOT)} and {RESULTS.relative_to(ROOT)}.")
    return 0


def measure(api: ApiServer, scale: int) -> dict[str, Any]:
    """Measure memory with ever more pods, then streams."""
    results: dict[str, Any] = {"machine": machine.describe(), "memory": {}}
    wanted = [_tcp_service(number) for number in range(TCP_SERVICES // scale)]
    asyncio.run(_post_all(api, ((SERVICES, document) for document in wanted)))
    there = 0
    for pods in PODS:
        say(f"{pods // scale} pods ...")
        new = ((f"{_SHOP}/pods", _pod(number, len(wanted))) for number in range(there, pods // scale))
        asyncio.run(_post_all(api, new))
        there = pods // scale
        with Operator(api) as operator:
            wait_for("it leads and is quiet", lambda operator=operator: is_quiet(operator), operator, seconds=120)  # type: ignore[misc]
            results["memory"][there] = memory(operator)
    say(f"{STREAMS // scale} streams ...")
    results["streams"] = asyncio.run(_measure_streams(api, STREAMS // scale))
    return results


def _tcp_service(number: int) -> dict[str, Any]:
    return {
        "apiVersion": "tcpservice.dev/v1alpha1",
        "kind": "TcpService",
        "metadata": {"name": f"s{number}"},
        "spec": {"selector": {"app": f"s{number}"}, "port": 3001, "targetPort": "nestjs"},
    }


def _pod(number: int, services: int) -> dict[str, Any]:
    """Make a pod as large as those of real clusters."""
    environment = [{"name": f"VARIABLE_{index}", "value": "x" * 40} for index in range(20)]
    container = {
        "name": "app", "image": "registry.example.com/team/app:1.2.3", "env": environment,
        "ports": [{"name": "nestjs", "containerPort": 3001}],
    }  # fmt: skip
    labels = {"app": f"s{number % services}", "pod-template-hash": f"{number // 3:x}", "team": "orders"}
    annotations = {"tcpservice.dev/calls": "s0,s1,s2"}
    metadata = {
        "name": f"p{number}",
        "labels": labels | {"tcpservice.dev/inject": "enabled"},
        "annotations": annotations,
    }
    return {"metadata": metadata, "spec": {"containers": [container]}}


async def _measure_streams(api: ApiServer, count: int) -> dict[str, float]:
    with Operator(api) as operator:
        await asyncio.to_thread(wait_for, "it is quiet", lambda: is_quiet(operator), operator, seconds=120)
        tokens = await all_of([_token(api, number) for number in range(count)])
        before = memory(operator), cpu(operator)
        trust = ssl.create_default_context(cadata=api.get(f"{_SHOP}/configmaps/tcpservice-ca")["data"]["ca.crt"])
        connector = aiohttp.TCPConnector(ssl=trust, limit=0)
        heard: dict[int, list[float]] = {}
        began = time.monotonic()
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
            first = [asyncio.Event() for _ in tokens]
            readers = [
                asyncio.create_task(_read(session, operator.address("sidecars"), token, event, heard))
                for token, event in zip(tokens, first, strict=True)
            ]
            await asyncio.gather(*(event.wait() for event in first))
            connected = time.monotonic() - began
            connecting = cpu(operator) - before[1]
            each = (memory(operator) - before[0]) / count
            idle = await _cpu_of(operator, asyncio.sleep(20)) / 20
            delays, changing = await _change(api, operator, heard, count)
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
    return {
        "streams": count,
        "connected_s": connected,
        "connecting_cpu_ms": 1e3 * connecting / count,
        "memory_kib": each / 1024,
        "idle_cpu_percent": 100 * idle,
        "change_cpu_ms": 1e3 * changing / CHANGES,
        "delay_p50_ms": 1e3 * median(delays),
        "delay_p99_ms": 1e3 * quantiles(delays, n=100)[98],
    }


async def _change(
    api: ApiServer, operator: Operator, heard: dict[int, list[float]], count: int
) -> tuple[list[float], float]:
    """Change a service that all are told of; return how long each took to hear of each, and the operator's CPU."""
    delays: list[float] = []
    used = 0.0
    for number in range(1, CHANGES + 1):
        spec = {"spec": {"timeouts": {"request": f"{number}s"}}}
        began, before = time.monotonic(), cpu(operator)
        path = f"{SERVICES}/s0"
        code, answer = await asyncio.to_thread(api.send, "PATCH", path, spec, "application/merge-patch+json")
        assert code == 200, answer
        async with asyncio.timeout(HEARD_S):
            while len(heard.get(number, ())) < count:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        used += cpu(operator) - before
        delays += [at - began for at in heard[number]]
    return delays, used


async def _read(
    session: aiohttp.ClientSession, address: str, token: str, first: asyncio.Event, heard: dict[int, list[float]]
) -> None:
    """Follow one stream, and note when each change was heard of; nothing is parsed, as this costs the same cores."""
    headers = {"Authorization": f"Bearer {token}"}
    async with session.get(f"https://{address}/v1/discovery", headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        async for data in answer.content.iter_any():
            now = time.monotonic()
            first.set()
            _, found, rest = data.partition(b'"base":')
            _, asked, rest = rest.partition(b'"timeouts":{"request":')
            if found and asked:
                heard.setdefault(int(rest[: rest.index(b",")]) // 10**9, []).append(now)


async def _token(api: ApiServer, number: int) -> str:
    path = f"{_SHOP}/pods/p{number}"
    pod = await asyncio.to_thread(api.get, path)
    bound = {"apiVersion": "v1", "kind": "Pod", "name": f"p{number}", "uid": pod["metadata"]["uid"]}
    asked = {"spec": {"audiences": ["tcpservice.dev"], "boundObjectRef": bound}}
    code, answer = await asyncio.to_thread(api.post, f"{_SHOP}/serviceaccounts/default/token", asked)
    assert code == 201, answer
    text: str = answer["status"]["token"]
    return text


async def _post_all(api: ApiServer, objects: Iterable[tuple[str, dict[str, Any]]]) -> None:
    trust = ssl.create_default_context(cafile=str(api.authority))
    headers = {"Authorization": f"Bearer {ADMIN}"}
    connector = aiohttp.TCPConnector(ssl=trust, limit=AT_ONCE)
    async with aiohttp.ClientSession(api.url, connector=connector, headers=headers) as session:

        async def post(path: str, document: dict[str, Any]) -> None:
            async with session.post(path, json=document) as answer:
                assert answer.status == 201, await answer.text()

        await all_of([post(path, document) for path, document in objects])


async def _cpu_of(operator: Operator, work: Awaitable[None]) -> float:
    before = cpu(operator)
    await work
    return cpu(operator) - before


def _report(results: dict[str, Any]) -> list[str]:
    memory, streams = results["memory"], results["streams"]
    none, told = memory[0], [streams[name] for name in ("delay_p50_ms", "delay_p99_ms")]
    rows = [
        f"| {pods:,} | {found / 2**20:.0f} MiB | {(found - none) / pods / 1024:.1f} KiB |"
        if pods
        else f"| 0 | {found / 2**20:.0f} MiB | |"
        for pods, found in memory.items()
    ]
    return [
        f"Measured on {machine.in_words(results['machine'])}.", "",
        "| pods in the cluster | memory of one replica of the operator | per pod |", "|---:|---:|---:|", *rows, "",
        "| streams of one replica of the operator, on one core | |", "|---|---:|",
        f"| streams | {streams['streams']:,} |",
        f"| all connected after, TokenReviews included | {streams['connected_s']:.1f} s |",
        f"| CPU to connect one | {streams['connecting_cpu_ms']:.1f} ms |",
        f"| memory of one | {streams['memory_kib']:.0f} KiB |",
        f"| CPU of all, idle (a heartbeat each 10 s) | {streams['idle_cpu_percent']:.1f} % of a core |",
        f"| CPU to tell all of a change | {streams['change_cpu_ms']:.0f} ms |",
        f"| from the change to a sidecar, p50 / p99 | {told[0]:.0f} / {told[1]:.0f} ms |",
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
