"""The I/O seam: what is above a channel behaves the same over TCP, over TLS, and over a double without a socket."""

from __future__ import annotations

import asyncio
import io
import socket
import ssl
import struct
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import pytest
import trustme
import uvloop
from msgspec.structs import replace

from interop.rawpeer import RawReplica, request
from shell.running import reply
from shell.secured import Mutual, context_for, mutual
from tcpservice.exchange import Bounds, Exchange
from tcpservice.snapshot import Endpoint, Protocol, Service, Snapshot
from tcpservice_flags import Address
from tcpservice_sidecar.connector import Connector
from tcpservice_sidecar.hosts import Hosts
from tcpservice_sidecar.io import UNACCEPTED, Connection, ExchangeIO, now_ns
from tcpservice_sidecar.listeners import Listeners
from tcpservice_sidecar.logs import Log
from tcpservice_sidecar.names import Names
from tcpservice_sidecar.relay import Relays
from tcpservice_sidecar.security import Plain
from tcpservice_sidecar.stream import Stream
from tcpservice_sidecar.tls import TlsChannel
from tcpservice_sockets.channel import Channel, PlainChannel, Receiver

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]
ORDERS = Service(namespace="shop", name="orders", port=3001)
KEY = ORDERS.key
SECONDS = 20

Loop = Callable[[], asyncio.AbstractEventLoop]
Scene = Callable[[], Coroutine[None, None, None]]


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[Scene], None]:
    """Run a scene on one of the event loops, then end the sidecars that it made."""
    monkeypatch.setattr("tcpservice_sidecar.io.LINGER_S", 0.02)

    async def whole(scene: Scene) -> None:
        Place.made.clear()
        try:
            await scene()
        finally:
            for place in Place.made:
                await place.end()

    def running(scene: Scene) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(asyncio.wait_for(whole(scene), SECONDS))

    return running


@pytest.fixture(params=["TCP", "TLS"])
def security(request: pytest.FixtureRequest, tmp_path: Path) -> Plain:
    return mutual(tmp_path) if request.param == "TLS" else Plain()


class Noting(Exchange):
    """An exchange that records each size passed to `backlog`."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(bounds)
        self.waiting: list[int] = []

    def backlog(self, conn: int, size: int, now: int) -> None:
        self.waiting.append(size)
        super().backlog(conn, size, now)


class Place:
    """One sidecar inside the test's process, with the security that the test wants."""

    made: ClassVar[list[Place]] = []

    def __init__(self, security: Plain, *services: Service, bounds: Bounds | None = None) -> None:
        self.log = io.StringIO()
        self.exchange = Noting(bounds or Bounds())
        connector = Connector(security, Hosts(), Names())
        self.io = ExchangeIO(self.exchange, connector, asyncio.get_running_loop())
        log = Log(self.log, "json")
        relays = Relays(self.io, connector, log, Bounds().queue_timeout)
        self.io.hand_over = relays.take_over
        self.io.on_notice = lambda *_: None
        self.io.on_finished = lambda _: None
        self.listeners = Listeners(self.io, relays, security, log)
        self.exchange.swap(Snapshot(services=services), now_ns())
        self.made.append(self)

    async def end(self) -> None:
        """Close all connections, and wait until they are closed."""
        self.listeners.close()
        self.exchange.shut(now_ns())
        self.io.touch()
        while self.io.open or self.listeners._relays._tasks:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)


async def reached(security: Plain, peer: Stream) -> tuple[Connector, Endpoint, asyncio.Server]:
    """Listen as the mesh listener does; give what is needed to dial that."""
    context = security.for_mesh_listener()
    loop = asyncio.get_running_loop()

    def made() -> PlainChannel:
        return PlainChannel(peer if context is None else TlsChannel(context, peer, server=True))

    server = await loop.create_server(made, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    return Connector(security, Hosts(), Names()), Endpoint(host="127.0.0.1", port=port, name="peer", mesh=True), server


async def end(server: asyncio.Server, *streams: Stream) -> None:
    """Close all, and wait for it."""
    server.close()
    for stream in streams:
        if hasattr(stream, "channel"):
            stream.channel.abort()
            while stream._closed is None:
                await asyncio.sleep(0.01)


def test_bytes_go_both_ways_and_each_direction_ends_by_itself(security: Plain, run: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        ours, theirs = Stream(), Stream()
        connector, endpoint, server = await reached(security, theirs)
        channel = await connector.connect(endpoint, ours)
        channel.write([b"one, ", b"two, ", b"three\n"])
        assert await theirs.read_line(100) == b"one, two, three\n"
        channel.half_close()
        assert await theirs.read() == b"", "they see the end"
        large = bytes(range(256)) * 40_000
        theirs.channel.write([large, b"!"])
        theirs.channel.close()
        taken = b""
        while data := await ours.read():
            taken += data
        assert taken == large + b"!", "and what they sent behind our end still comes"
        await end(server, ours, theirs)

    run(scene)


def test_the_peer_is_named_by_its_certificate(security: Plain, run: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        ours, theirs = Stream(), Stream()
        connector, endpoint, server = await reached(security, theirs)
        channel = await connector.connect(endpoint, ours)
        channel.write([b"x"])
        await theirs.read()
        expected = ("orders", "web") if isinstance(security, Mutual) else (None, None)
        named = [f"spiffe://cluster.local/ns/shop/sa/{name}" if name else None for name in expected]
        assert [channel.identity, theirs.channel.identity] == named
        assert channel.peer == f"127.0.0.1:{endpoint.port}"
        await end(server, ours, theirs)

    run(scene)


def test_what_a_peer_does_not_take_waits_and_is_counted(security: Plain, run: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        ours, theirs = Stream(), Stream()
        connector, endpoint, server = await reached(security, theirs)
        channel = await connector.connect(endpoint, ours)
        channel.write([b"x"])
        await theirs.read()
        theirs.channel.pause_reading()
        part = bytes(1 << 20)
        for _ in range(32):
            channel.write([part])
            await asyncio.sleep(0)
        assert channel.unsent > 1 << 20
        theirs.channel.resume_reading()
        size = 0
        while size < 32 << 20:
            size += len(await theirs.read())
        while channel.unsent:
            await asyncio.sleep(0.01)
        await end(server, ours, theirs)

    run(scene)


@pytest.mark.parametrize("wrong", ["authority", "protocol", "silence"])
def test_a_handshake_that_fails_is_a_failed_dial(
    wrong: str, run: Callable[[Scene], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tcpservice_sidecar.tls.HANDSHAKE_S", 0.2)
    other = context_for("spiffe://x/y", trustme.CA(key_type=trustme.KeyType.ECDSA), tmp_path, server=True)

    async def scene() -> None:
        ours, theirs = Stream(), Stream()
        here = mutual(tmp_path)
        listening = Mutual(other, other) if wrong == "authority" else Plain()
        _, endpoint, server = await reached(listening, theirs)
        dial = asyncio.create_task(Connector(here, Hosts(), Names()).connect(endpoint, ours))
        if wrong == "protocol":
            while not hasattr(theirs, "channel"):
                await asyncio.sleep(0.01)
            theirs.channel.write([b"HTTP/1.1 400 Bad Request\r\n\r\n"])
        with pytest.raises(ConnectionError, match=r"TLS|timed out"):
            await dial
        assert not hasattr(ours, "channel"), "the receiver never hears of it"
        await end(server, theirs)

    run(scene)


def test_an_end_without_a_farewell_is_a_broken_tls_connection(run: Callable[[Scene], None], tmp_path: Path) -> None:
    async def scene() -> None:
        ours, theirs = Stream(), Stream()
        connector, endpoint, server = await reached(mutual(tmp_path), theirs)
        channel = await connector.connect(endpoint, ours)
        channel.write([b"x"])
        await theirs.read()
        assert isinstance(channel, TlsChannel)
        channel._channel.half_close()
        await theirs.read()
        assert theirs._closed is not None, "it is closed, not ended"
        await end(server, ours, theirs)

    run(scene)


def test_a_message_crosses_two_sidecars(security: Plain, run: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        with RawReplica() as replica:
            pod = Place(security, ORDERS)
            pod.exchange.add_app(ORDERS, Endpoint(host="127.0.0.1", port=replica.port, name="app"), now_ns())
            _, port = await pod.listeners.listen_mesh(Address("127.0.0.1", 0))
            endpoint = Endpoint(host="127.0.0.1", port=port, name="a", mesh=True)
            service = Service(namespace="shop", name="orders", port=3001, endpoints=(endpoint,))
            caller = Place(security, service)
            where = await caller.listeners.listen(service, Address("127.0.0.1", 0))
            reader, writer = await asyncio.open_connection(*where)
            writer.write(request("sum", 1, "1"))
            arrived = await asyncio.to_thread(replica.next)
            arrived.answer(reply(arrived.id))
            assert await reader.readexactly(len(reply("1"))) == reply("1")
            writer.close()

    run(scene)


def opaque(*endpoints: Endpoint) -> Service:
    return Service(namespace="shop", name="orders", port=3001, protocol=Protocol.OPAQUE, endpoints=endpoints)


def test_an_opaque_connection_crosses_two_sidecars_and_ends_in_one_direction(
    security: Plain, run: Callable[[Scene], None]
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"welcome " + await reader.read())
        writer.close()

    async def scene() -> None:
        app = await asyncio.start_server(answer, "127.0.0.1", 0)
        pod = Place(security, opaque())
        pod.exchange.add_app(
            opaque(), Endpoint(host="127.0.0.1", port=app.sockets[0].getsockname()[1], name="app"), now_ns()
        )
        _, port = await pod.listeners.listen_mesh(Address("127.0.0.1", 0))
        service = opaque(Endpoint(host="127.0.0.1", port=port, name="a", mesh=True))
        caller = Place(security, service)
        where = await caller.listeners.listen(service, Address("127.0.0.1", 0))
        reader, writer = await asyncio.open_connection(*where)
        large = bytes(range(256)) * 20_000
        writer.write(large)
        writer.write_eof()
        assert await reader.read() == b"welcome " + large
        writer.close()
        while caller.exchange._state.connections or pod.exchange._state.connections:
            await asyncio.sleep(0.01)
        app.close()

    run(scene)


def test_a_reset_during_the_dial_leaves_nothing_behind(run: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        with RawReplica() as replica:
            place = Place(Plain(), service := opaque(Endpoint(host="127.0.0.1", port=replica.port, name="a")))
            dialled, go_on = asyncio.Event(), asyncio.Event()
            connector = place.listeners._relays._connector
            connect = connector.connect

            async def slowly(endpoint: Endpoint, receiver: Receiver) -> Channel:
                dialled.set()
                await go_on.wait()
                return await connect(endpoint, receiver)

            connector.connect = slowly  # type: ignore[method-assign]
            where = await place.listeners.listen(service, Address("127.0.0.1", 0))
            _, writer = await asyncio.open_connection(*where)
            await dialled.wait()
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            await asyncio.sleep(0.05)
            go_on.set()
            while place.exchange._state.connections:
                await asyncio.sleep(0.01)
            (seen,) = place.exchange.services()
            assert [endpoint.in_flight for endpoint in seen.endpoints] == [0]

    run(scene)


class Double:
    """A channel without anything below it."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.sent: list[bytes] = []
        self.done: list[str] = []
        self.peer, self.identity, self.unsent, self.closing = "double:1", None, 0, False
        self.undelivered = 0
        receiver.opened(self)

    def write(self, parts: list[bytes]) -> None:
        self.sent.append(b"".join(parts))

    def half_close(self) -> bool:
        self.done.append("half_close")
        return True

    def close(self) -> None:
        self.done.append("close")
        self._end()

    def abort(self) -> None:
        self.done.append("abort")
        self._end()

    def _end(self) -> None:
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self.receiver.closed, "it is closed")

    def pause_reading(self) -> None:
        self.done.append("pause")

    def resume_reading(self) -> None:
        self.done.append("resume")

    def acknowledge(self) -> None:
        self.done.append("acknowledge")

    def hand_over(self, receiver: Receiver) -> None:
        self.receiver = receiver


def test_a_connection_that_is_paused_is_not_read_again_in_the_same_turn(run: Callable[[Scene], None]) -> None:
    """uvloop reads a socket up to 32 times in a turn, 250 KB each."""

    async def scene() -> None:
        place = Place(Plain(), replace(ORDERS, awaited=True), bounds=Bounds(downstream_requests=2))
        accept = lambda: place.exchange.accept(ORDERS, now_ns())  # noqa: E731
        caller = Double(Connection(place.io, UNACCEPTED, upstream=False, accept=accept))
        caller.receiver.received(request("sum", 1, "1"))
        assert caller.done == []
        caller.receiver.received(request("sum", 1, "2") + request("sum", 1, "3"))
        assert caller.done == ["pause"]
        await asyncio.sleep(0.01)
        assert "resume" not in caller.done
        caller.abort()

    run(scene)


def test_the_exchange_works_over_a_channel_that_has_no_socket(
    run: Callable[[Scene], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        monkeypatch.setattr("tcpservice_sidecar.io.LINGER_S", SECONDS)  # it is not what is waited for here
        place = Place(Plain(), ORDERS)
        accept = lambda: place.exchange.accept(ORDERS, now_ns())  # noqa: E731
        caller = Double(Connection(place.io, UNACCEPTED, upstream=False, accept=accept))
        caller.receiver.received(request("sum", 1, "1") + request("sum", 1, "2"))
        await asyncio.sleep(0.01)
        (sent,) = caller.sent
        assert sent.count(b"no_endpoints") == 2, "one write for both"
        assert "acknowledge" not in caller.done
        caller.receiver.ended()
        await asyncio.sleep(0.01)
        assert caller.done == ["pause", "half_close", "resume"]
        caller.abort()
        await asyncio.sleep(0.01)
        assert not place.io.open
        assert place.exchange.connections() == 0

    run(scene)


def test_a_connection_that_is_not_taken_is_closed_at_once(run: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        place = Place(Plain(), ORDERS)
        caller = Double(Connection(place.io, UNACCEPTED, upstream=False, accept=lambda: None))
        assert caller.done == ["abort"]
        caller.receiver.received(b"bytes that were under way")
        await asyncio.sleep(0.01)
        assert place.exchange.connections() == 0
        assert not place.io.open

    run(scene)


def test_output_that_waits_is_reported_until_it_has_left(run: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        place = Place(Plain(), ORDERS)
        reported = place.exchange.waiting
        accept = lambda: place.exchange.accept(ORDERS, now_ns())  # noqa: E731
        caller = Double(Connection(place.io, UNACCEPTED, upstream=False, accept=accept))
        caller.receiver.received(request("sum", 1, "1"))
        await asyncio.sleep(0.01)
        assert not reported, "nothing waited"
        caller.unsent = 100_000
        caller.receiver.unsent_changed()
        caller.receiver.received(request("sum", 1, "2"))
        await asyncio.sleep(0.01)
        caller.unsent = 0
        while reported[-1]:
            await asyncio.sleep(0.01)
        assert reported == [100_000, 100_000, 0]

    run(scene)


def test_a_tls_connection_that_is_given_up_during_the_handshake_is_closed(
    run: Callable[[Scene], None], tmp_path: Path
) -> None:
    async def scene() -> None:
        theirs = Stream()
        _, endpoint, server = await reached(Plain(), theirs)
        dial = asyncio.create_task(Connector(mutual(tmp_path), Hosts(), Names()).connect(endpoint, Stream()))
        hello = b""
        while not hello:
            await asyncio.sleep(0.01)
            hello = bytes(theirs._data)
        assert hello[0] == 0x16
        dial.cancel()
        with suppress(asyncio.CancelledError):
            await dial
        while await theirs.read():
            pass
        await end(server, theirs)

    run(scene)


def test_nothing_is_read_as_plain_text_where_tls_is_asked_for(run: Callable[[Scene], None], tmp_path: Path) -> None:
    async def scene() -> None:
        security = mutual(tmp_path)
        pod = Place(security, ORDERS)
        where = await pod.listeners.listen_mesh(Address("127.0.0.1", 0))
        reader, writer = await asyncio.open_connection(*where)
        writer.write(b"TCPS/1 shop/orders -\n")
        answer = await reader.read()
        assert b"TCPS" not in answer
        assert pod.exchange.connections() == 0
        writer.close()

    run(scene)


def test_a_context_is_of_the_newest_version(tmp_path: Path) -> None:
    context = mutual(tmp_path).for_mesh_listener()
    assert context is not None
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
