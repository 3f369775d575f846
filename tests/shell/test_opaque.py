"""Opaque services: any bytes both ways, balanced by connection, through one sidecar and through two."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from interop.manifests import endpoint_slice, tcp_service, write_documents
from interop.rawpeer import RawCaller
from interop.sidecar import Sidecar
from shell.running import ask, logged, view, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OPAQUE = {"protocol": "Opaque"}


class Echo:
    """A server that sends back what it gets, says its name first, and ends when its caller has."""

    def __init__(self, name: bytes) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._name = name
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.sendall(self._name)
            while data := connection.recv(1 << 16):
                connection.sendall(data)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)


@contextmanager
def fleet(
    way: str,
    folder: Path,
    count: int,
    *,
    dead: bool = False,
    flags: tuple[str, ...] = (),
    pod_flags: tuple[str, ...] = (),
) -> Iterator[Sidecar]:
    with ExitStack() as stack:
        documents = [tcp_service("orders", OPAQUE)]
        own = write_documents(folder / "own.yaml", documents)
        for serial in range(count):
            echo = Echo(b"%d" % serial)
            stack.callback(echo.close)
            port = echo.port
            if way == "two":
                app = ("--app", f"orders=127.0.0.1:{port}")
                pod = stack.enter_context(Sidecar("--file", str(own), "--mesh", "127.0.0.1:0", *app, *pod_flags))
                port = pod.ports["mesh"]
            port_name = "mesh" if way == "two" else "app"
            documents.append(endpoint_slice("orders", port, serial=serial, port_name=port_name))
        if dead:
            documents.append(endpoint_slice("orders", 1, serial=count, port_name="app"))
        path = write_documents(folder / "all.yaml", documents)
        yield stack.enter_context(
            Sidecar("--file", str(path), "--listen", "orders=127.0.0.1:0", "--admin", "127.0.0.1:0", *flags)
        )


def send_all(caller: RawCaller, data: bytes) -> None:
    caller.send(data)
    caller.end()


@pytest.mark.parametrize("way", ["one", "two"])
def test_any_bytes_pass_both_ways_and_each_end_is_passed_on(way: str, tmp_path: Path) -> None:
    with fleet(way, tmp_path, 1) as sidecar, RawCaller(sidecar.ports["orders"]) as caller:
        assert caller.read(1) == b"0"
        data = os.urandom(3 << 20)
        sender = threading.Thread(target=send_all, args=(caller, data))
        sender.start()
        assert caller.rest() == data
        sender.join()


@pytest.mark.parametrize("way", ["one", "two"])
def test_connections_are_spread_and_given_back(way: str, tmp_path: Path) -> None:
    with fleet(way, tmp_path, 3) as sidecar:
        callers, names = [], []
        for _ in range(30):  # one after the other, so that each choice knows of those before
            callers.append(RawCaller(sidecar.ports["orders"]))
            names.append(callers[-1].read(1))
        assert min(map(names.count, (b"0", b"1", b"2"))) >= 6, "the better of two drawn at random: 10 each, or near it"
        for caller in callers:
            caller.close()
        wait_until(lambda: not any(r["inFlight"] for r in view(sidecar)["services"][0]["endpoints"]), "given back")


@pytest.mark.parametrize("way", ["one", "two"])
def test_connections_count_for_the_limit_until_they_end(way: str, tmp_path: Path) -> None:
    flags = ("--connections", "2")
    with fleet(way, tmp_path, 1, flags=flags) as sidecar:
        first, second = RawCaller(sidecar.ports["orders"]), RawCaller(sidecar.ports["orders"])
        assert (first.read(1), second.read(1)) == (b"0", b"0")
        assert view(sidecar)["callers"] == 2
        with RawCaller(sidecar.ports["orders"]) as third:
            assert is_closed(third)
        first.close()
        wait_until(lambda: view(sidecar)["callers"] == 1, "the first one is counted no more")
        with RawCaller(sidecar.ports["orders"]) as fourth:
            assert fourth.read(1) == b"0"
        second.close()


def test_a_sidecar_refuses_more_connections_of_other_sidecars_to_an_opaque_app(tmp_path: Path) -> None:
    limited = fleet("two", tmp_path, 1, pod_flags=("--connections", "1"))
    with limited as sidecar, RawCaller(sidecar.ports["orders"]) as first:
        assert first.read(1) == b"0"
        with RawCaller(sidecar.ports["orders"]) as second:
            assert is_closed(second)


def is_closed(caller: RawCaller) -> bool:
    """Whether the sidecar closes the connection, by FIN or RST, and sends nothing."""
    try:
        return caller.rest() == b""
    except ConnectionError:
        return True


def test_a_replica_that_refuses_is_passed_over(tmp_path: Path) -> None:
    with fleet("one", tmp_path, 1, dead=True) as sidecar:
        for _ in range(10):
            with RawCaller(sidecar.ports["orders"]) as caller:
                assert caller.read(1) == b"0"
        assert 'state="ejected"' in ask(sidecar, "/metrics").text


@pytest.mark.parametrize("way", ["one", "two"])
def test_without_a_replica_the_caller_is_closed(way: str, tmp_path: Path) -> None:
    documents = [tcp_service("orders", OPAQUE)]
    own = write_documents(tmp_path / "own.yaml", documents)
    with ExitStack() as stack:
        port = 1
        if way == "two":
            flags = ("--mesh", "127.0.0.1:0", "--app", "orders=127.0.0.1:1")
            port = stack.enter_context(Sidecar("--file", str(own), *flags)).ports["mesh"]
        name = "mesh" if way == "two" else "app"
        path = write_documents(tmp_path / "all.yaml", [*documents, endpoint_slice("orders", port, port_name=name)])
        sidecar = stack.enter_context(Sidecar("--file", str(path), "--listen", "orders=127.0.0.1:0"))
        with RawCaller(sidecar.ports["orders"]) as caller:
            assert caller.rest() == b""
        if way == "one":
            logged(sidecar, "no_endpoints")


def test_an_upstream_that_is_no_sidecar_is_passed_over(tmp_path: Path) -> None:
    echo = Echo(b"not a sidecar\n")
    try:
        slices = endpoint_slice("orders", echo.port, port_name="mesh")
        path = write_documents(tmp_path / "all.yaml", [tcp_service("orders", OPAQUE), slices])
        with (
            Sidecar("--file", str(path), "--listen", "orders=127.0.0.1:0") as sidecar,
            RawCaller(sidecar.ports["orders"]) as caller,
        ):
            assert caller.rest() == b""
            logged(sidecar, "endpoint_ejected")
    finally:
        echo.close()
