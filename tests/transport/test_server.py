"""What a server makes of its handlers, and of clients that are large, slow, silent or gone."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import msgspec
import pytest
from opentelemetry import propagate
from opentelemetry.propagators import textmap

from interop.rawpeer import frame, request, split
from tcpservice_transport import Client, Context, Limits, ListenError, RequestTimeout, RpcError, Server
from transport.odd import ODD

Scene = Callable[[Server, "Wire"], Coroutine[Any, Any, Any]]


class Wire:
    """A client's side, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._rest = b""

    async def reply(self) -> Any:
        """The next packet."""
        while True:
            pieces, _ = split(self._rest)
            if pieces:
                self._rest = self._rest[len(pieces[0].raw) :]
                return pieces[0].message
            data = await asyncio.wait_for(self.reader.read(65536), 10)
            assert data, "closed"
            self._rest += data

    async def ask(self, pattern: object, data: object = None, request_id: object = "1") -> Any:
        self.writer.write(request(pattern, data, request_id))
        return await self.reply()

    async def rest(self) -> list[Any]:
        """All that comes until the server closes."""
        data = self._rest + await asyncio.wait_for(self.reader.read(-1), 10)
        return [piece.message for piece in split(data)[0]]


def play(server: Server, scene: Scene) -> None:
    """Run a scene; in the end nothing may be left of the server: no handler, no connection, no task, no socket."""

    async def bounded() -> None:
        async with asyncio.timeout(20):
            await server.start()
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            await scene(server, Wire(reader, writer))
            writer.close()
            await server.close(grace=1)
            assert (server.in_flight, server.connections) == (0, 0)
            await asyncio.sleep(0)
            assert not {task for task in asyncio.all_tasks() if "tcpservice_transport" in repr(task.get_coro())}

    asyncio.run(bounded())
    gc.collect()


def answered(value: object, request_id: object = "1") -> dict[str, object]:
    return {"response": value, "isDisposed": True, "id": request_id}


def failed(err: object, request_id: object = "1") -> dict[str, object]:
    return {"err": err, "isDisposed": True, "id": request_id}


INTERNAL = {"status": "error", "message": "Internal server error"}


def test_every_kind_of_handler() -> None:
    server = Server(port=0)

    @server.message_pattern("plain")
    def plain(data: object) -> object:
        return data

    @server.message_pattern("async")
    async def coroutine(data: object, context: Context) -> object:
        await asyncio.sleep(0)
        return [data, context.pattern, context.metadata, context.peer.partition(":")[0]]

    @server.message_pattern("future")
    def future(data: object) -> object:
        return asyncio.sleep(0, data)

    @server.message_pattern("stream")
    async def stream(data: int) -> AsyncIterator[int]:
        for number in range(data):
            yield number

    @server.message_pattern("iteration")
    def iteration(data: int) -> Iterator[int]:
        yield from range(data)

    @server.message_pattern(["one", "other"])
    def several(_: object, context: Context) -> object:
        return context.pattern

    async def scene(_: Server, wire: Wire) -> None:
        assert await wire.ask("plain", {"a": 1}) == answered({"a": 1})
        assert await wire.ask("plain") == answered(None)
        assert await wire.ask("async", 1) == answered([1, "async", None, "127.0.0.1"])
        assert await wire.ask("future", 2) == answered(2)
        for pattern in ("stream", "iteration"):
            assert await wire.ask(pattern, 2) == {"response": 0, "id": "1"}
            assert await wire.reply() == {"response": 1, "id": "1"}
            assert await wire.reply() == {"isDisposed": True, "id": "1"}
            assert await wire.ask(pattern, 0) == {"isDisposed": True, "id": "1"}
        assert [(await wire.ask(pattern))["response"] for pattern in ("one", "other")] == ["one", "other"]

    play(server, scene)


@pytest.mark.parametrize("request_id", [0, None, "", "é", [1, {"a": 2}], {"x": None}, 1.5, True])
def test_an_id_may_be_anything(request_id: object) -> None:
    server = Server(port=0)
    server.message_pattern("a")(lambda data: data)

    async def scene(_: Server, wire: Wire) -> None:
        assert await wire.ask("a", 1, request_id) == answered(1, request_id)

    play(server, scene)


def raising(error: BaseException) -> Callable[[object], object]:
    def handler(_: object) -> object:
        raise error

    return handler


@pytest.mark.parametrize(
    ("payload", "err"),
    [
        ("m", {"status": "error", "message": "m"}),
        (7, {"status": "error", "message": 7}),
        (None, {"status": "error", "message": None}),
        ({"code": "own"}, {"code": "own"}),
        ({}, {}),
        ([1], [1]),
        (object(), INTERNAL),
    ],
)
def test_errors_of_the_handlers_own(payload: object, err: object) -> None:
    server = Server(port=0)

    async def later(_: object) -> object:
        await asyncio.sleep(0)
        raise RpcError(payload)

    async def stream(_: object) -> AsyncIterator[int]:
        yield 1
        raise RpcError(payload)

    server.message_pattern("now")(raising(RpcError(payload)))
    server.message_pattern("later")(later)
    server.message_pattern("stream")(stream)

    async def scene(_: Server, wire: Wire) -> None:
        assert await wire.ask("now") == failed(err)
        assert await wire.ask("later") == failed(err)
        assert await wire.ask("stream") == {"response": 1, "id": "1"}
        assert await wire.reply() == failed(err)

    play(server, scene)


@pytest.mark.parametrize(
    "handler",
    [raising(RuntimeError("secret")), raising(TimeoutError("secret")), lambda _: object(), lambda _: float("nan")],
)
def test_what_was_not_meant_is_logged_and_not_told(
    handler: Callable[[object], object], caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(port=0)
    server.message_pattern("a")(handler)

    async def scene(_: Server, wire: Wire) -> None:
        assert await wire.ask("a") == failed(INTERNAL)

    play(server, scene)
    assert "secret" in caplog.text or "JSON cannot hold it" in caplog.text


def test_a_handler_that_gives_up_waiting_by_itself() -> None:
    server = Server(port=0, handler_timeout=10)

    @server.message_pattern("a")
    async def impatient(_: object) -> object:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(5)
        return "unreached"

    async def scene(_: Server, wire: Wire) -> None:
        assert await wire.ask("a") == failed(INTERNAL)

    play(server, scene)


class Order(msgspec.Struct):
    id: int


def test_data_of_a_type() -> None:
    server = Server(port=0)

    @server.message_pattern("order", type=Order)
    def order(data: Any) -> object:
        return [type(data).__name__, data.id]

    @server.message_pattern("any", type=object)
    def any_data(data: Order) -> object:
        return data

    @server.message_pattern("either", type=Order | None)
    def either(data: Any) -> object:
        return data and data.id

    async def scene(_: Server, wire: Wire) -> None:
        assert await wire.ask("order", {"id": 7}) == answered(["Order", 7])
        error = {"status": "error", "message": "Expected `int`, got `str` - at `$.id`", "code": "unexpected_value"}
        assert await wire.ask("order", {"id": "7"}) == failed(error)
        assert await wire.ask("any", 5) == answered(5)
        assert [(await wire.ask("either", data))["response"] for data in (None, {"id": 7})] == [None, 7]

    play(server, scene)


def test_data_of_the_annotated_type(caplog: pytest.LogCaptureFixture) -> None:
    server, heard = Server(port=0), list[Order]()

    @server.message_pattern({"cmd": "sum"})
    def add(numbers: list[int]) -> int:
        return sum(numbers)

    @server.message_pattern("order")
    async def order(data: Order | None, context: Context) -> object:
        return [context.pattern, data and data.id]

    @server.message_pattern("ids")
    async def ids(orders: dict[int, Order]) -> AsyncIterator[int]:
        for key, each in orders.items():
            yield key + each.id

    @server.event_pattern("created")
    def created(data: Order) -> None:
        heard.append(data)

    async def scene(_: Server, wire: Wire) -> None:
        def unfit(said: str) -> dict[str, object]:
            return failed({"status": "error", "message": said, "code": "unexpected_value"})

        assert await wire.ask({"cmd": "sum"}, [1, 2]) == answered(3)
        assert await wire.ask({"cmd": "sum"}, "abc") == unfit("Expected `array`, got `str`")
        assert await wire.ask({"cmd": "sum"}, [1, "2"]) == unfit("Expected `int`, got `str` - at `$[1]`")
        assert await wire.ask("order", {"id": 7}) == answered(["order", 7])
        assert await wire.ask("order") == answered(["order", None])
        assert await wire.ask("ids", {"1": {"id": 2}}) == {"response": 3, "id": "1"}
        assert await wire.reply() == {"isDisposed": True, "id": "1"}
        assert await wire.ask("ids", 5) == unfit("Expected `object`, got `int`")
        for data in ({"id": "7"}, {"id": 8}):
            wire.writer.write(frame(json.dumps({"pattern": "created", "data": data}).encode()))
        assert await wire.ask({"cmd": "sum"}, []) == answered(0)

    play(server, scene)
    assert heard == [Order(8)]
    (record,) = caplog.records
    assert record.getMessage().startswith(
        "test_data_of_the_annotated_type.<locals>.created did not run for an event from "
    )
    assert record.getMessage().endswith(": Expected `int`, got `str` - at `$.id`")


def test_an_answer_that_a_handler_cannot_use_is_not_its_callers_fault(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(port=0)

    @server.message_pattern("outer")
    async def outer(_: None) -> object:
        async with Client(port=server.port) as client:
            return await client.send("inner", type=Order)

    @server.message_pattern("inner")
    def inner() -> str:
        return "no order"

    async def scene(_: Server, wire: Wire) -> None:
        assert await wire.ask("outer", {"any": "data"}) == failed(INTERNAL)

    play(server, scene)
    assert "Expected `object`, got `str`" in caplog.text


def test_handlers_without_arguments() -> None:
    server, heard = Server(port=0), list[object]()

    @server.message_pattern("plain")
    def plain() -> str:
        return "plain"

    @server.message_pattern("stream")
    async def stream() -> AsyncIterator[str]:
        yield "stream"

    @server.event_pattern("happened")
    async def happened() -> None:
        heard.append("happened")

    async def scene(_: Server, wire: Wire) -> None:
        wire.writer.write(frame(b'{"pattern":"happened","data":1}'))
        assert await wire.ask("plain", {"any": "data"}) == answered("plain")
        assert await wire.ask("stream") == {"response": "stream", "id": "1"}

    play(server, scene)
    assert heard == ["happened"]


def test_a_handler_that_takes_too_long_is_ended() -> None:
    server, ended = Server(port=0, handler_timeout=0.05), asyncio.Event()

    @server.message_pattern("a")
    async def slow(_: object) -> object:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return "unreached"

    async def scene(_: Server, wire: Wire) -> None:
        reply = await wire.ask("a")
        assert reply["err"] == {
            "status": "error", "message": "The handler took longer than 0.05 s", "code": "timeout",
        }  # fmt: skip
        assert ended.is_set()

    play(server, scene)


def test_events_have_their_handlers_and_are_not_answered(caplog: pytest.LogCaptureFixture) -> None:
    server, heard = Server(port=0), list[object]()

    @server.event_pattern("created")
    def first(data: object) -> str:
        heard.append(["first", data])
        return "unused"

    @server.event_pattern("created")
    async def second(data: object) -> None:
        heard.append(["second", data])
        raise RuntimeError("inside")

    @server.event_pattern("created")
    def third(data: object) -> Iterator[object]:
        heard.append(["third", data])
        yield "unused"

    @server.message_pattern("asked")
    def asked(data: object) -> object:
        heard.append(["asked", data])
        return data

    async def scene(_: Server, wire: Wire) -> None:
        for pattern in ("created", "asked", "unknown", "unknown"):
            wire.writer.write(frame(json.dumps({"pattern": pattern, "data": 1}).encode()))
        assert await wire.ask("asked", 2) == answered(2)
        assert await wire.ask("created", 3) == answered("unused")

    with caplog.at_level(logging.WARNING, "tcpservice_transport"):
        play(server, scene)
    names = ["first", "second", "third"]
    assert [each for each in heard if each[1] == 1] == [["first", 1], ["second", 1], ["third", 1], ["asked", 1]]  # type: ignore[index]
    assert sorted(each[0] for each in heard if each[1] == 3) == names  # type: ignore[index]
    assert caplog.text.count("no event handler has the pattern unknown") == 1
    assert "second failed on an event" in caplog.text


@pytest.mark.parametrize("waits", [False, True])
def test_handlers_begin_in_the_order_of_the_messages(waits: bool) -> None:
    """As in NestJS: a plain function does not overtake the coroutine functions of messages before it."""
    server, begun = Server(port=0), list[object]()

    @server.event_pattern("created")
    async def created(data: object) -> None:
        begun.append(data)
        if waits:
            await asyncio.sleep(0)

    @server.message_pattern("list")
    def listed() -> list[object]:
        return list(begun)

    async def scene(_: Server, wire: Wire) -> None:
        for number in range(50):
            wire.writer.write(frame(json.dumps({"pattern": "created", "data": number}).encode()))
            assert await wire.ask("list", None) == answered([*range(number + 1)])

    play(server, scene)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"port": 70000}, "port: expected a number from 0 to 65535, got 70000"),
        ({"port": "x"}, "port: expected a number from 0 to 65535, got 'x'"),
        ({"host": "orders..shop"}, "expected a host name or an IP address, got 'orders..shop'"),
        ({"host": "127.0.0.1:3001"}, "give the port as a number of its own"),
        ({"handler_timeout": -1}, "handler_timeout: expected seconds above 0 or None, got -1"),
    ],
)
def test_settings_that_are_invalid(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match="expected") as raised:
        Server(**settings)
    assert said in str(raised.value)


def test_a_request_that_is_too_large_is_answered() -> None:
    server = Server(port=0, limits=Limits(frame=1024))
    server.message_pattern("a")(lambda data: data)

    async def scene(_: Server, wire: Wire) -> None:
        error = {"status": "error", "message": "The frame is larger than 1024 bytes", "code": "frame_too_large"}
        assert await wire.ask("a", "x" * 2000) == failed(error)
        wire.writer.write(frame(json.dumps({"pattern": "a", "data": "x" * 2000}).encode()))
        assert await wire.ask("a", 1) == answered(1)

    play(server, scene)


@pytest.mark.parametrize(
    ("garbage", "said"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "what looks like HTTP"),
        (b"\x16\x03\x01\x02\x00", "a TLS handshake"),
        (b"5#{bad}", "the body is not JSON"),
        (b"[" * 40, "expected a frame's length"),
    ],
)
def test_who_does_not_speak_the_protocol_gets_what_it_is_owed(
    garbage: bytes, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    server, opened = Server(port=0), asyncio.Event()

    @server.message_pattern("a")
    async def wait(data: object) -> object:
        await opened.wait()
        return data

    async def scene(_: Server, wire: Wire) -> None:
        wire.writer.write(request("a", 1, "1") + garbage + request("a", 2, "2"))
        await asyncio.sleep(0.05)
        opened.set()
        assert await wire.rest() == [answered(1)]

    play(server, scene)
    assert said in caplog.text
    assert f"at byte {len(request('a', 1, '1'))}" in caplog.text


def test_who_stops_in_the_middle_of_a_frame_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(_: Server, wire: Wire) -> None:
        wire.writer.write(b'100#{"pat')
        await asyncio.sleep(0.08)
        wire.writer.write(b"tern")
        assert await wire.rest() == []

    play(Server(port=0, limits=Limits(stall=0.1)), scene)
    assert "stopped in the middle of a frame for 0.1 s" in caplog.text


def test_who_half_closes_is_still_answered() -> None:
    server = Server(port=0)

    @server.message_pattern("a")
    async def later(data: object) -> object:
        await asyncio.sleep(0.05)
        return data

    async def scene(_: Server, wire: Wire) -> None:
        wire.writer.write(request("a", 1, "1") + request("a", 2, "2"))
        wire.writer.write_eof()
        assert await wire.rest() == [answered(1), answered(2, "2")]

    play(server, scene)


def test_who_does_not_read_is_cut_off() -> None:
    server, gone = Server(port=0, limits=Limits(unread=256 * 1024)), asyncio.Event()
    server.message_pattern("large")(lambda _: "x" * 100_000)
    server.on_disconnect(lambda _: gone.set())

    async def scene(_: Server, wire: Wire) -> None:
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        for _number in range(400):
            wire.writer.write(request("large", 1, "1"))
        await asyncio.wait_for(gone.wait(), 10)

    play(server, scene)


def test_a_stream_goes_no_faster_than_it_is_read_and_ends_with_its_reader() -> None:
    server, given, ended = Server(port=0), list[int](), asyncio.Event()

    @server.message_pattern("endless")
    async def endless(_: object) -> AsyncIterator[str]:
        try:
            while True:
                given.append(1)
                yield "x" * 10_000
        finally:
            ended.set()

    @server.message_pattern("waiting")
    async def waiting(_: object) -> AsyncIterator[str]:
        yield "x"
        await asyncio.sleep(60)

    async def scene(server: Server, wire: Wire) -> None:
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        wire.writer.write(request("endless", 1, "1") + request("waiting", 1, "2"))
        count = -1
        while count != len(given) or not given:
            count = len(given)
            await asyncio.sleep(0.05)
        assert server.in_flight == 2
        wire.writer.transport.abort()
        await asyncio.wait_for(ended.wait(), 10)
        while server.in_flight:
            await asyncio.sleep(0.001)

    play(server, scene)


def test_how_many_handlers_run_for_a_connection_is_bounded() -> None:
    server, opened, most = Server(port=0, limits=Limits(in_flight=3)), asyncio.Event(), [0]

    @server.message_pattern("a")
    async def wait(data: object) -> object:
        most[0] = max(most[0], server.in_flight)
        await opened.wait()
        return data

    async def scene(_: Server, wire: Wire) -> None:
        for number in range(50):
            wire.writer.write(request("a", number, str(number)))
            await asyncio.sleep(0.001)
        assert most[0] <= 5
        opened.set()
        assert {(await wire.reply())["response"] for _ in range(50)} == set(range(50))

    play(server, scene)


def test_connection_events() -> None:
    server, seen = Server(port=0), list[str]()
    server.on_connect(lambda peer: seen.append(f"connect {peer}"))
    server.on_disconnect(lambda peer: seen.append(f"disconnect {peer}"))
    server.on_connect(lambda _: seen.append(str(1 // 0)))

    async def scene(server: Server, wire: Wire) -> None:
        port = wire.writer.get_extra_info("sockname")[1]
        while server.connections == 0:
            await asyncio.sleep(0.001)
        wire.writer.close()
        while server.connections:
            await asyncio.sleep(0.001)
        assert seen == [f"connect 127.0.0.1:{port}", f"disconnect 127.0.0.1:{port}"]

    play(server, scene)


def test_serializers_of_the_apps_own(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(
        port=0, serializer=lambda packet: {"v": 1, "body": packet}, deserializer=lambda value: value["body"]  # type: ignore[index]
    )  # fmt: skip
    server.message_pattern("a")(lambda data: data)

    async def scene(_: Server, wire: Wire) -> None:
        wire.writer.write(frame(b'{"v":1}'))
        wire.writer.write(frame(b'{"v":1,"body":{"pattern":"a","data":5,"id":"1"}}'))
        assert await wire.reply() == {"v": 1, "body": answered(5)}
        wire.writer.write(frame(b'{"v":1,"body":{"pattern":"nobody","id":"1"}}'))
        assert (await wire.reply())["body"]["status"] == "error"

    play(server, scene)
    assert "the deserializer failed on a message of 127.0.0.1" in caplog.text


def test_two_servers_on_one_port() -> None:
    async def scene(server: Server, _: Wire) -> None:
        with pytest.raises(ListenError, match=rf"cannot listen on .*:{server.port}: .*[aA]ddress already in use"):
            await Server(port=server.port).start()

    play(Server(port=0), scene)


@pytest.mark.parametrize(("host", "port"), [("no-such-host.invalid", 0), ("192.0.2.1", 0)])
def test_where_no_server_can_listen(host: str, port: int) -> None:
    with pytest.raises(ListenError, match=f"cannot listen on {host}:{port}: "):
        asyncio.run(Server(host, port).start())


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize(
    "form",
    [
        '{"pattern":"echo","data":%s,"id":"odd"}',
        '{"pattern":"echo","data":1,"metadata":%s,"id":"odd"}',
        '{"pattern":"echo","data":1,"id":%s}',
        '{"pattern":%s,"data":1,"id":"odd"}',
        '{"pattern":{"cmd":%s},"data":1,"id":"odd"}',
        '{"pattern":%s,"data":1}',
        '{"pattern":"event","data":%s}',
        "%s",
    ],
)
def test_an_odd_message_costs_no_other(form: str, odd: str) -> None:
    server, opened = Server(port=0), asyncio.Event()
    server.message_pattern("echo")(lambda data, context: [data, context.metadata])
    server.message_pattern({"cmd": "1"})(lambda data: data)
    server.event_pattern("event")(lambda data: data)

    @server.message_pattern("wait")
    async def wait(data: object) -> object:
        await opened.wait()
        return data

    @server.message_pattern("open")
    def open_now(_: object) -> None:
        opened.set()

    async def scene(_: Server, wire: Wire) -> None:
        body = (form % odd).encode()
        wire.writer.write(request("wait", 1, "first") + frame(body) + request("open", 2, "last"))
        replies = {}
        while "first" not in replies or "last" not in replies:
            reply = await wire.reply()
            replies["odd" if reply["id"] not in ("first", "last") else reply["id"]] = reply
        assert replies["first"] == answered(1, "first")
        if '"id":"odd"' in form:
            assert replies["odd"]["id"] == "odd"

    play(server, scene)


def test_a_request_that_is_nested_too_deeply_is_answered() -> None:
    server = Server(port=0)
    server.message_pattern("echo")(lambda data: data)

    async def scene(_: Server, wire: Wire) -> None:
        wire.writer.write(frame(b'{"pattern":"echo","data":%b,"id":"1"}' % ODD["too deep"].encode()))
        error = {"status": "error", "message": "The JSON is nested deeper than 256", "code": "frame_too_large"}
        assert await wire.reply() == failed(error)

    play(server, scene)


def test_what_fails_before_its_handler_costs_no_other(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(textmap.TextMapPropagator):
        def extract(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("secret")

        def inject(self, *_: Any, **__: Any) -> None: ...

        @property
        def fields(self) -> set[str]:
            return set()

    server = Server(port=0)
    server.message_pattern("echo")(lambda data: data)

    async def scene(_: Server, wire: Wire) -> None:
        packet = {"pattern": "echo", "data": 1, "metadata": {"traceparent": "x"}}
        wire.writer.write(frame(json.dumps(packet).encode()))
        wire.writer.write(frame(json.dumps({**packet, "id": "1"}).encode()))
        assert await wire.reply() == failed(INTERNAL)
        assert await wire.ask("echo", 2) == answered(2)

    before = propagate.get_global_textmap()
    propagate.set_global_textmap(Failing())
    try:
        play(server, scene)
    finally:
        propagate.set_global_textmap(before)
    assert caplog.text.count("RuntimeError: secret") == 2


# Closing


def test_closing_finishes_what_runs_and_what_still_comes() -> None:
    server, opened = Server(port=0), asyncio.Event()

    @server.message_pattern("a")
    async def wait(data: object) -> object:
        await opened.wait()
        return data

    async def scene(server: Server, wire: Wire) -> None:
        wire.writer.write(request("a", 1, "1"))
        while not server.in_flight:
            await asyncio.sleep(0.001)
        closing = asyncio.create_task(server.close())
        assert await wire.reply() == {"isDisposed": True, "id": "tcpservice/goaway"}
        with pytest.raises(OSError, match="Connect call failed"):
            await asyncio.open_connection("127.0.0.1", server.port)
        wire.writer.write(request("a", 2, "2"))
        await asyncio.sleep(0.01)
        opened.set()
        assert await wire.rest() == [answered(1), answered(2, "2")]
        await closing

    play(server, scene)


def test_closing_waits_no_longer_than_it_is_told(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(port=0)

    @server.message_pattern("a")
    async def never(_: object) -> object:
        return await asyncio.Event().wait()

    @server.event_pattern("b")
    async def deaf(_: object) -> object:
        return await asyncio.Event().wait()

    async def scene(server: Server, wire: Wire) -> None:
        wire.writer.write(request("a", 1, "1") + frame(b'{"pattern":"b","data":1}'))
        while server.in_flight < 2:
            await asyncio.sleep(0.001)
        await server.close(grace=0.05)
        error = {"status": "error", "message": "The server is closing", "code": "draining"}
        assert await wire.rest() == [{"isDisposed": True, "id": "tcpservice/goaway"}, failed(error)]

    play(server, scene)
    assert "cancelled handlers that were still running after 0.05 s: " in caplog.text
    assert "<locals>.never, " in caplog.text


def test_who_does_not_go_is_answered_and_then_closed() -> None:
    server = Server(port=0)

    @server.message_pattern("a")
    async def later(data: object) -> object:
        await asyncio.sleep(0.02)
        return data

    async def scene(server: Server, wire: Wire) -> None:
        closing = None
        for number in range(10_000):
            wire.writer.write(request("a", number, str(number)))
            await asyncio.sleep(0.005)
            if number == 10:
                closing = asyncio.create_task(server.close(grace=15))
            if closing is not None and closing.done():
                break
        assert closing is not None
        await closing
        replies = [reply for reply in await wire.rest() if "err" not in reply]
        assert len(replies) > 50

    play(server, scene)


def test_a_pair_parts_at_once_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("connection", "serving"):
        monkeypatch.setattr(f"tcpservice_transport.{module}._PARTING_S", 60)  # longer than a scene may take
    server = Server(port=0)

    @server.message_pattern("a")
    async def later(data: object) -> object:
        await asyncio.sleep(0.01)
        return data

    async def scene(server: Server, wire: Wire) -> None:
        wire.writer.close()
        async with Client(port=server.port) as client:
            asked = [asyncio.create_task(client.send("a", number)) for number in range(500)]
            await client.send("a", 0)
            await server.close(grace=60)
            assert await asyncio.gather(*asked) == list(range(500))

    play(server, scene)


def test_a_server_can_be_used_in_one_event_loop_after_another() -> None:
    server = Server(port=0)
    server.message_pattern("a")(lambda data: data)

    async def scene() -> None:
        server.port = 0
        async with server, Client(port=server.port) as client:
            assert await client.send("a", 1) == 1

    for _ in range(2):
        asyncio.run(scene())


def test_a_server_can_be_started_again() -> None:
    server = Server(port=0)
    server.message_pattern("a")(lambda data: data)

    async def scene(server: Server, _: Wire) -> None:
        async with Client(port=server.port) as client:
            assert await client.send("a", 1) == 1
            await server.close()
            with pytest.raises(RequestTimeout):
                await client.send("a", 2, timeout=0.1)
            await server.start()
            assert await client.send("a", 3) == 3

    play(server, scene)
