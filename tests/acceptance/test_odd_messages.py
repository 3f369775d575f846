"""One connection's messages, however odd or many, do not end or delay the requests of other connections."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from acceptance.programs import App, Neighbour
from acceptance.topology import WAYS, Topology, Way
from acceptance.waiting import until
from core.wire.texts import packet
from interop.manifests import endpoint_slice, tcp_service, write_documents
from interop.nest import ClientProcess, NestClient
from interop.rawpeer import RawCaller, frame, request
from interop.sidecar import Sidecar
from shell.running import ask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NEIGHBOURS = 50
ECHOES = b"".join(request("echo", 1, str(place)) for place in range(1100))
"""More than any default for requests in flight, so that what follows may have to wait."""
MESH_PREFACE = b"TCPS/1 default/orders -\n"
OPAQUE_PREFACE = b"TCPS/1 default/orders opaque\n"
ODD = {
    "infinite-number": frame(b'{"pattern":1e999,"data":5,"\\u0069d":"10"}'),
    "infinite-number-negative": frame(b'{"pattern":{"cmd":-1e999},"data":1e999,"\\u0069d":1e999}'),
    "400-digits": frame(b'{"pattern":' + b"9" * 400 + b',"data":5,"id":"10"}'),
    "half-a-frame-after-no-json": b"3#{x}5#ab",
    "no-json": frame(b"{x}"),
    "control-words": b"!1#x!6#cancel!6#goaway!999999999#x",
    "drawn": b"".join(frame(packet(random.Random(seed))) for seed in range(200)),
}
FLOOD_SECONDS = 5.0
FLOOD_BYTES = 400_000_000
ANSWERED_MS = 8000
FLOODS = {
    "unknown-words": b"!1#x",
    "cancels": b"!9#cancel 99",
    "pings": b"!6#ping 1",
    "goaway-and-back": b"!6#goaway!4#back",
    "replies": frame(b'{"response":1,"isDisposed":true,"id":"nobody"}'),
    "keeps": b"!7#keep 99",
    "refused": b"!10#refused 99",
}


@contextmanager
def waiting_neighbours(topology: Topology, app: App) -> Iterator[None]:
    """Have 50 requests in flight, and see that all of them are answered after what happened."""
    with (
        ClientProcess(12) as process,
        NestClient(12, topology.port, process=process) as client,
        NestClient(12, app.port, process=process) as direct,
    ):
        begun = [client.begin("send", pattern="gate", data="neighbours") for _ in range(NEIGHBOURS)]
        until(lambda: direct.value("waiting", "neighbours") == NEIGHBOURS, "the neighbours' requests are in flight")
        yield
        direct.value("open", "neighbours")
        results = [each.result(40) for each in begun]
        failed = [result for result in results if result != [["next", "neighbours"], ["complete"]]]
        assert failed == [], f"{len(failed)} of {NEIGHBOURS} failed"
        assert client.value("echo", "after") == "after"


def send_and_wait(port: int, data: bytes) -> None:
    """Send bytes and read what comes back, until the connection ends or nothing comes for a second."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock, contextlib.suppress(OSError):
        sock.sendall(data)
        sock.settimeout(1)
        while sock.recv(1 << 16):
            pass


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("odd", ODD)
def test_an_odd_message_of_a_caller(tmp_path: Path, way: Way, odd: str) -> None:
    with App() as app, Topology(way, tmp_path, [app.port]) as topology, waiting_neighbours(topology, app):
        send_and_wait(topology.port, ECHOES + ODD[odd])
        send_and_wait(topology.port, ODD[odd])


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_message_over_the_mesh(tmp_path: Path, odd: str) -> None:
    with App() as app, Topology("two", tmp_path, [app.port]) as topology, waiting_neighbours(topology, app):
        mesh = topology.replica_sidecars[0].ports["mesh"]
        send_and_wait(mesh, MESH_PREFACE + ECHOES + ODD[odd])
        send_and_wait(mesh, MESH_PREFACE + ODD[odd])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("listener", ["--listen", "--front"])
def test_timeouts_still_fire_after_an_odd_message(tmp_path: Path, way: Way, listener: str) -> None:
    spec = {"timeouts": {"request": "2s"}}
    with (
        App() as app,
        Topology(way, tmp_path, [app.port], spec=spec, listener=listener) as topology,
        NestClient(12, topology.port) as client,
    ):
        assert client.value("echo", "before") == "before"
        send_and_wait(topology.port, b"3#{x}5#ab")
        for _ in range(5):
            last = client.send("never", 1, limit=12_000)[-1]
            assert last[0] == "error", f"the timeout of 2 s did not fire within 12 s: {last}"
            assert last[1]["code"] == "timeout"


@pytest.mark.parametrize("body", [request("write", "smuggled", "1"), b"1#1" * 14_000], ids=["request", "40-kb"])
def test_the_preface_of_opaque_services_is_refused(tmp_path: Path, body: bytes) -> None:
    """Bytes that nobody has read as messages do not reach a NestJS app."""
    with (
        App(10, record=tmp_path / "record.txt") as app,
        Topology("two", tmp_path, [app.port]) as topology,
        NestClient(12, topology.port) as client,
    ):
        assert client.value("echo", "before") == "before"
        send_and_wait(topology.replica_sidecars[0].ports["mesh"], OPAQUE_PREFACE + body)
        assert client.value("echo", "after") == "after"
        assert app.process.alive
        assert app.recorded() == []


class Flood:
    """A thread that sends the same bytes on a connection again and again, bounded in time and bytes."""

    def __init__(self, sock: socket.socket, data: bytes) -> None:
        self._sock = sock
        self._data = data * max(1, 65536 // len(data))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent = 0

    def _run(self) -> None:
        deadline = time.monotonic() + FLOOD_SECONDS
        self._sock.settimeout(FLOOD_SECONDS)
        with contextlib.suppress(OSError):
            while time.monotonic() < deadline and self.sent < FLOOD_BYTES:
                self._sock.sendall(self._data)
                self.sent += len(self._data)

    def __enter__(self) -> Flood:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(3 * FLOOD_SECONDS)


def alive_through(sidecar: Sidecar, flood: Flood) -> None:
    """See that /livez answers until the flood is over."""
    deadline = time.monotonic() + FLOOD_SECONDS + 1
    with flood:
        while time.monotonic() < deadline:
            assert ask(sidecar, "/livez").status == 200
            time.sleep(0.3)
    print(f"{flood.sent >> 20} MiB were taken")


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_over_the_mesh(tmp_path: Path, flood: str) -> None:
    with (
        App() as app,
        Topology("two", tmp_path, [app.port]) as topology,
        Neighbour(topology.port, timeout=ANSWERED_MS) as neighbour,
        socket.create_connection(("127.0.0.1", topology.replica_sidecars[0].ports["mesh"])) as sock,
    ):
        sock.sendall(MESH_PREFACE)
        alive_through(topology.replica_sidecars[0], Flood(sock, FLOODS[flood]))
        neighbour.unharmed(flood)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("flood", ["replies", "tiny-frames"])
def test_a_flood_of_a_caller(tmp_path: Path, way: Way, flood: str) -> None:
    data = FLOODS.get(flood) or b"2#{}"
    with (
        App() as app,
        Topology(way, tmp_path, [app.port]) as topology,
        Neighbour(topology.port, timeout=ANSWERED_MS) as neighbour,
        socket.create_connection(("127.0.0.1", topology.port)) as sock,
    ):
        alive_through(topology.sidecar, Flood(sock, data))
        neighbour.unharmed(flood)


@pytest.mark.parametrize("port_name", ["mesh", "app"])
@pytest.mark.parametrize("flood", ["goaway-and-back", "pings", "unknown-words", "replies", "refused"])
def test_a_flood_of_another_services_replica(tmp_path: Path, port_name: str, flood: str) -> None:
    """A replica of `other`, played by the test, sends replies that match no request; callers of `orders` are served."""
    with ExitStack() as stack:
        app = stack.enter_context(App())
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.settimeout(10)
        documents = [
            tcp_service("orders"),
            endpoint_slice("orders", app.port, port_name="app"),
            tcp_service("other"),
            endpoint_slice("other", listener.getsockname()[1], port_name=port_name),
        ]
        manifest = write_documents(tmp_path / "both.yaml", documents)
        arguments = ["--listen", "orders=127.0.0.1:0", "--listen", "other=127.0.0.1:0", "--admin", "127.0.0.1:0"]
        sidecar = stack.enter_context(Sidecar("--file", str(manifest), *arguments))
        neighbour = stack.enter_context(Neighbour(sidecar.ports["orders"], timeout=ANSWERED_MS))
        caller = stack.enter_context(RawCaller(sidecar.ports["other"]))
        caller.send(request("echo", 1, "1"))
        sock, _ = listener.accept()
        stack.callback(sock.close)
        if port_name == "mesh":
            sock.sendall(b"TCPS/1 default/other -\n")
        alive_through(sidecar, Flood(sock, FLOODS[flood]))
        neighbour.unharmed(flood)
