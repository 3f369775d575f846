"""Python's client with a real NestJS server, a real NestJS client with Python's server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest

from interop.nest import ClientProcess, NestClient, NestServer
from interop.node import MAJORS, Major
from tcpservice_transport import Client, ConnectionLost, Context, RemoteError, Server
from transport.loop import Loop


@pytest.fixture(scope="module", params=MAJORS)
def nest(request: pytest.FixtureRequest) -> Iterator[NestServer]:
    with NestServer(request.param, name="nest") as server:
        yield server


def talk(server: NestServer, say: Callable[[Client], Coroutine[Any, Any, Any]]) -> Any:
    async def conversation() -> Any:
        async with asyncio.timeout(20), await Client.connect("127.0.0.1", server.port) as client:
            return await say(client)

    with asyncio.Runner() as runner:
        return runner.run(conversation())


def test_values_come_back_as_they_were_sent(nest: NestServer) -> None:
    values: list[object] = [None, 0, 1.5, "é😀\x00", [1, {"a": []}], {"k": "v"}, "x" * 300_000]

    async def say(client: Client) -> list[object]:
        return list(await asyncio.gather(*(client.send("echo", value) for value in values)))

    assert talk(nest, say) == values


def test_an_error_is_raised(nest: NestServer) -> None:
    async def say(client: Client) -> object:
        with pytest.raises(RemoteError) as raised:
            await client.send({"no": "such handler"}, 1)
        return raised.value.error

    assert talk(nest, say) == "There is no matching message handler defined in the remote service."


def test_an_event_is_heard_and_the_connection_goes_on(nest: NestServer) -> None:
    async def say(client: Client) -> object:
        await client.emit({"any": "event"}, 1)
        return await client.send("echo", "after")

    assert talk(nest, say) == "after"


def test_a_server_that_dies_ends_what_is_awaited() -> None:
    with NestServer(12, name="mortal") as server:

        async def say(client: Client) -> None:
            pending = asyncio.ensure_future(client.send("gate", "held"))
            await client.send("echo", 1)
            server.kill()
            with pytest.raises(ConnectionLost):
                await pending
            with pytest.raises(ConnectionLost):
                await client.send("echo", 1)

        talk(server, say)


# Python's server


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    running = Loop()
    yield running
    running.close()


@pytest.fixture(scope="module")
def heard() -> list[object]:
    return []


@pytest.fixture(scope="module")
def port(loop: Loop, heard: list[object]) -> Iterator[int]:
    server = Server()

    @server.message_pattern({"cmd": "sum"})
    async def add(data: object, _: Context) -> object:
        assert isinstance(data, list)
        return sum(data)

    @server.message_pattern("count")
    async def count(data: object, _: Context) -> AsyncIterator[object]:
        assert isinstance(data, int)
        for number in range(data):
            yield number

    @server.message_pattern("fail")
    async def fail(data: object, _: Context) -> object:
        if data == "own":
            raise RemoteError({"code": "own"})
        raise RuntimeError("inside")

    @server.message_pattern("meta")
    async def meta(_: object, context: Context) -> object:
        return context.metadata

    @server.event_pattern("created")
    async def hear(data: object, context: Context) -> None:
        heard.append((data, context.pattern))

    @server.event_pattern("created")
    async def stumble(_: object, __: Context) -> None:
        raise RuntimeError("inside an event")

    _, bound = loop.run(server.listen("127.0.0.1", 0))
    yield bound
    loop.run(server.close())


@pytest.fixture(scope="module", params=MAJORS)
def caller(request: pytest.FixtureRequest, port: int) -> Iterator[NestClient]:
    major: Major = request.param
    with ClientProcess(major) as process, NestClient(major, port, process=process) as client:
        yield client


def test_nestjs_gets_values_and_streams(caller: NestClient) -> None:
    assert caller.value({"cmd": "sum"}, [1, 2, 3]) == 6
    assert caller.send("count", 3) == [["next", 0], ["next", 1], ["next", 2], ["complete"]]
    assert caller.send("count", 0) == [["complete"]]


def test_nestjs_gets_errors(caller: NestClient) -> None:
    assert caller.send("fail", "own") == [["error", {"code": "own"}]]
    assert caller.send("fail", 1) == [["error", {"status": "error", "message": "Internal server error"}]]
    assert caller.send("nothing", 1)[0][0] == "error"


def test_nestjs_events_are_heard(caller: NestClient, heard: list[object]) -> None:
    heard.clear()
    caller.emit("created", {"id": 7})
    assert caller.value({"cmd": "sum"}, [1]) == 1
    assert heard == [({"id": 7}, "created")]


def test_a_pattern_has_one_handler_and_must_be_one() -> None:
    server = Server()
    server.message_pattern("a")
    server.message_pattern({"cmd": "a"})(_nothing)
    with pytest.raises(ValueError, match="has a handler already"):
        server.message_pattern('{"cmd":"a"}')
    with pytest.raises(ValueError, match="no message can have the pattern None"):
        server.event_pattern(None)


async def _nothing(_: object, __: Context) -> object:
    return None
