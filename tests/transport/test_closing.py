"""What was accepted before a close is delivered, however slowly the other side reads, as long as it reads."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import trustme
import uvloop

from interop.rawpeer import request
from tcpservice_transport import Client, Limits, Server

SIZE = 24 << 20
STEP = 1 << 20
PAUSE_S = 0.1
"""SIZE takes longer than the second that a peer has to close its side once it has received everything."""

NewLoop = Callable[[], asyncio.AbstractEventLoop]
LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])


def run(scene: Coroutine[Any, Any, None], new_loop: NewLoop) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await scene

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(bounded())


async def slow_reader(port: int, **settings: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection of which the kernel keeps little."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    sock.connect(("127.0.0.1", port))
    return await asyncio.open_connection(sock=sock, limit=STEP, **settings)


async def read_slowly(reader: asyncio.StreamReader, step: Callable[[], None] = lambda: None) -> int:
    """Read until the end in steps; return how many bytes came."""
    size = 0
    while True:
        try:
            size += len(await reader.readexactly(STEP))
        except asyncio.IncompleteReadError as error:
            return size + len(error.partial)
        step()
        await asyncio.sleep(PAUSE_S)


@LOOPS
@pytest.mark.parametrize("secure", [False, True])
def test_a_reply_reaches_a_slow_reader(secure: bool, new_loop: NewLoop) -> None:
    settings: dict[str, Any] = {}
    server = Server(port=0)
    if secure:
        authority = trustme.CA()
        serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("localhost").configure_cert(serving)
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        server = Server(port=0, tls=serving)
        settings = {"ssl": trusting, "server_hostname": "localhost"}
    server.message_pattern("large")(lambda _: "x" * SIZE)

    async def scene() -> None:
        await server.start()
        reader, writer = await slow_reader(server.port, **settings)
        writer.write(request("large", None, "1"))
        await reader.readexactly(STEP)
        closing = asyncio.create_task(server.close(grace=50))
        assert await read_slowly(reader) > SIZE - STEP
        writer.close()
        await closing

    run(scene(), new_loop)


def test_a_reply_reaches_a_slow_reader_that_goes_on_asking() -> None:
    server = Server(port=0)
    server.message_pattern("small")(lambda data: data)
    server.message_pattern("large")(lambda _: "x" * SIZE)

    async def scene() -> None:
        await server.start()
        reader, writer = await slow_reader(server.port)
        writer.write(request("large", None, "1"))
        await reader.readexactly(STEP)
        closing = asyncio.create_task(server.close(grace=50))
        assert await read_slowly(reader, lambda: writer.write(request("small", None, "2"))) > SIZE - STEP
        writer.close()
        await closing

    run(scene(), asyncio.new_event_loop)


def test_who_does_not_read_holds_a_close_for_its_grace_only(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(port=0)
    server.message_pattern("large")(lambda _: "x" * SIZE)

    async def scene() -> None:
        await server.start()
        reader, writer = await slow_reader(server.port)
        writer.write(request("large", None, "1"))
        await reader.readexactly(STEP)
        await server.close(grace=0.1)
        assert server.connections == 0
        writer.transport.abort()

    run(scene(), asyncio.new_event_loop)
    assert "in time, which are lost" in caplog.text


def test_who_does_not_speak_the_protocol_and_does_not_read_is_cut_off() -> None:
    server, gone = Server(port=0, limits=Limits(stall=0.2)), asyncio.Event()
    server.message_pattern("large")(lambda _: "x" * SIZE)
    server.on_disconnect(lambda _: gone.set())

    async def scene() -> None:
        async with server:
            reader, writer = await slow_reader(server.port)
            writer.write(request("large", None, "1") + b"garbage")
            assert await reader.read(1)
            await gone.wait()
            writer.transport.abort()

    run(scene(), asyncio.new_event_loop)


@LOOPS
def test_events_reach_a_slow_server(new_loop: NewLoop) -> None:
    async def scene() -> None:
        received = asyncio.get_running_loop().create_future()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            size = await read_slowly(reader)
            writer.close()
            await writer.wait_closed()
            received.set_result(size)

        listening = await asyncio.start_server(serve, "127.0.0.1", 0, limit=STEP)
        listening.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        client = Client(port=listening.sockets[0].getsockname()[1])
        await client.emit("event", "x" * SIZE)
        await client.close(grace=50)
        assert await received > SIZE
        listening.close()
        await listening.wait_closed()

    run(scene(), new_loop)


def test_a_server_that_takes_nothing_does_not_hold_a_client_that_closes() -> None:
    async def scene() -> None:
        def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writers.append(writer)

        writers: list[asyncio.StreamWriter] = []
        listening = await asyncio.start_server(serve, "127.0.0.1", 0, limit=STEP)
        client = Client(port=listening.sockets[0].getsockname()[1])
        await client.emit("event", "x" * SIZE)
        await client.close(grace=3600)
        for writer in writers:
            writer.transport.abort()
        listening.close()

    run(scene(), asyncio.new_event_loop)
