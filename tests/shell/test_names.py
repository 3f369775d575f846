"""Names: from /etc/hosts and a name server, within a time limit, and all their addresses."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from shell.test_channel import Scene, end, run
from tcpservice.snapshot import Endpoint
from tcpservice_sidecar.connector import Connector
from tcpservice_sidecar.hosts import Hosts
from tcpservice_sidecar.names import Names
from tcpservice_sidecar.security import Plain
from tcpservice_sidecar.stream import Stream
from tcpservice_sockets.channel import PlainChannel
from tcpservice_sockets.connecting import connect_error

__all__ = ["run"]


class Fixed(Names):
    """Knows one host."""

    async def addresses(self, host: str) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"] if host == "orders.local" else await super().addresses(host)


def test_names_of_this_machine_are_known(run: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        names = Names()
        assert "127.0.0.1" in await names.addresses("localhost")
        assert await names.addresses("10.0.0.1") == ["10.0.0.1"]
        assert await names.addresses("::1") == ["::1"]
        await names.close()

    run(scene)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 64])
def test_a_name_that_does_not_exist_is_an_error_of_the_system(host: str, run: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        names = Names()
        with pytest.raises(OSError, match=r"\w"):
            await names.addresses(host)
        await names.close()

    run(scene)


def test_a_name_server_that_is_silent_is_given_up(
    run: Callable[[Scene], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tcpservice_sidecar.names.LIMIT_S", 0.3)

    async def scene() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            names = Names(nameservers=[f"127.0.0.1:{silent.getsockname()[1]}"], timeout=30.0)
            with pytest.raises(TimeoutError, match=r"the name server did not answer in 0\.3 s"):
                await names.addresses("orders.shop.svc.cluster.local.")
            assert silent.recv(512), "it was asked"
            await names.close()

    run(scene)


def test_each_address_of_a_name_is_tried(run: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        theirs, ours = Stream(), Stream()
        server = await asyncio.get_running_loop().create_server(lambda: PlainChannel(theirs), "127.0.0.1", 0)
        endpoint = Endpoint(host="orders.local", port=server.sockets[0].getsockname()[1], name="orders")
        channel = await Connector(Plain(), Hosts(), Fixed()).connect(endpoint, ours)
        channel.write([b"x"])
        assert await theirs.read() == b"x"
        await end(server, ours, theirs)

    run(scene)


@pytest.mark.parametrize("host", ["orders.local", "127.0.0.1", "localhost"])
def test_a_port_that_nobody_has_is_refused_in_nodes_words(host: str, run: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        endpoint = Endpoint(host=host, port=port, name="orders")
        with pytest.raises(OSError) as raised:  # noqa: PT011 - its number is what counts
            await Connector(Plain(), Hosts(), Fixed()).connect(endpoint, Stream())
        assert connect_error(raised.value, host, port) == f"connect ECONNREFUSED {host}:{port}"

    run(scene)
