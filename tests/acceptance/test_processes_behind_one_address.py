"""Node's `cluster` hands out connections, not messages: all processes behind one address must get messages."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from acceptance.programs import App
from acceptance.topology import WAYS_AND_DIRECT, Topology, Way
from interop.nest import ClientProcess, NestClient

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

WORKERS = 4
CLIENTS = 16
SECONDS = 20.0
WORK_MS = 5


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    with App(workers=WORKERS) as app:
        yield app


@pytest.mark.parametrize("way", WAYS_AND_DIRECT)
@pytest.mark.parametrize("spec", [{"connectionPool": {"size": WORKERS}}, {}], ids=["pool-of-4", "default"])
def test_all_workers_of_a_cluster_get_messages(app: App, tmp_path: Path, way: Way, spec: Mapping[str, object]) -> None:
    found: set[int] = set()
    with (
        Topology(way, tmp_path, [app.port], spec=spec) as topology,
        ClientProcess(12) as process,
        ExitStack() as stack,
    ):
        clients = [stack.enter_context(NestClient(12, topology.port, process=process)) for _ in range(CLIENTS)]
        deadline = time.monotonic() + SECONDS
        while len(found) < WORKERS and time.monotonic() < deadline:
            rounds = [client.begin("many", items=[["pid", WORK_MS]] * 50) for client in clients]
            for each in rounds:
                for events in each.result(40)["events"]:
                    assert events[0][0] == "next", events
                    found.add(events[0][1])
    assert len(found) == WORKERS
