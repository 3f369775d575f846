"""The operator with very many TcpServices: how fast a change reaches sidecars, and what it costs.

    python benchmarks/scale.py            # twenty minutes; writes benchmarks/README.md and scale.json
    python benchmarks/scale.py --only 1000/1
    python benchmarks/scale.py --quick    # a tenth of everything; writes nothing

A real API server, and real streams over TLS; pods are objects without a kubelet, and EndpointSlices are written by this
program. It reports, and judges nothing. Operator, API server, etcd and the readers of all streams share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import re
import ssl
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

import aiohttp
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from cluster.apiserver import ADMIN, ApiServer
from cluster.running import Operator, install, wait_for
from contest import machine
from contest.operator_process import AT_ONCE, all_of, cpu, is_quiet, memory
from contest.places import BENCHMARKS, README, ROOT, say

RESULTS: Final = BENCHMARKS / "scale.json"
BEGIN: Final = "<!-- scale: begin (written by `make bench-control`) -->"
END: Final = "<!-- scale: end -->"
STREAMS: Final = 2_000
MOST_PODS: Final = 10_000
RATE: Final = 100
"""Changes of EndpointSlices per second."""

SECONDS: Final = 20
EDITS: Final = 10
SMALL, LARGE = 85, 115
"""The numbers of replicas between which one service jumps each second."""

_CALLED: Final = 3
_CONNECT_S, _PAUSE_S = 5.0, 1.0
"""How long a stream waits for a connection, and about how long until it connects again: as sidecars do."""

_CANNOT_RUN: Final = 2
_MARK: Final = re.compile(rb'"name":"c(\d+)"')
_POLL: Final = """
import http.client, sys, time
connection, worst = http.client.HTTPConnection(sys.argv[1]), 0.0
print("ready", flush=True)
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    began = time.monotonic()
    connection.request("GET", "/livez")
    connection.getresponse().read()
    worst = max(worst, time.monotonic() - began)
    time.sleep(0.002)
print(worst)
"""
"""Asks the operator for its health all the time; prints the longest time without an answer."""


@dataclass(frozen=True)
class Shape:
    """A cluster: its TcpServices, the namespaces that they are spread over, and the streams."""

    services: int
    namespaces: int
    streams: int = STREAMS

    @property
    def pods(self) -> int:
        """Ten for each TcpService, as far as there may be so many."""
        return max(self.streams, min(10 * self.services, MOST_PODS))

    def namespace(self, service: int) -> str:
        """Return where a TcpService is."""
        return f"n{service % self.namespaces}"

    def called(self, pod: int) -> list[int]:
        """Return the TcpServices that a pod calls, in its namespace."""
        return [(pod + step * self.namespaces) % self.services for step in range(1, _CALLED + 1)]

    def readers(self) -> dict[int, int]:
        """Return by TcpService how many streams it is pushed to."""
        found: dict[int, int] = defaultdict(int)
        for pod in range(self.streams):
            for service in {pod % self.services, *self.called(pod)}:
                found[service] += 1
        return found


SHAPES: Final = (Shape(100, 1), Shape(1_000, 1), Shape(1_000, 100), Shape(5_000, 100))


@dataclass
class Heard:
    """When each change reached how many streams."""

    at: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything; writes nothing")
    names = [f"{shape.services}/{shape.namespaces}" for shape in SHAPES]
    parser.add_argument("--only", choices=names, help="one shape, TcpServices/namespaces; the other figures are kept")
    given = parser.parse_args(arguments)
    shapes = [Shape(100, 1, 200), Shape(100, 10, 200)] if given.quick else list(SHAPES)
    results: dict[str, Any] = {"machine": machine.describe(), "shapes": []}
    if given.only and not given.quick:
        shapes = [SHAPES[names.index(given.only)]]
        known = json.loads(RESULTS.read_text())["shapes"] if RESULTS.exists() else []
        results["shapes"] = [each for each in known if f"{each['services']}/{each['namespaces']}" != given.only]
    for shape in shapes:
        say(f"{shape.services} TcpServices in {shape.namespaces} namespaces, {shape.streams} streams ...")
        try:
            with tempfile.TemporaryDirectory() as folder, ApiServer(Path(folder)) as api:
                install(api, "shop")
                results["shapes"].append(asyncio.run(_measure(api, shape)))
        except pytest.skip.Exception as reason:
            say(f"scale: {reason}")
            return _CANNOT_RUN
        say(json.dumps(results["shapes"][-1]))
    results["shapes"].sort(key=lambda each: (each["services"], each["namespaces"]))
    text = "\n".join(_report(results))
    say(text)
    if not given.quick:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        before, _, rest = README.read_text().partition(BEGIN)
        README.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}")
        say(f"Written to {README.relative_to(ROOT)} and {RESULTS.relative_to(ROOT)}.")
    return 0


class Admin:
    """Requests to the API server, some at the same time."""

    def __init__(self, api: ApiServer) -> None:
        trust = ssl.create_default_context(cafile=str(api.authority))
        self._session = aiohttp.ClientSession(
            api.url, connector=aiohttp.TCPConnector(ssl=trust, limit=AT_ONCE),
            headers={"Authorization": f"Bearer {ADMIN}"},
        )  # fmt: skip

    async def __aenter__(self) -> Admin:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def post(self, path: str, document: dict[str, Any]) -> Any:
        """Create an object, until the API server lets it: a new namespace takes a moment."""
        while True:
            async with self._session.post(path, json=document) as answer:
                if answer.status in (200, 201):
                    return await answer.json()
                assert answer.status in (403, 404, 429, 500), await answer.text()
            await asyncio.sleep(0.2)

    async def patch(self, path: str, change: dict[str, Any]) -> None:
        """Change an object by a merge patch."""
        headers = {"Content-Type": "application/merge-patch+json"}
        async with self._session.patch(path, data=json.dumps(change), headers=headers) as answer:
            assert answer.status == 200, await answer.text()


async def _measure(api: ApiServer, shape: Shape) -> dict[str, Any]:
    async with Admin(api) as admin:
        await all_of(admin.post("/api/v1/namespaces", {"metadata": {"name": f"n{n}"}}) for n in range(shape.namespaces))
        await all_of(_tcp_service(admin, shape, number) for number in range(shape.services))
        pods = await all_of(_pod(admin, shape, number) for number in range(shape.pods))
        began = time.monotonic()
        with Operator(api) as operator:
            await asyncio.to_thread(wait_for, "it is quiet", lambda: is_quiet(operator), operator, seconds=600)
            first = time.monotonic() - began
        await all_of(_slice(admin, shape, number) for number in range(shape.services))
        tokens = await all_of(_token(admin, pod) for pod in pods[: shape.streams])
        began, heard = time.monotonic(), Heard()
        with Operator(api) as operator:
            address = await asyncio.to_thread(operator.address, "sidecars")
            events = [asyncio.Event() for _ in tokens]
            bundle = api.get("/api/v1/namespaces/n0/configmaps/tcpservice-ca")["data"]["ca.crt"]
            trust = ssl.create_default_context(cadata=bundle)
            readers = [
                asyncio.create_task(_read(address, trust, _own_address(number), token, event, heard))
                for number, (token, event) in enumerate(zip(tokens, events, strict=True))
            ]
            await asyncio.gather(*(event.wait() for event in events))
            current = time.monotonic() - began
            await asyncio.to_thread(wait_for, "it is quiet", lambda: is_quiet(operator), operator, seconds=600)
            used, writes = cpu(operator), operator.figure("writes_total")
            delays, missing = await _change(admin, shape, heard)
            changing = (cpu(operator) - used) / SECONDS
            written = operator.figure("writes_total") - writes
            stall_edit = await _stall(operator, _edit(admin, shape))
            stall_label = await _stall(operator, _relabel(admin))
            resident = memory(operator)
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
    return {
        "services": shape.services, "namespaces": shape.namespaces, "pods": shape.pods, "streams": shape.streams,
        "first_s": first, "current_s": current, "memory_mib": resident / 2**20,
        "changes": RATE * SECONDS, "delay_p50_s": median(delays), "delay_p99_s": quantiles(delays, n=100)[98],
        "not_heard": missing, "cpu_percent": 100 * changing, "writes_per_change": written / (RATE * SECONDS),
        "stall_edit_ms": 1e3 * stall_edit, "stall_label_ms": 1e3 * stall_label,
    }  # fmt: skip


async def _tcp_service(admin: Admin, shape: Shape, number: int) -> None:
    place, name = shape.namespace(number), f"s{number}"
    spec = {"selector": {"app": name}, "port": 3001, "targetPort": "nestjs"}
    document = {"apiVersion": "tcpservice.dev/v1alpha1", "kind": "TcpService", "metadata": {"name": name}, "spec": spec}
    await admin.post(f"/apis/tcpservice.dev/v1alpha1/namespaces/{place}/tcpservices", document)


async def _pod(admin: Admin, shape: Shape, number: int) -> dict[str, Any]:
    """Make a pod with a sidecar; return its metadata."""
    service, called = number % shape.services, shape.called(number)
    place = shape.namespace(service)
    listening = [f"--listen={place}/s{each}=127.77.0.1:3001" for each in called]
    sidecar = {
        "name": "tcpservice-sidecar", "image": "sidecar", "restartPolicy": "Always",
        "args": [f"--app={place}/s{service}=localhost:3001", *listening, "--hook-key=0"],
        "ports": [{"name": "nestjs", "containerPort": 15820}, {"name": "tcps-mesh", "containerPort": 15801}],
    }  # fmt: skip
    app = {"name": "app", "image": "app", "ports": [{"name": "nestjs-app", "containerPort": 3001}]}
    labels = {"app": f"s{service}", "pod-template-hash": f"{service:x}", "tcpservice.dev/inject": "enabled"}
    annotations = {"tcpservice.dev/calls": ", ".join(f"s{each}" for each in called)}
    metadata = {"name": f"p{number}", "labels": labels, "annotations": annotations}
    spec = {"containers": [app], "initContainers": [sidecar], "automountServiceAccountToken": False}
    made = await admin.post(f"/api/v1/namespaces/{place}/pods", {"metadata": metadata, "spec": spec})
    own: dict[str, Any] = made["metadata"]
    return own


async def _slice(admin: Admin, shape: Shape, number: int) -> None:
    place = shape.namespace(number)
    document = {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": f"s{number}-x", "labels": {
            "kubernetes.io/service-name": f"s{number}-replicas", "endpointslice.kubernetes.io/managed-by": "bench",
        }},
        "endpoints": _endpoints(number, 10), "ports": [{"name": "app", "port": 3001}, {"name": "mesh", "port": 15801}],
    }  # fmt: skip
    await admin.post(f"/apis/discovery.k8s.io/v1/namespaces/{place}/endpointslices", document)


def _endpoints(service: int, count: int, mark: int | None = None) -> list[dict[str, Any]]:
    """Return endpoints; the last has the mark of a change as its name."""
    names = [f"e{service}-{number}" for number in range(count)] + ([f"c{mark}"] if mark is not None else [])
    hosts = (f"10.{service >> 8}.{service & 255}.{number + 1}" for number in range(len(names)))
    return [
        {"addresses": [host], "targetRef": {"kind": "Pod", "name": name, "uid": name}}
        for host, name in zip(hosts, names, strict=True)
    ]


async def _token(admin: Admin, pod: dict[str, Any]) -> str:
    bound = {"apiVersion": "v1", "kind": "Pod", "name": pod["name"], "uid": pod["uid"]}
    asked = {"spec": {"audiences": ["tcpservice.dev"], "boundObjectRef": bound}}
    path = f"/api/v1/namespaces/{pod['namespace']}/serviceaccounts/default/token"
    token: str = (await admin.post(path, asked))["status"]["token"]
    return token


def _own_address(number: int) -> str:
    """Return the address of a pod: the operator bounds what the connections of one address may do."""
    return f"127.7.{number // 250}.{1 + number % 250}"


async def _read(
    address: str, trust: ssl.SSLContext, own: str, token: str, first: asyncio.Event, heard: Heard
) -> None:  # fmt: skip
    """Follow one stream as a sidecar does that lost another, and another once it ends; note when each change comes."""
    await asyncio.sleep(random.uniform(0.5, 1) * _PAUSE_S)
    host, _, port = address.partition(":")
    request = f"GET /v1/discovery HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    while True:
        with contextlib.suppress(OSError):
            async with asyncio.timeout(_CONNECT_S):
                reader, writer = await asyncio.open_connection(
                    host, int(port), ssl=trust, limit=1 << 24, local_addr=(own, 0)
                )
            writer.write(request)
            while line := await reader.readline():
                now = time.monotonic()
                if line.startswith(b'{"version"'):
                    first.set()
                for mark in _MARK.finditer(line):
                    heard.at[int(mark[1])].append(now)
        await asyncio.sleep(random.uniform(0.5, 1) * _PAUSE_S)


async def _change(admin: Admin, shape: Shape, heard: Heard) -> tuple[list[float], int]:
    """Change EndpointSlices at a steady rate; return all delays, and how many streams missed a change."""
    wanted = shape.readers()
    sent: dict[int, tuple[float, int]] = {}
    tasks = []
    began = time.monotonic()
    for number in range(RATE * SECONDS):
        await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))
        is_jump = number % RATE == 0
        service = 0 if is_jump else 1 + number % (shape.services - 1)
        count = (SMALL, LARGE)[number // RATE % 2] if is_jump else 10
        path = f"/apis/discovery.k8s.io/v1/namespaces/{shape.namespace(service)}/endpointslices/s{service}-x"
        sent[number] = time.monotonic(), service
        tasks.append(asyncio.create_task(admin.patch(path, {"endpoints": _endpoints(service, count, number)})))
    await asyncio.gather(*tasks)
    await asyncio.sleep(5)
    delays = [at - when for number, (when, _) in sent.items() for at in heard.at.get(number, ())]
    # A change that another one of the same service replaced within the time in which changes are joined is not pushed.
    seen = [(wanted[service], len(heard.at[number])) for number, (_, service) in sent.items() if number in heard.at]
    missing = sum(expected - found for expected, found in seen)
    return delays, missing


async def _stall(operator: Operator, work: Awaitable[None]) -> float:
    """Return the longest time in which the operator did not answer while something was done, in seconds."""
    command = [sys.executable, "-c", _POLL, operator.address("health"), "8"]
    poll = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert poll.stdout is not None
    await asyncio.to_thread(poll.stdout.readline)
    await work
    text = await asyncio.to_thread(poll.stdout.read)
    poll.wait()
    return float(text)


async def _edit(admin: Admin, shape: Shape) -> None:
    for number in range(EDITS):
        path = f"/apis/tcpservice.dev/v1alpha1/namespaces/{shape.namespace(number)}/tcpservices/s{number}"
        await admin.patch(path, {"spec": {"timeouts": {"request": f"{number + 1}s"}}})
        await asyncio.sleep(0.5)


async def _relabel(admin: Admin) -> None:
    for number in range(2):
        await admin.patch("/api/v1/namespaces/n0", {"metadata": {"labels": {"seen": str(number)}}})
        await asyncio.sleep(2)


def _report(results: dict[str, Any]) -> list[str]:
    rows: list[tuple[str, str]] = [
        ("namespaces", "{namespaces:,}"), ("pods", "{pods:,}"), ("streams", "{streams:,}"),
        ("first reconcile of all, three writes each", "{first_s:.0f} s"),
        ("after a restart, all streams are current", "{current_s:.1f} s"),
        (f"from a change to a sidecar at {RATE} changes a second, p50", "{delay_p50_s:.2f} s"),
        ("p99", "{delay_p99_s:.2f} s"), ("CPU of the operator meanwhile, of one core", "{cpu_percent:.0f} %"),
        ("writes to the API server per change", "{writes_per_change:.2f}"),
        ("longest time without an answer, spec edits", "{stall_edit_ms:.0f} ms"),
        ("the same, a namespace relabelled", "{stall_label_ms:.0f} ms"), ("memory", "{memory_mib:.0f} MiB"),
    ]  # fmt: skip
    shapes = results["shapes"]
    return [
        f"Measured on {machine.in_words(results['machine'])}.", "",
        "| TcpServices | " + " | ".join(f"{shape['services']:,}" for shape in shapes) + " |",
        "|---|" + "---:|" * len(shapes),
        *(f"| {title} | " + " | ".join(form.format(**shape) for shape in shapes) + " |" for title, form in rows),
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
