"""Messages that have to wait for their replica reach it in the order in which the caller sent them, each once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from acceptance.links import Mode
from acceptance.programs import App
from acceptance.topology import WAYS, Topology, Way
from acceptance.waiting import until
from interop.nest import ClientProcess, NestClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

COUNT = 30
CLOSED_SECONDS = 0.3
"""How long the endpoint refuses connections: longer than the first backoffs, shorter than any grace for a start."""
PATIENT = {
    "retry": {"attempts": 20, "backoff": "50ms"},
    "retryConstraint": {"budget": {"percent": 100}, "minRetryRate": {"count": 1000, "interval": "1s"}},
    "routes": [{"name": "read", "match": {"type": "Exact", "pattern": "read"}, "idempotent": True}],
}
KINDS = pytest.mark.parametrize(
    "kinds", [("write",), ("event",), ("write", "event")], ids=["requests", "events", "both"]
)


@pytest.fixture(scope="module")
def process() -> Iterator[ClientProcess]:
    with ClientProcess(12) as process:
        yield process


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with App(record=tmp_path / "record.txt") as app:
        yield app


def send_all(client: NestClient, kinds: tuple[str, ...], first: int = 0) -> list[Future[Any]]:
    """Send messages in turns of their kinds; their keys count up."""
    begun = []
    for key in range(first, first + COUNT * len(kinds)):
        kind = kinds[key % len(kinds)]
        begun.append(client.begin("emit" if kind == "event" else "send", pattern=kind, data=str(key)))
    return begun


def answers(begun: list[Future[Any]]) -> list[Any]:
    return [future.result(40) for future in begun]


def arrived_in_order(app: App, count: int) -> None:
    until(lambda: len(app.recorded()) >= count, f"{count} messages ran, of which {len(app.recorded())} did", within=15)
    keys = [int(message.key) for message in app.recorded()]
    assert keys == list(range(count))


def no_failure(results: list[Any]) -> None:
    assert [result for result in results if result[0][0] == "error"] == []


@KINDS
@pytest.mark.parametrize("way", WAYS)
def test_behind_a_refused_connection(
    app: App, process: ClientProcess, tmp_path: Path, way: Way, kinds: tuple[str, ...]
) -> None:
    """The endpoint loses its connections and refuses new ones for a moment."""
    with (
        Topology(way, tmp_path, [app.port], spec=PATIENT, links="caller") as topology,
        NestClient(12, topology.port, process=process) as client,
    ):
        (link,) = topology.links
        assert client.value("echo", "connected") == "connected"
        link.accepting(False)
        link.reset()
        until(lambda: not topology.is_connected(), "the loss is noticed; what is written before may have run")
        begun = send_all(client, kinds)
        time.sleep(CLOSED_SECONDS)
        link.accepting(True)
        no_failure(answers(begun))
        arrived_in_order(app, COUNT * len(kinds))


@KINDS
def test_behind_an_app_that_starts(app: App, process: ClientProcess, tmp_path: Path, kinds: tuple[str, ...]) -> None:
    """The app's sidecar runs before its app listens, as in a pod that starts."""
    with Topology("two", tmp_path, [app.port], spec=PATIENT, links="app", listening=False) as topology:
        (link,) = topology.links
        with NestClient(12, topology.port, process=process) as client:
            begun = send_all(client, kinds)
            time.sleep(CLOSED_SECONDS)
            link.accepting(True)
            no_failure(answers(begun))
            arrived_in_order(app, COUNT * len(kinds))


@KINDS
def test_behind_an_app_that_starts_again(
    app: App, process: ClientProcess, tmp_path: Path, kinds: tuple[str, ...]
) -> None:
    """The app's container restarts: its sidecar refuses messages for a moment, then passes them on."""
    with (
        Topology("two", tmp_path, [app.port], spec=PATIENT, links="app") as topology,
        NestClient(12, topology.port, process=process) as client,
    ):
        (link,) = topology.links
        assert client.value("echo", "connected") == "connected"
        link.accepting(False)
        link.reset()
        until(lambda: not topology.is_connected(), "the loss is noticed; what is written before may have run")
        begun = send_all(client, kinds)
        time.sleep(CLOSED_SECONDS)
        link.accepting(True)
        no_failure(answers(begun))
        arrived_in_order(app, COUNT * len(kinds))


@KINDS
@pytest.mark.parametrize("way", WAYS)
def test_behind_idempotent_requests_whose_connection_was_cut(
    app: App, process: ClientProcess, tmp_path: Path, way: Way, kinds: tuple[str, ...]
) -> None:
    """Idempotent requests were sent, and their connection is cut before the app sees them; more messages follow."""
    with (
        Topology(way, tmp_path, [app.port], spec=PATIENT, links="caller") as topology,
        NestClient(12, topology.port, process=process) as client,
    ):
        (link,) = topology.links
        assert client.value("echo", "connected") == "connected"
        link.mode = Mode.SWALLOW
        begun = send_all(client, ("read",))
        time.sleep(CLOSED_SECONDS)
        link.accepting(False)
        link.reset()
        link.mode = Mode.FORWARD
        until(lambda: not topology.is_connected(), "the loss is noticed; what is written before may have run")
        begun += send_all(client, kinds, COUNT)
        time.sleep(CLOSED_SECONDS)
        link.accepting(True)
        no_failure(answers(begun))
        arrived_in_order(app, COUNT + COUNT * len(kinds))
