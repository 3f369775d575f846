"""SIGTERM: everything that the sidecar has accepted is delivered, then it exits with 0."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from acceptance.programs import App
from acceptance.topology import WAYS, Topology, Way
from acceptance.waiting import until
from interop.nest import ClientProcess, NestClient
from interop.rawpeer import request

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

    from interop.sidecar import Sidecar

MEGABYTE = 1_000_000
REPLIES = 40
READ_A_SECOND = 8 * MEGABYTE
EXIT_SECONDS = 30.0
COUNT = 30
RATE = 200
PATIENT = {
    "retry": {"attempts": 20, "backoff": "50ms"},
    "retryConstraint": {"budget": {"percent": 100}, "minRetryRate": {"count": 1000, "interval": "1s"}},
}


def exits(sidecar: Sidecar, within: float = EXIT_SECONDS) -> int | None:
    """Wait for its end; return the exit code, None where it does not end."""
    try:
        return sidecar.process.wait(within)
    except subprocess.TimeoutExpired:
        return None


@pytest.mark.parametrize(("way", "leaving"), [("one", "caller"), ("two", "caller"), ("two", "replica")])
def test_a_slow_reader_gets_40_mb_of_replies(tmp_path: Path, way: Way, leaving: str) -> None:
    with (
        App(10) as app,
        Topology(way, tmp_path, [app.port]) as topology,
        socket.create_connection(("127.0.0.1", topology.port), timeout=EXIT_SECONDS) as sock,
    ):
        sidecar = topology.sidecar if leaving == "caller" else topology.replica_sidecars[0]
        sock.sendall(b"".join(request("large", MEGABYTE, str(place)) for place in range(REPLIES)))
        received = bytearray(sock.recv(1 << 16))
        sidecar.signal(signal.SIGTERM)
        while len(received) < REPLIES * MEGABYTE:
            data = sock.recv(READ_A_SECOND // 20)
            if not data:
                break
            received += data
            time.sleep(len(data) / READ_A_SECOND)
        pieces = received.count(b'"isDisposed":true')
        assert pieces == REPLIES, f"{len(received)} bytes came, {pieces} of {REPLIES} replies"
        assert exits(sidecar) == 0


@pytest.mark.parametrize("way", WAYS)
def test_messages_that_wait_for_a_replica(tmp_path: Path, way: Way) -> None:
    """No replica is reachable when SIGTERM comes; one is a moment later."""
    with (
        App(record=tmp_path / "record.txt") as app,
        Topology(way, tmp_path, [app.port], spec=PATIENT, links="caller") as topology,
        NestClient(12, topology.port) as client,
    ):
        (link,) = topology.links
        assert client.value("echo", "connected") == "connected"
        link.accepting(False)
        link.reset()
        begun = [client.begin("send", pattern="write", data=str(key)) for key in range(COUNT)]
        emitted = [client.begin("emit", pattern="event", data=str(key)) for key in range(COUNT)]
        for each in emitted:
            assert each.result(20)[-1] == ["complete"]  # written to the connection
        time.sleep(0.1)  # and read by the sidecar
        topology.sidecar.signal(signal.SIGTERM)
        time.sleep(0.3)
        link.accepting(True)
        results = [each.result(40) for each in begun]
        assert results == [[["next", str(key)], ["complete"]] for key in range(COUNT)]
        assert exits(topology.sidecar) == 0
        ran = {kind: [int(m.key) for m in app.recorded() if m.kind == kind] for kind in ("write", "event")}
        assert {kind: sorted(keys) for kind, keys in ran.items()} == {key: list(range(COUNT)) for key in ran}
        assert ran == {key: list(range(COUNT)) for key in ran}, "not in order"


@pytest.mark.parametrize("way", WAYS)
def test_steady_traffic(tmp_path: Path, way: Way) -> None:
    """What ran was answered, what was not answered has not run, and no request ends because the drain has."""
    spec = {"drain": {"timeout": "2s", "streamTimeout": "2s"}}
    with (
        App(record=tmp_path / "record.txt") as app,
        Topology(way, tmp_path, [app.port], spec=spec) as topology,
        ClientProcess(12) as process,
        NestClient(12, topology.port, process=process) as client,
    ):
        assert client.value("echo", "connected") == "connected"
        begun: dict[str, Future[Any]] = {}
        ended = threading.Event()

        def send() -> None:
            while not ended.is_set():
                key = str(len(begun))
                begun[key] = client.begin("send", pattern="write", data=key)
                time.sleep(1 / RATE)

        sender = threading.Thread(target=send)
        sender.start()
        try:
            until(lambda: len(app.recorded()) > RATE, "the traffic flows")
            topology.sidecar.signal(signal.SIGTERM)
            code = exits(topology.sidecar)
        finally:
            ended.set()
            sender.join()
        answered = set()
        failures: dict[str, list[str]] = {}
        for key, future in begun.items():
            (kind, value), *_ = future.result(40)
            if kind == "next":
                answered.add(key)
            else:
                failures.setdefault(value.get("code") or value["message"], []).append(key)
        ran = {message.key for message in app.recorded()}
        assert code == 0
        assert set(failures) <= {"ECONNREFUSED", "ECONNRESET", "Connection closed"}, {
            name: len(keys) for name, keys in failures.items()
        }
        assert ran - answered == set(), (
            f"{len(ran - answered)} requests ran, and their callers were told that they failed"
        )
