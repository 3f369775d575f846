"""Both families of addresses: listeners that take all of them, as pods need, and replicas reached by IPv6."""

from __future__ import annotations

import errno
import socket
import urllib.request
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

import tcpservice_sockets
from interop.manifests import endpoint_slice, tcp_service, write_documents
from interop.rawpeer import RawCaller, RawReplica, request
from interop.sidecar import Sidecar
from shell.running import logged, packet, reply
from shell.test_starting import refused
from tcpservice_flags import Address

if TYPE_CHECKING:
    from pathlib import Path


def has(host: str) -> bool:
    """Whether this machine has that loopback address."""
    try:
        socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError:
        return False
    return True


HOSTS = [host for host in ("127.0.0.1", "::1") if has(host)]


def manifest(folder: Path, *, host: str = "127.0.0.1", port: int = 3001, protocol: str = "NestJS") -> str:
    """Write a service of one replica."""
    slices = endpoint_slice("orders", port, port_name="app", host=host)
    return str(write_documents(folder / "orders.yaml", [tcp_service("orders", {"protocol": protocol}), slices]))


def answered(replica: RawReplica, port: int, host: str) -> bool:
    """Whether a message that is sent there comes back from the replica."""
    with RawCaller(port, host) as caller:
        caller.send(request("sum", 1, "1"))
        arrived = replica.next()
        arrived.answer(reply(arrived.id))
        return bool(packet(caller)["response"] == "ok")


@pytest.mark.parametrize("host", HOSTS)
def test_listeners_of_all_addresses_take_both_families(tmp_path: Path, host: str) -> None:
    with (
        RawReplica() as replica,
        Sidecar(
            "--file", manifest(tmp_path, port=replica.port), "--listen", "orders=*:0", "--front", "orders=*:0",
            "--mesh", "*:0", "--app", f"orders=127.0.0.1:{replica.port}", "--admin", "*:0",
        ) as sidecar,
    ):  # fmt: skip
        assert answered(replica, sidecar.ports["orders"], host)
        assert answered(replica, sidecar.ports["front/orders"], host)
        RawCaller(sidecar.ports["mesh"], host).close()
        with urllib.request.urlopen(f"http://{Address(host, sidecar.ports['admin'])}/readyz", timeout=10) as answer:
            assert answer.status == 200


@pytest.mark.parametrize("host", HOSTS)
def test_a_caller_is_named_by_the_address_that_it_has(tmp_path: Path, host: str) -> None:
    with Sidecar("--file", manifest(tmp_path), "--listen", "orders=*:0") as sidecar, ExitStack() as stack:
        caller = stack.enter_context(RawCaller(sidecar.ports["orders"], host))
        caller.send(b"GET / HTTP/1.1\r\nHost: somebody.who.is.wrong.here\r\n\r\n")
        assert logged(sidecar, "downstream_malformed")[0]["peer"].startswith(f"{Address(host, 0)}".removesuffix("0"))


@pytest.mark.parametrize("protocol", ["NestJS", "Opaque"])
def test_a_port_of_all_addresses_that_is_taken(tmp_path: Path, protocol: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"*:{taken.getsockname()[1]}"
        for more in (["--listen", f"orders={address}"], ["--listen", "orders=*:0", "--admin", address]):
            (line,) = refused("--file", manifest(tmp_path, protocol=protocol), *more)
            assert f"cannot listen on {address}: another program listens there" in line


@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
def test_a_system_without_the_newer_family(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    bound_before = tcpservice_sockets._bound

    def without(family: int, where: tuple[str, int], *, dualstack: bool = False) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(number, "no IPv6")
        return bound_before(family, where, dualstack=dualstack)

    monkeypatch.setattr(tcpservice_sockets, "_bound", without)
    with tcpservice_sockets.bind_everywhere(0, 16) as bound:
        assert bound.family == socket.AF_INET


@pytest.mark.parametrize("host", HOSTS)
def test_a_replica_is_reached_by_its_address_of_either_family(tmp_path: Path, host: str) -> None:
    with (
        RawReplica(host) as replica,
        Sidecar("--file", manifest(tmp_path, host=host, port=replica.port), "--listen", "orders=*:0") as sidecar,
    ):
        assert answered(replica, sidecar.ports["orders"], "127.0.0.1")
