"""Starting: what is printed, and one line for what keeps it from starting."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from interop.manifests import endpoint_slice, tcp_service, write_documents
from interop.processes import Child
from interop.sidecar import ROOT, Sidecar
from shell.running import ask, logged
from tcpservice_flags import bind_error

if TYPE_CHECKING:
    from pathlib import Path


def refused(*arguments: str) -> list[str]:
    """Run a sidecar that must not start; return the lines that it says."""
    child = Child([sys.executable, "-m", "tcpservice_sidecar", *arguments], env={"PYTHONPATH": str(ROOT / "sidecar")})
    child.start()
    assert child.wait(10) == 2
    child.stop()
    return child.stderr.splitlines()


@pytest.fixture
def manifest(tmp_path: Path) -> str:
    return str(write_documents(tmp_path / "orders.yaml", [tcp_service("orders"), endpoint_slice("orders", 3001)]))


def test_it_prints_where_it_listens_and_is_ready_then(manifest: str) -> None:
    with Sidecar(
        "--file", manifest, "--listen", "orders=127.0.0.1:0", "--listen", "default/orders=127.0.0.1:0",
        "--mesh", "127.0.0.1:0", "--app", "orders=127.0.0.1:1", "--admin", "127.0.0.1:0",
    ) as sidecar:  # fmt: skip
        assert sidecar.ports.keys() == {"orders", "default/orders", "mesh", "admin"}
        assert ask(sidecar, "/readyz").status == 200


@pytest.mark.parametrize("flag", ["--listen", "--mesh", "--admin"])
def test_a_port_that_is_taken(flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        arguments = {
            "--listen": ["--listen", f"orders={address}"],
            "--mesh": ["--mesh", address, "--app", "orders=127.0.0.1:1"],
            "--admin": ["--listen", "orders=127.0.0.1:0", "--admin", address],
        }[flag]
        (line,) = refused("--upstream", "orders=127.0.0.1:1", *arguments)
    assert f"{flag}: cannot listen on {address}: another program listens there" in line


def test_an_address_that_is_not_this_machines() -> None:
    (line,) = refused("--upstream", "orders=127.0.0.1:1", "--listen", "orders=192.0.2.1:3001")
    assert "--listen: cannot listen on 192.0.2.1:3001: this machine has no such address" in line


def test_a_host_to_listen_on_that_does_not_resolve() -> None:
    (line,) = refused("--upstream", "orders=127.0.0.1:1", "--listen", "orders=no-such-host.invalid:3001")
    assert "--listen: cannot listen on no-such-host.invalid:3001: the host name does not resolve" in line


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.EACCES, "no permission; ports below 1024"), (errno.EMFILE, os.strerror(errno.EMFILE))],
)
def test_other_reasons_not_to_listen(number: int, words: str) -> None:
    assert words in bind_error(OSError(number, os.strerror(number)))


@pytest.mark.parametrize("flag", ["--listen", "--app"])
def test_a_name_that_no_manifest_has(manifest: str, flag: str) -> None:
    mesh = ["--mesh", "127.0.0.1:0"] if flag == "--app" else []
    (line,) = refused("--file", manifest, *mesh, flag, "order=127.0.0.1:1")
    assert f"{flag} order: no TcpService has that name; there are: default/orders" in line


def test_a_name_that_two_namespaces_have(tmp_path: Path) -> None:
    other = tcp_service("orders")
    other["metadata"]["namespace"] = "shop"
    manifest = write_documents(tmp_path / "two.yaml", [tcp_service("orders"), other])
    (line,) = refused("--file", str(manifest), "--listen", "orders=127.0.0.1:0")
    assert "write default/orders or shop/orders" in line


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    (line,) = refused("--file", str(tmp_path / "none.yaml"), "--listen", "orders=127.0.0.1:0")
    assert line.startswith(f"tcpservice-sidecar: --file: {tmp_path}/none.yaml: No such file or directory")


def test_a_manifest_with_five_mistakes_gives_five_lines(tmp_path: Path) -> None:
    path = tmp_path / "five.yaml"
    path.write_text(
        "apiVersion: tcpservice.dev/v1alpha1\nkind: TcpService\nmetadata: {name: orders}\n"
        "spec:\n  selector: {}\n  port: 0\n  timeouts: {request: fast}\n  colour: red\n"
        "---\n"
        "apiVersion: tcpservice.dev/v1alpha1\nkind: TcpService\nmetadata: {name: users}\n"
        "spec:\n  selector: {app: users}\n  port: 3001\n  routes: [{name: a, matches: []}]\n"
    )
    lines = refused("--file", str(path), "--listen", "orders=127.0.0.1:0")
    assert len(lines) >= 5
    for where, words in [
        ("spec.selector", "orders"), ("spec.port", "port"), ("spec.timeouts.request", "fast"),
        ("spec.colour", "colour"), ("spec.routes[0]", "users"),
    ]:  # fmt: skip
        assert any(line.startswith(f"{path}:") and where in line and words in line for line in lines), lines


@pytest.mark.parametrize(("text", "words"), [("", "empty"), (": : :\n\t-", "YAML")])
def test_a_file_that_is_no_manifest(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    (line,) = refused("--file", str(path), "--listen", "orders=127.0.0.1:0")
    assert words in line


def test_what_is_not_for_the_sidecar_is_said_and_ignored(tmp_path: Path) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {}}
    manifest = write_documents(tmp_path / "more.yaml", [tcp_service("orders"), config])
    with Sidecar("--file", str(manifest), "--listen", "orders=127.0.0.1:0") as sidecar:
        logged(sidecar, "manifest_ignored")


def test_an_upstream_that_does_not_resolve_is_said_once_and_tried_again() -> None:
    with Sidecar("--upstream", "orders=no-such-host.invalid:3001", "--listen", "orders=127.0.0.1:0") as sidecar:
        (event,) = logged(sidecar, "unresolved")
        assert "--upstream orders: the host no-such-host.invalid does not resolve" in event["message"]
        assert "tried again every 5 s" in event["message"]


def test_an_interrupt_ends_it_without_a_trace(manifest: str) -> None:
    with Sidecar("--file", manifest, "--listen", "orders=127.0.0.1:0") as sidecar:
        sidecar.signal(signal.SIGINT)
        assert sidecar.process.wait() == 0
        assert "Traceback" not in sidecar.stderr
