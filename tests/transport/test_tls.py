"""TLS with real certificates, between Python and NestJS in both directions, and what goes wrong with it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from interop.nest import NestClient, NestServer
from interop.node import Major
from tcpservice_transport import (
    Client,
    ConnectionLost,
    Retry,
    Server,
    Timeouts,
    Unreachable,
)
from transport.loop import Loop

QUICK = Timeouts(connect=0, request=2)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The CA's certificate; a server's key and certificate."""
    folder = tmp_path_factory.mktemp("tls")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    return folder / "ca.pem", folder / "server.pem"


@pytest.fixture(scope="module")
def trusting(files: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(files[0]))


@pytest.fixture(scope="module")
def plain_port(loop: Loop) -> Iterator[int]:
    server = Server(port=0)
    loop.run(server.start())
    yield server.port
    loop.run(server.close())


@pytest.fixture(scope="module")
def port(files: tuple[Path, Path], loop: Loop) -> Iterator[int]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files[1])
    server = Server(port=0, tls=context)
    server.message_pattern("echo")(lambda data: data)
    loop.run(server.start())
    yield server.port
    loop.run(server.close())


async def ask(client: Client, size: int = 1) -> int:
    async with client:
        answers = await asyncio.gather(*(client.send("echo", "é" * size) for _ in range(20)))
    return sum(len(answer) for answer in answers)


def test_between_pythons(port: int, trusting: ssl.SSLContext) -> None:
    assert asyncio.run(ask(Client(port=port, tls=trusting), 100_000)) == 2_000_000


def test_from_nestjs(major: Major, port: int, files: tuple[Path, Path]) -> None:
    with NestClient(major, port, host="localhost", ca=str(files[0])) as client:
        assert client.value("echo", "x" * 300_000) == "x" * 300_000


def test_to_nestjs(major: Major, files: tuple[Path, Path], trusting: ssl.SSLContext) -> None:
    with NestServer(major, env={"TLS": str(files[1])}) as server:
        assert asyncio.run(ask(Client("localhost", server.port, tls=trusting), 100_000)) == 2_000_000


def test_a_certificate_that_is_not_trusted(port: int) -> None:
    with pytest.raises(Unreachable, match="its certificate is not trusted: unable to get local issuer certificate"):
        asyncio.run(ask(Client(port=port, tls=ssl.create_default_context(), timeouts=QUICK)))


def test_a_certificate_of_another_name(authority: trustme.CA, loop: Loop, trusting: ssl.SSLContext) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("elsewhere.example").configure_cert(context)
    server = Server(port=0, tls=context)
    loop.run(server.start())
    with pytest.raises(Unreachable, match=r"its certificate is not trusted: .*not valid for '127\.0\.0\.1'"):
        asyncio.run(ask(Client(port=server.port, tls=trusting, timeouts=QUICK)))
    loop.run(server.close())


def test_a_client_without_tls(port: int) -> None:
    with pytest.raises(ConnectionLost):
        asyncio.run(ask(Client(port=port, timeouts=QUICK, retry=Retry(attempts=0))))


def test_a_server_without_tls(plain_port: int, trusting: ssl.SSLContext) -> None:
    with pytest.raises(Unreachable, match=r"is it a server with TLS|TLS failed"):
        asyncio.run(ask(Client(port=plain_port, tls=trusting, timeouts=QUICK)))
