"""Python's client of real NestJS servers sees what NestJS's own client sees, and finds its way back to them."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from interop.cells import CELLS
from interop.nest import NestServer
from interop.node import Major
from tcpservice_transport import (
    Client,
    ConnectionLost,
    NoHandlerError,
    RequestTimeout,
    Retry,
    RpcError,
    Status,
    Timeouts,
    TransportError,
    Unreachable,
)

keys = (f"key-{number}" for number in itertools.count())

OTHERWISE = {"stream-undefined-in-the-middle": [["next", 1], ["next", None], ["next", 3], ["complete"]]}
"""As NestJS 12 has it; older clients hand their apps the whole packet."""


def play(scene: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(30):
            return await scene()

    return asyncio.run(bounded())


async def events(client: Client, pattern: object, data: object) -> list[list[object]]:
    """What an observable would tell of a request."""
    seen: list[list[object]] = []
    try:
        async for value in client.stream(pattern, data):
            seen += [["next", value]]
    except RpcError as error:
        return [*seen, ["error", error.payload]]
    return [*seen, ["complete"]]


def test_every_cell_at_once(nest: NestServer) -> None:
    async def scene() -> None:
        async with Client(port=nest.port) as client:
            asked = [events(client, cell.pattern, cell.data) for cell in CELLS.values()]
            seen = dict(zip(CELLS, await asyncio.gather(*asked), strict=True))
            assert client.in_flight == 0
        expected = {name: OTHERWISE.get(name, cell.events) for name, cell in CELLS.items()}
        assert seen == expected

    play(scene)


def test_one_value_none_and_errors(nest: NestServer) -> None:
    async def scene() -> None:
        async with Client(port=nest.port) as client:
            assert await client.send({"cmd": "sum"}, [1, 2, 3]) == 6
            assert await client.send("undef") is None
            assert await client.send("nul") is None
            assert await client.send("stream", {"n": 3}) == 3
            assert await client.send("typeofd") == "object"
            with pytest.raises(NoHandlerError) as nobody:
                await client.send("nobody")
            assert nobody.value.code == "no_handler"
            with pytest.raises(RpcError, match=r"^no$") as raised:
                await client.send("boom", {"code": "own", "message": "no"})
            assert (raised.value.code, raised.value.payload) == ("own", {"code": "own", "message": "no"})

    play(scene)


def test_events_reach_each_handler_once(nest: NestServer) -> None:
    async def scene() -> None:
        key = {"key": next(keys)}
        async with Client(port=nest.port) as client:
            for pattern in ("ev", {"b": 1, "a": "x"}, 5, "evCrash", "once", "nobody"):
                await client.emit(pattern, key)
            ran = await client.send("runs", 1)
        names = ["ev1", "ev2", "objectEvent", "numberEvent", "evCrash", "once"]
        assert [ran.get(f"{name}:{key['key']}") for name in names] == [1] * len(names)

    play(scene)


def test_metadata(nest: NestServer, major: Major) -> None:
    async def scene() -> None:
        async with Client(port=nest.port) as client:
            seen = await client.send("metadata", metadata={"tenant": "größe"})
        assert seen == ({"tenant": "größe"} if major == 12 else None)

    play(scene)


def test_hundreds_at_once_run_once_each_in_one_connection(nest: NestServer) -> None:
    async def scene() -> None:
        wanted = [next(keys) for _ in range(300)]
        async with Client(port=nest.port) as client:
            assert await asyncio.gather(*(client.send("once", key) for key in wanted)) == [1] * 300

    play(scene)


def test_leaving_a_stream_early(nest: NestServer) -> None:
    async def scene() -> None:
        key = next(keys)
        async with Client(port=nest.port) as client:
            stream = client.stream("ticks", {"n": 30, "every": 2, "key": key})
            assert [await anext(stream), await anext(stream)] == [0, 1]
            await stream.aclose()
            assert client.in_flight == 0
            assert await client.send("ran", {"key": f"ticks:{key}", "times": 30}) == 30

    play(scene)


def test_a_timeout_and_a_cancelled_call_leave_the_connection_usable(nest: NestServer) -> None:
    async def scene() -> None:
        key = next(keys)
        async with Client(port=nest.port) as client:
            await client.connect()
            with pytest.raises(RequestTimeout, match=r"did not answer within 0\.05 s"):
                await client.send("gate", key, timeout=0.05)
            held = asyncio.create_task(client.send("gate", key))
            await client.send("ran", {"key": f"gate:{key}", "times": 2})
            held.cancel()
            with pytest.raises(asyncio.CancelledError):
                await held
            assert client.in_flight == 0
            assert await client.send("open", key) is True
            assert await client.send("echo", "after") == "after"

    play(scene)


def test_a_load_on_which_nestjs_stops_reading_finishes(nest: NestServer) -> None:
    async def scene() -> None:
        text = "x" * (256 * 1024)
        async with Client(port=nest.port) as client:
            answers = await asyncio.gather(*(client.send("echo", text) for _ in range(64)))
        assert answers == [text] * 64

    play(scene)


def test_a_server_that_dies_ends_what_is_awaited_and_is_found_again(major: Major) -> None:
    async def scene() -> None:
        seen: list[Status] = []
        with NestServer(major, name="mortal") as server:
            async with Client(port=server.port, on_status=seen.append) as client:
                held = asyncio.create_task(client.send("gate", "held", idempotent=False))
                await client.send("ran", {"key": "gate:held"})
                await asyncio.to_thread(server.kill)
                with pytest.raises(ConnectionLost, match="Connection closed"):
                    await held
                later = asyncio.create_task(client.send("who"))
                await asyncio.to_thread(server.start)
                assert await later == "mortal"
                assert client.status == "connected"
        states = [status.state for status in seen]
        assert (states[0], states[1], states[-1]) == ("connected", "disconnected", "disconnected")
        assert states.count("connected") == 2

    play(scene)


def test_what_is_idempotent_is_asked_again(major: Major) -> None:
    async def scene() -> None:
        with NestServer(major, name="first") as first, NestServer(major, name="second") as second:
            async with Client(addresses=[first.address, second.address], connections=1) as client:
                answers = {await client.send("who") for _ in range(50)}
                assert answers == {"first", "second"}
                asked = [asyncio.create_task(client.send("slow", 300, idempotent=True)) for _ in range(20)]
                await client.send("who")
                await asyncio.to_thread(first.kill)
                assert await asyncio.gather(*asked) == [{"slept": 300}] * 20

    play(scene)


def test_a_server_that_hangs(major: Major) -> None:
    async def scene() -> None:
        with NestServer(major, name="hanging") as server:
            async with Client(port=server.port, timeouts=Timeouts(request=0.3)) as client:
                assert await client.send("who", timeout=10) == "hanging"
                server.signal(signal.SIGSTOP)
                try:
                    with pytest.raises(RequestTimeout):
                        await client.send("who")
                finally:
                    server.signal(signal.SIGCONT)
                assert await client.send("who", timeout=10) == "hanging"

    play(scene)


@pytest.mark.parametrize(
    ("host", "reason"),
    [("127.0.0.1", "Connection refused"), ("localhost", "Connection refused"), ("no-such-host.invalid", "")],
)
def test_nobody_there(host: str, reason: str) -> None:
    async def scene() -> None:
        for connect in (0, 0.2):
            async with Client(host, 1, timeouts=Timeouts(connect=connect), retry=Retry(attempts=0)) as client:
                for ask in (lambda: client.send("a"), lambda: client.emit("a"), client.connect):
                    with pytest.raises(Unreachable, match=f"cannot connect to {host}:1 .*{reason}") as raised:
                        await ask()
                    assert isinstance(raised.value, TransportError)
                    assert isinstance(raised.value, ConnectionError)

    play(scene)
