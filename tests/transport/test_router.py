"""Routers, methods as handlers, and what lives as long as a server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from tcpservice_transport import Client, ListenError, PatternError, Router, RpcError, Server

orders = Router()


class Orders:
    """A service with a dependency."""

    def __init__(self, known: dict[int, str]) -> None:
        self.known = known
        self.heard: list[object] = []

    @orders.message_pattern("order.find")
    async def find(self, order_id: int) -> str:
        return self.known[order_id]

    @orders.event_pattern("order.created")
    def created(self, data: object) -> None:
        self.heard.append(data)


class Others:
    """A class without those methods."""


@orders.message_pattern("version")
def version() -> int:
    return 7


def three(data: object, context: object, more: object) -> object:
    return data, context, more


def test_a_router_has_functions_and_methods_of_an_object() -> None:
    async def talk() -> None:
        server, service = Server(port=0), Orders({1: "one"})
        server.include(orders, service)
        async with server, Client(port=server.port) as client:
            assert await client.send("order.find", 1) == "one"
            assert await client.send("version") == 7
            await client.emit("order.created", {"id": 1})
            with pytest.raises(RpcError, match="Expected `int`"):
                await client.send("order.find", "one")
        assert service.heard == [{"id": 1}]

    asyncio.run(talk())


@pytest.mark.parametrize("owner", [None, Others(), Orders])
def test_methods_need_an_object_of_their_class(owner: object) -> None:
    if owner is Orders:
        Server().include(orders, Orders({}))
        return
    with pytest.raises(PatternError, match=r"Orders.find is a method: .* server.include\(router, Orders\(\)\)"):
        Server().include(orders, owner)


def test_a_wrong_declaration_raises_where_it_stands() -> None:
    router = Router()
    with pytest.raises(PatternError, match="expected a pattern"):
        router.message_pattern("")(version)
    with pytest.raises(PatternError, match=r"expected .*\(data, context\)"):
        router.message_pattern("a")(three)


def test_a_pattern_has_one_handler_over_all_routers() -> None:
    server = Server()
    server.include(orders, Orders({}))
    with pytest.raises(PatternError, match=r"order.find has a handler already"):
        server.include(orders, Orders({}))


def test_a_lifespan_begins_before_the_server_listens_and_ends_after_its_last_handler() -> None:
    said: list[str] = []

    @asynccontextmanager
    async def lifespan(server: Server) -> AsyncIterator[None]:
        said.append(f"begins, {server.connections} connections")
        server.include(orders, Orders({1: "one"}))
        yield
        said.append(f"ends, {server.in_flight} in flight")

    async def talk() -> None:
        server = Server(port=0, lifespan=lifespan)

        @server.message_pattern("slow")
        async def slow() -> None:
            await asyncio.sleep(0.05)
            said.append("handled")

        await server.start()
        async with Client(port=server.port) as client:
            assert await client.send("order.find", 1) == "one"
            asking = asyncio.ensure_future(client.send("slow"))
            while not server.in_flight:
                await asyncio.sleep(0.001)
            await server.close()
            await asking

    asyncio.run(talk())
    assert said == ["begins, 0 connections", "handled", "ends, 0 in flight"]


def test_a_lifespan_ends_where_the_server_cannot_listen() -> None:
    said: list[str] = []

    @asynccontextmanager
    async def lifespan(_: Server) -> AsyncIterator[None]:
        yield
        said.append("ends")

    async def start(port: int) -> None:
        with pytest.raises(ListenError):
            await Server(port=port, lifespan=lifespan).start()

    with socket.create_server(("127.0.0.1", 0)) as taken:
        asyncio.run(start(taken.getsockname()[1]))
    assert said == ["ends"]


def test_what_is_no_router_and_no_lifespan_is_refused() -> None:
    with pytest.raises(PatternError, match=r"include: expected a Router, got"):
        Server().include(cast("Router", Others()))

    async def lifespan(_: Server) -> AsyncIterator[None]:
        yield

    async def start() -> None:
        with pytest.raises(TypeError, match=r"decorate the function with contextlib.asynccontextmanager"):
            await Server(port=0, lifespan=cast("Any", lifespan)).start()

    asyncio.run(start())
