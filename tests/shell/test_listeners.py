"""Listeners that stop and start: a closed port is closed, and nobody else gets it meanwhile."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from contextlib import suppress

import pytest

import tcpservice_sidecar.listeners
from interop.rawpeer import RawReplica, request
from shell.running import reply
from shell.test_channel import KEY, ORDERS, Place, Scene, opaque, run
from tcpservice.snapshot import Endpoint, Service
from tcpservice_flags import Address
from tcpservice_sidecar.security import Plain

__all__ = ["run"]


async def is_refused(where: Address) -> bool:
    """Whether a connect there is refused."""
    try:
        _, writer = await asyncio.open_connection(*where)
    except ConnectionRefusedError:
        return True
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return False


async def become(where: Address, *, refused: bool) -> None:
    while await is_refused(where) is not refused:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "*"])
@pytest.mark.parametrize("front", [False, True])
@pytest.mark.parametrize("service", [ORDERS, opaque()], ids=["NestJS", "Opaque"])
def test_a_port_is_closed_and_open_again(
    host: str, front: bool, service: Service, run: Callable[[Scene], None]
) -> None:
    async def scene() -> None:
        place = Place(Plain(), service)
        bound = await place.listeners.listen(service, Address(host, 0), front=front)
        where = Address("127.0.0.1", bound.port)
        for _ in range(3):
            assert not await is_refused(where)
            place.listeners.stop_listening(KEY)
            place.listeners.stop_listening(KEY)
            await become(where, refused=True)
            for reuse in (0, 1):
                with socket.socket() as other:
                    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
                    with pytest.raises(OSError, match="in use"):
                        other.bind(tuple(where))
            place.listeners.start_listening(KEY)
            place.listeners.start_listening(KEY)
            await become(where, refused=False)
        place.listeners.close()
        await become(where, refused=True)
        place.listeners.start_listening(KEY)
        await asyncio.sleep(0.05)
        assert await is_refused(where), "it is closed for good"
        socket.create_server(tuple(where)).close()

    run(scene)


def test_connections_that_stand_stay_and_other_services_are_not_touched(run: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        with RawReplica() as replica:
            endpoint = Endpoint(host="127.0.0.1", port=replica.port, name="a")
            service = Service(namespace="shop", name="orders", port=3001, endpoints=(endpoint,))
            other = Service(namespace="shop", name="billing", port=3002)
            place = Place(Plain(), service, other)
            where = await place.listeners.listen(service, Address("127.0.0.1", 0))
            elsewhere = await place.listeners.listen(other, Address("127.0.0.1", 0))
            reader, writer = await asyncio.open_connection(*where)
            for number in "12":
                place.listeners.stop_listening(KEY)
                await become(where, refused=True)
                assert not await is_refused(elsewhere)
                writer.write(request("sum", 1, number))
                arrived = await asyncio.to_thread(replica.next)
                arrived.answer(reply(arrived.id))
                assert await reader.readexactly(len(reply(number))) == reply(number)
                place.listeners.start_listening(KEY)
                await become(where, refused=False)
            writer.close()
            place.listeners.close()

    run(scene)


def test_the_last_word_counts(run: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        place = Place(Plain(), ORDERS)
        where = await place.listeners.listen(ORDERS, Address("127.0.0.1", 0))
        place.listeners.stop_listening(KEY)
        place.listeners.start_listening(KEY)
        place.listeners.stop_listening(KEY)
        await asyncio.sleep(0.05)
        assert await is_refused(where)
        place.listeners.start_listening(KEY)
        place.listeners.stop_listening(KEY)
        place.listeners.start_listening(KEY)
        await become(where, refused=False)
        place.listeners.stop_listening(KEY)
        place.listeners.start_listening(KEY)
        place.listeners.close()
        await asyncio.sleep(0.05)
        assert await is_refused(where)

    run(scene)


def test_a_system_that_cannot_reserve_tries_until_it_has_the_port_again(
    run: Callable[[Scene], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcpservice_sidecar.listeners, "reserve", lambda _: False)
    monkeypatch.setattr(tcpservice_sidecar.listeners, "_AGAIN_S", 0.05)

    async def scene() -> None:
        place = Place(Plain(), ORDERS)
        where = await place.listeners.listen(ORDERS, Address("127.0.0.1", 0))
        place.listeners.stop_listening(KEY)
        await become(where, refused=True)
        with socket.create_server(tuple(where)):
            place.listeners.start_listening(KEY)
            while not place.log.getvalue():
                await asyncio.sleep(0.01)
        line = json.loads(place.log.getvalue().splitlines()[0])
        assert (line["event"], line["service"]) == ("listen_failed", KEY)
        assert f"--listen: cannot listen on {where} again: another program listens there" in line["message"]
        await become(where, refused=False)
        place.listeners.close()

    run(scene)
