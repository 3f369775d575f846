"""Peers of a server that take their replies slowly, or not at all: progress decides who is cut off, not size."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from interop.rawpeer import request
from tcpservice.snapshot import SECOND
from tcpservice_transport import Client, Limits, Server
from transport.test_closing import LOOPS, PAUSE_S, SIZE, STEP, NewLoop, read_slowly, run, slow_reader

LITTLE = Limits(unread=64 * 1024)
"""Far less than one of the replies here."""


class Reads:
    """The server's time, by the steps of the one who reads: it passes for neither while the machine stands still."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._now = 0
        monkeypatch.setattr("tcpservice_transport.unread.time", SimpleNamespace(monotonic_ns=lambda: self._now))

    def count(self) -> None:
        """Note a step."""
        self._now += int(PAUSE_S * SECOND)


@LOOPS
def test_who_takes_replies_slowly_gets_all_of_them_however_much_waits(
    new_loop: NewLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = Reads(monkeypatch)
    server = Server(port=0, limits=LITTLE)
    server.message_pattern("large")(lambda _: "x" * SIZE)

    async def scene() -> None:
        async with server:
            reader, writer = await slow_reader(server.port)
            writer.write(request("large", None, "1"))
            writer.write_eof()
            assert await read_slowly(reader, reads.count) > SIZE
            writer.close()

    run(scene(), new_loop)


@LOOPS
@pytest.mark.parametrize("limits", [LITTLE, Limits(stall=0.2)], ids=["more than may wait", "less"])
def test_who_takes_nothing_is_cut_off(limits: Limits, new_loop: NewLoop) -> None:
    server, gone = Server(port=0, limits=limits), asyncio.Event()
    server.message_pattern("large")(lambda _: "x" * SIZE)
    server.on_disconnect(lambda _: gone.set())

    async def scene() -> None:
        async with server:
            _, writer = await slow_reader(server.port)
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(request("large", None, "1"))
            await asyncio.wait_for(gone.wait(), 30)
            writer.transport.abort()

    run(scene(), new_loop)


@LOOPS
def test_who_takes_replies_slowly_is_not_read_meanwhile_and_others_are(
    new_loop: NewLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    Reads(monkeypatch)
    server, asked = Server(port=0, limits=LITTLE), list[object]()
    server.message_pattern("large")(lambda _: "x" * SIZE)
    server.message_pattern("small")(asked.append)

    async def scene() -> None:
        async with server, Client(port=server.port) as other:
            reader, writer = await slow_reader(server.port)
            writer.write(request("large", None, "1"))
            await reader.readexactly(STEP)
            writer.write(request("small", "slow", "2"))
            await other.send("small", "other")
            await reader.readexactly(STEP)
            await other.send("small", "other")
            assert asked == ["other", "other"]
            while "slow" not in asked:
                assert await reader.read(STEP)
            writer.close()

    run(scene(), new_loop)
