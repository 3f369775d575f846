"""A replica that accepts requests and never answers is found out, also by requests that do not overlap."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from acceptance.programs import App
from acceptance.topology import FULL, WAYS, Topology, Way
from interop.nest import NestClient

if TYPE_CHECKING:
    from pathlib import Path

EVERY_SECONDS = 0.5 if FULL else 0.2
FOUND_SECONDS = 40.0
IN_A_ROW = 25
"""So many successes in a row come about by chance once in 25,000 times while a third of the requests fail."""
PROBES = ("--probe-after", "2s", "--probe-timeout", "1s")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("spec", [{"timeouts": {"request": "1s"}}, {"timeouts": {"backendRequest": "1s"}}, {}])
def test_a_stopped_replica_of_three(tmp_path: Path, way: Way, spec: dict[str, object]) -> None:
    with ExitStack() as stack:
        apps = [stack.enter_context(App(name=name)) for name in "abc"]
        topology = stack.enter_context(Topology(way, tmp_path, [app.port for app in apps], spec=spec, flags=PROBES))
        client = stack.enter_context(NestClient(12, topology.port))
        seen = set()
        for _ in range(30):
            seen.add(client.value("who", 1))
        assert seen == {"a", "b", "c"}
        apps[1].signal(signal.SIGSTOP)
        stack.callback(apps[1].signal, signal.SIGCONT)
        began = time.monotonic()
        results = []
        in_a_row = 0
        while in_a_row < IN_A_ROW and time.monotonic() < began + FOUND_SECONDS:
            events = client.send("who", 1, timeout=5000)
            results.append(events[0][0])
            in_a_row = in_a_row + 1 if events[0][0] == "next" else 0
            time.sleep(EVERY_SECONDS)
        assert in_a_row == IN_A_ROW, f"{results.count('error')} of {len(results)} requests failed, without end"

        apps[1].signal(signal.SIGCONT)
        deadline = time.monotonic() + FOUND_SECONDS
        while client.value("who", 1) != "b":
            assert time.monotonic() < deadline, "the replica that went on is not used again"
            time.sleep(0.05)
