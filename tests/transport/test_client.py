"""What a client makes of servers that answer strangely, late, or not at all; and of what its own app asks of it."""

from __future__ import annotations

import asyncio
import gc
import re
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any, cast

import msgspec
import pytest

from interop.rawpeer import frame
from tcpservice_transport import (
    Client,
    ClientClosed,
    ConnectionLost,
    FrameTooLarge,
    Limits,
    NoHandlerError,
    NotJson,
    Overloaded,
    PatternError,
    ProtocolError,
    RequestTimeout,
    Retry,
    RpcError,
    Status,
    Timeouts,
    UnexpectedValue,
    Unreachable,
)
from transport.moved import MovedLoop
from transport.odd import ODD
from transport.scripted import Answer, Scripted

Scene = Callable[[Scripted, Client], Coroutine[Any, Any, Any]]


def play(
    scene: Scene, *, loop: Callable[[], asyncio.AbstractEventLoop] | None = None, within: float = 20, **settings: Any
) -> None:
    """Run a scene; in the end nothing may be left of the client: no call, no task, no socket."""

    async def bounded() -> None:
        async with asyncio.timeout(within), Scripted() as server:
            async with Client(port=server.port, **settings) as client:
                await scene(server, client)
                await asyncio.sleep(0)
                assert client.in_flight == 0
            mine = {task for task in asyncio.all_tasks() if "tcpservice_transport" in repr(task.get_coro())}
            assert not mine

    with asyncio.Runner(debug=False, loop_factory=loop) as runner:
        runner.run(bounded())
    gc.collect()  # an unclosed socket is a ResourceWarning, and so an error


async def asked(server: Scripted, client: Client, **options: Any) -> tuple[asyncio.Task[Any], str, Answer]:
    """A request that has arrived and waits for its answer."""
    task = asyncio.create_task(client.send("a", 1, **options))
    packet, answer = await server.next()
    return task, packet["id"], answer


def test_a_packet_is_as_nestjs_writes_it() -> None:
    async def scene(server: Scripted, client: Client) -> None:
        task = asyncio.create_task(client.send({"cmd": "é"}, None, metadata={"k": 1}))
        packet, answer = await server.next()
        assert list(packet) == ["pattern", "data", "metadata", "id"]
        assert packet == {"pattern": {"cmd": "é"}, "data": None, "metadata": {"k": 1}, "id": packet["id"]}
        assert len(packet["id"]) == 21
        assert set(packet["id"]) <= set("0123456789abcdef")
        answer.packet(response=5, isDisposed=True, id=packet["id"])
        assert await task == 5
        await client.emit({"b": 1, "a": "x"}, 1)
        assert (await server.next())[0] == {"pattern": '{"a":"x","b":1}', "data": 1}
        await client.emit("text", 1, metadata=[1])
        assert (await server.next())[0] == {"pattern": "text", "data": 1, "metadata": [1]}

    play(scene)


def test_it_connects_with_its_first_messages_and_keeps_their_order() -> None:
    async def scene(server: Scripted, client: Client) -> None:
        await asyncio.sleep(0.01)
        assert (server.accepted, client.status) == (0, "disconnected")
        tasks = [asyncio.create_task(client.send("a", number)) for number in range(20)]
        for number in range(20):
            packet, answer = await server.next()
            assert packet["data"] == number
            answer.packet(response=number, isDisposed=True, id=packet["id"])
        assert await asyncio.gather(*tasks) == list(range(20))
        assert (server.accepted, client.status) == (1, "connected")

    play(scene)


@pytest.mark.parametrize(
    ("replies", "value"),
    [
        ([{"response": 1, "isDisposed": True}], 1),
        ([{"response": 1}, {"response": 2}, {"isDisposed": True}], 2),
        ([{"response": 1, "err": None, "isDisposed": True, "status": "ok"}], 1),
        ([{"response": 1, "err": 0, "isDisposed": 1, "trace": "x"}], 1),
        ([{"response": 1, "isDisposed": False}, {"isDisposed": True}], 1),
        ([{"isDisposed": True}], None),
        ([{}, {"isDisposed": True}], None),
    ],
)
def test_what_counts_as_an_answer(replies: list[dict[str, object]], value: object) -> None:
    async def scene(server: Scripted, client: Client) -> None:
        task, request_id, answer = await asked(server, client)
        for reply in replies:
            answer.packet(**reply, id=request_id)
        assert await task == value

    play(scene)


@pytest.mark.parametrize("err", ["text", 1, True, {}, [], {"status": "error", "message": "m"}])
@pytest.mark.parametrize("more", [{}, {"isDisposed": True}, {"response": 1}])
def test_what_counts_as_an_error(err: object, more: dict[str, object]) -> None:
    async def scene(server: Scripted, client: Client) -> None:
        task, request_id, answer = await asked(server, client)
        answer.packet(err=err, **more, id=request_id)
        with pytest.raises(RpcError) as raised:
            await task
        assert raised.value.payload == err
        answer.packet(response="late", isDisposed=True, id=request_id)
        follow, request_id, answer = await asked(server, client)
        answer.packet(response=1, isDisposed=True, id=request_id)
        assert await follow == 1

    play(scene)


def test_what_belongs_to_nobody_is_ignored() -> None:
    async def scene(server: Scripted, client: Client) -> None:
        task, request_id, answer = await asked(server, client)
        answer.raw(b'4#null1#52#{}2#[]28#{"pattern":"event","data":1}')
        answer.packet(response=9, isDisposed=True, id="unknown")
        answer.packet(response=9, isDisposed=True, id=5)
        answer.packet(response=1, isDisposed=True, id=request_id)
        assert await task == 1
        assert server.accepted == 1

    play(scene)


@pytest.mark.parametrize(
    ("garbage", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "expected a frame's length"),
        (b"5#{bad}", "the body is not JSON"),
        (b"\x15\x03\x01\x00\x02", "expected a frame's length"),
        (b"-1#{}", "length -1"),
    ],
)
def test_a_server_that_speaks_something_else(garbage: bytes, said: str) -> None:
    async def scene(server: Scripted, client: Client) -> None:
        task, _, answer = await asked(server, client, idempotent=True)
        answer.raw(garbage)
        with pytest.raises(ProtocolError, match=r"does not speak the NestJS TCP transport: .* \(at byte 0\)") as raised:
            await task
        assert said in str(raised.value)
        follow, request_id, answer = await asked(server, client)
        answer.packet(response=1, isDisposed=True, id=request_id)
        assert await follow == 1

    play(scene)


@pytest.mark.parametrize("how", [Answer.end, Answer.reset])
def test_a_connection_that_is_lost(how: Callable[[Answer], None]) -> None:
    async def scene(server: Scripted, client: Client) -> None:
        first, _, answer = await asked(server, client)
        stream = client.stream("b")
        opened = asyncio.ensure_future(anext(stream))
        packet, _ = await server.next()
        answer.packet(response="so far", id=packet["id"])
        assert await opened == "so far"
        how(answer)
        with pytest.raises(ConnectionLost, match=r"^Connection closed") as lost:
            await first
        assert lost.value.code == "connection_closed"
        with pytest.raises(ConnectionLost):
            await anext(stream)
        follow, request_id, answer = await asked(server, client)
        answer.packet(response=1, isDisposed=True, id=request_id)
        assert await follow == 1
        assert server.accepted == 2

    play(scene)


def test_a_reply_above_the_limit_fails_its_own_request_alone() -> None:
    async def scene(server: Scripted, client: Client) -> None:
        one, first_id, answer = await asked(server, client)
        two, second_id, _ = await asked(server, client)
        answer.packet(response="x" * 2000, isDisposed=True, id=first_id)
        answer.packet(response="y", isDisposed=True, id=second_id)
        with pytest.raises(FrameTooLarge, match=r"larger than 1024 bytes \(Limits\.frame\)"):
            await one
        assert await two == "y"
        assert server.accepted == 1

    play(scene, limits=Limits(frame=1024))


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize(
    "form",
    [
        '{"response":%s,"isDisposed":true,"id":"ID"}',
        '{"err":%s,"isDisposed":true,"id":"ID"}',
        '{"err":{"message":%s,"code":%s},"id":"ID"}',
        '{"response":1,"isDisposed":%s,"id":"ID"}',
        '{"response":1,"isDisposed":true,"id":%s}',
        "%s",
    ],
)
def test_an_odd_reply_costs_no_other(form: str, odd: str) -> None:
    async def scene(server: Scripted, client: Client) -> None:
        first, first_id, answer = await asked(server, client)
        second, second_id, _ = await asked(server, client)
        answer.raw(frame(form.replace("%s", odd).replace("ID", second_id).encode()))
        answer.packet(isDisposed=True, id=second_id)
        answer.packet(response="fine", isDisposed=True, id=first_id)
        assert await first == "fine"
        await asyncio.gather(second, return_exceptions=True)
        assert server.accepted == 1

    play(scene)


def test_a_reply_that_is_nested_too_deeply_fails_its_own_request_alone() -> None:
    async def scene(server: Scripted, client: Client) -> None:
        task, request_id, answer = await asked(server, client)
        answer.raw(frame(b'{"response":%b,"isDisposed":true,"id":"%b"}' % (TOO_DEEP, request_id.encode())))
        with pytest.raises(FrameTooLarge, match="the JSON is nested deeper than 256"):
            await task
        assert client.status == "connected"

    play(scene)


TOO_DEEP = ODD["too deep"].encode()


def test_a_server_that_stops_in_the_middle() -> None:
    async def scene(server: Scripted, client: Client) -> None:
        task, _, answer = await asked(server, client)
        answer.raw(b'100#{"response":')
        with pytest.raises(ProtocolError, match=r"stopped in the middle of a frame for 0\.1 s"):
            await task

    play(scene, limits=Limits(stall=0.1))


def test_no_answer_in_time() -> None:
    async def scene(server: Scripted, client: Client) -> None:
        await client.connect()
        task, request_id, answer = await asked(server, client, timeout=0.05)
        with pytest.raises(RequestTimeout) as late:
            await task
        assert str(late.value) == f"127.0.0.1:{server.port} did not answer within 0.05 s"
        assert late.value.code == "timeout"
        assert isinstance(late.value, TimeoutError)
        answer.packet(response="late", isDisposed=True, id=request_id)
        with pytest.raises(RequestTimeout, match=r"within 0\.1 s"):
            await client.send("b")
        assert server.accepted == 1

    play(scene, timeouts=Timeouts(request=0.1))


def test_a_server_that_takes_nothing() -> None:
    async def scene(server: Scripted, client: Client) -> None:
        await client.connect()
        server.stop_reading()

        async def flood() -> None:
            for _ in range(1000):
                await client.emit("a", "x" * 100_000)

        said = r"no connection took the message within 0\.1 s: 127\.0\.0\.1:\d+ reads no more for now"
        with pytest.raises(RequestTimeout, match=said):
            await flood()
        with pytest.raises(RequestTimeout, match=r"within 0\.1 s"):
            await client.send("a")
        assert client.in_flight == 0

    play(scene, timeouts=Timeouts(request=0.1))


def test_each_value_of_a_stream_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = MovedLoop(monkeypatch)

    async def scene(server: Scripted, client: Client) -> None:
        values = []
        stream = client.stream("s")
        asking = asyncio.ensure_future(anext(stream))
        packet, answer = await server.next()
        for number in range(4):
            await asyncio.sleep(0)  # so that its time has begun
            loop.move(12)
            answer.packet(response=number, id=packet["id"])
            values.append(await asking)
            asking = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        loop.move(20)
        with pytest.raises(RequestTimeout):
            await asking
        assert values == [0, 1, 2, 3]

    play(scene, loop=lambda: loop, within=100, timeouts=Timeouts(request=20))


def test_an_app_may_take_its_time_with_each_value(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = MovedLoop(monkeypatch)

    async def scene(server: Scripted, client: Client) -> None:
        stream = client.stream("s")
        asking = asyncio.ensure_future(anext(stream))
        packet, answer = await server.next()
        answer.packet(response=1, id=packet["id"])
        assert await asking == 1
        loop.move(40)
        await asyncio.sleep(0.01)
        answer.packet(response=2, isDisposed=True, id=packet["id"])
        assert [value async for value in stream] == [2]

    play(scene, loop=lambda: loop, within=100, timeouts=Timeouts(request=20))


def test_a_stream_that_nobody_takes_is_bounded() -> None:
    async def scene(server: Scripted, client: Client) -> None:
        stream = client.stream("s")
        asking = asyncio.ensure_future(anext(stream))
        packet, answer = await server.next()
        for _ in range(200):
            answer.packet(response="x" * 1000, id=packet["id"])
        assert await asking == "x" * 1000
        follow, request_id, _ = await asked(server, client)
        answer.packet(response=1, isDisposed=True, id=request_id)
        assert await follow == 1
        taken = list[object]()

        async def take() -> None:
            async for value in stream:
                taken.append(value)

        with pytest.raises(Overloaded, match=r"of a stream wait for the app \(Limits\.unread\)"):
            await take()
        assert set(taken) == {"x" * 1000}
        assert len(taken) in (61, 62), "the first was taken before the others came, or with them"

    play(scene, limits=Limits(unread=64 * 1024))


def test_requests_that_wait_are_bounded() -> None:
    async def scene(server: Scripted, client: Client) -> None:
        one, first_id, answer = await asked(server, client)
        two, second_id, _ = await asked(server, client)
        with pytest.raises(Overloaded, match=r"2 requests wait for 127\.0\.0\.1:\d+ already \(Limits\.in_flight\)"):
            await client.send("c")
        for each in (first_id, second_id):
            answer.packet(response=1, isDisposed=True, id=each)
        assert [await one, await two] == [1, 1]

    play(scene, limits=Limits(in_flight=2))


def test_a_cancelled_call_leaves_nothing() -> None:
    async def scene(server: Scripted, client: Client) -> None:
        for _ in range(3):
            task, request_id, answer = await asked(server, client)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            answer.packet(response="late", isDisposed=True, id=request_id)
        assert client.in_flight == 0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.send("b")
        assert client.in_flight == 0

    play(scene)


def test_a_closed_client() -> None:
    async def scene(server: Scripted, client: Client) -> None:
        task, _, _ = await asked(server, client, idempotent=True)
        await client.close()
        with pytest.raises(ClientClosed):
            await task
        for ask in (lambda: client.send("a"), lambda: client.emit("a"), client.connect):
            with pytest.raises(ClientClosed, match="the client was closed"):
                await ask()
        await client.close()
        assert client.status == "disconnected"

    play(scene)


def test_closing_while_nobody_is_there() -> None:
    async def scene() -> None:
        client = Client(port=1)
        waiting = asyncio.create_task(client.send("a"))
        await asyncio.sleep(0.05)
        await client.close()
        with pytest.raises(ClientClosed):
            await waiting

    asyncio.run(scene())


def test_a_client_stays_in_its_event_loop() -> None:
    async def scene(server: Scripted, client: Client) -> None:
        await client.connect()

        def elsewhere() -> None:
            with pytest.raises(RuntimeError, match="belongs to another event loop"):
                asyncio.run(client.send("a"))

        await asyncio.to_thread(elsewhere)
        assert server.accepted == 1

    play(scene)


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], object(), {("tuple",): 1}, b"bytes"])
def test_what_json_cannot_hold_is_not_sent(value: object) -> None:
    async def scene(server: Scripted, client: Client) -> None:
        with pytest.raises(NotJson, match="JSON cannot hold"):
            await client.send("a", [value, None])
        with pytest.raises(NotJson):
            await client.emit("a", [value, None])
        assert server.accepted == 0

    play(scene)


@pytest.mark.parametrize("pattern", [None, True, float("nan")])
def test_what_no_pattern_is(pattern: object) -> None:
    async def scene(_: Scripted, client: Client) -> None:
        with pytest.raises(PatternError):
            await client.emit(pattern)
        if pattern is None:
            with pytest.raises(PatternError, match="expected a pattern, got None"):
                await client.send(pattern)

    play(scene)


class Order(msgspec.Struct):
    id: int


def test_typed_answers() -> None:
    async def scene(server: Scripted, client: Client) -> None:
        task, request_id, answer = await asked(server, client, type=Order)
        answer.packet(response={"id": 7}, isDisposed=True, id=request_id)
        assert await task == Order(7)
        task, request_id, _ = await asked(server, client, type=Order)
        answer.packet(response={"id": "7"}, isDisposed=True, id=request_id)
        with pytest.raises(UnexpectedValue, match=r"Expected `int`, got `str` - at `\$\.id`"):
            await task
        stream = client.stream("s", type=Order)
        asking = asyncio.ensure_future(anext(stream))
        packet, _ = await server.next()
        answer.packet(response={"id": 1}, id=packet["id"])
        answer.packet(response=2, id=packet["id"])
        assert await asking == Order(1)
        with pytest.raises(UnexpectedValue):
            await anext(stream)

    play(scene)


def test_an_answer_of_one_of_several_types() -> None:
    async def scene(server: Scripted, client: Client) -> None:
        for response, value in ((None, None), ({"id": 7}, Order(7))):
            task = asyncio.create_task(client.send("a", type=Order | None))
            packet, answer = await server.next()
            answer.packet(response=response, id=packet["id"])
            answer.packet(isDisposed=True, id=packet["id"])
            assert await task == value
        stream = client.stream("s", type=list[Order] | None)
        asking = asyncio.ensure_future(anext(stream))
        packet, answer = await server.next()
        answer.packet(response=[{"id": 1}], isDisposed=True, id=packet["id"])
        assert await asking == [Order(1)]
        assert [value async for value in stream] == []

    play(scene)


def test_serializers_of_the_apps_own() -> None:
    async def scene(server: Scripted, client: Client) -> None:
        task = asyncio.create_task(client.send("a", 1))
        packet, answer = await server.next()
        assert packet["body"]["pattern"] == "a"
        answer.packet(v=1, body={"response": 5, "isDisposed": True, "id": packet["body"]["id"]})
        assert await task == 5
        failing = asyncio.create_task(client.send("a", 1))
        packet, answer = await server.next()
        answer.packet(other=packet["body"]["id"])
        with pytest.raises(ProtocolError, match="the deserializer failed: KeyError"):
            await failing

    def open_envelope(value: Any) -> dict[str, Any]:
        body: dict[str, Any] = value["body"]
        return body

    play(scene, serializer=lambda packet: {"v": 1, "body": packet}, deserializer=open_envelope)


# Several servers, and those that leave


def test_no_handler_here_may_be_one_elsewhere() -> None:
    async def scene() -> None:
        async with Scripted() as old, Scripted() as new:
            client = Client(addresses=[f"127.0.0.1:{old.port}", ("127.0.0.1", new.port)])
            async with client:
                await until(lambda: bool(old.accepted and new.accepted), client)
                task = asyncio.create_task(client.send("new.pattern"))
                server, other = (old, new) if await arrived(old, new) is old else (new, old)
                packet, answer = await server.next()
                no_handler = "There is no matching message handler defined in the remote service."
                answer.packet(id=packet["id"], status="error", err=no_handler)
                packet, answer = await other.next()
                answer.packet(response=1, isDisposed=True, id=packet["id"])
                assert await task == 1
                task = asyncio.create_task(client.send("no.pattern"))
                for _ in range(2):
                    packet, answer = await (await arrived(old, new)).next()
                    answer.packet(id=packet["id"], status="error", err=no_handler)
                with pytest.raises(NoHandlerError):
                    await task

    asyncio.run(scene())


async def until(holds: Callable[[], bool], client: Client) -> None:
    await client.connect()
    while not holds():
        await asyncio.sleep(0.001)


async def arrived(*servers: Scripted) -> Scripted:
    """The server at which something waits to be taken."""
    while True:
        for server in servers:
            if server.waiting:
                return server
        await asyncio.sleep(0.001)


@pytest.mark.parametrize(("idempotent", "attempts"), [(True, 2), (True, 0), (False, 2)])
def test_what_is_lost_with_its_connection(idempotent: bool, attempts: int) -> None:
    async def scene(server: Scripted, client: Client) -> None:
        task, _, answer = await asked(server, client, idempotent=idempotent)
        for _ in range(attempts if idempotent else 0):
            answer.end()
            _, answer = await server.next()
        answer.end()
        with pytest.raises(ConnectionLost):
            await task
        assert server.accepted == 1 + (attempts if idempotent else 0)

    play(scene, retry=Retry(attempts=attempts))


def test_nothing_is_repeated_after_a_first_value() -> None:
    async def scene(server: Scripted, client: Client) -> None:
        stream = client.stream("s", idempotent=True)
        asking = asyncio.ensure_future(anext(stream))
        packet, answer = await server.next()
        answer.packet(response=1, id=packet["id"])
        assert await asking == 1
        answer.end()
        with pytest.raises(ConnectionLost):
            await anext(stream)

    play(scene)


def test_a_server_that_says_it_leaves_gets_nothing_new() -> None:
    async def scene(server: Scripted, client: Client) -> None:
        task, request_id, answer = await asked(server, client)
        answer.packet(isDisposed=True, id="tcpservice/goaway")
        await asyncio.sleep(0.01)
        follow, second_id, elsewhere = await asked(server, client)
        assert server.accepted == 2
        elsewhere.packet(response=2, isDisposed=True, id=second_id)
        answer.packet(response=1, isDisposed=True, id=request_id)
        assert [await task, await follow] == [1, 2]

    seen: list[Status] = []
    play(scene, on_status=seen.append)
    assert [status.state for status in seen][:3] == ["connected", "leaving", "connected"]


def test_a_listener_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(server: Scripted, client: Client) -> None:
        task, request_id, answer = await asked(server, client)
        answer.packet(response=1, isDisposed=True, id=request_id)
        assert await task == 1

    def fail(_: Status) -> None:
        raise RuntimeError("the app's own")

    play(scene, on_status=fail)
    assert "on_status failed" in caplog.text


def test_a_message_waits_for_a_server_that_is_not_there_yet() -> None:
    async def scene() -> None:
        server = Scripted()
        async with server:
            port = server.port
        async with Client(port=port) as client:
            task = asyncio.create_task(client.send("a"))
            await asyncio.sleep(0.1)
            async with server:
                packet, answer = await server.next()
                answer.packet(response=1, isDisposed=True, id=packet["id"])
                assert await task == 1

    asyncio.run(scene())


def test_how_many_wait_for_a_connection_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = MovedLoop(monkeypatch)

    async def scene() -> None:
        async with Client(port=1, limits=Limits(in_flight=2), timeouts=Timeouts(connect=10)) as client:
            waiting = [asyncio.create_task(client.send("a")) for _ in range(2)]
            await asyncio.sleep(0.01)
            with pytest.raises(Overloaded, match="2 messages wait for a connection already"):
                await client.send("a")
            loop.move(10)
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [Unreachable] * 2

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(scene())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Client(port=0), "expected a host and a port from 1 to 65535, got '127.0.0.1' and 0"),
        (lambda: Client(addresses=[]), "expected at least one address, got none"),
        (lambda: Client(addresses=["localhost"]), "expected an address such as \"10.0.0.1:3001\", got 'localhost'"),
        (
            lambda: Client("orders..shop"),
            "expected a host name or an IP address, got 'orders..shop': label empty or too long",
        ),
        (
            lambda: Client(addresses=["a" * 64 + ":3001"]),
            f"expected a host name or an IP address, got '{'a' * 64}': label too long",
        ),
        (lambda: Client("or ders"), "expected a host name or an IP address, got 'or ders'"),
        (lambda: Client("orders\0"), "expected a host name or an IP address, got 'orders\\x00'"),
        (lambda: Client(tls=cast("Any", True)), "tls: expected an ssl.SSLContext, got True"),
        (
            lambda: Client("127.0.0.1:3001"),
            "expected a host name or an IP address, got '127.0.0.1:3001'; give the port as a number of its own",
        ),
        (lambda: Client(addresses="a:1"), "addresses: expected a list, such as ['a:1'], got a string"),
        (
            lambda: Client(port=cast("Any", "x")),
            "expected a host and a port from 1 to 65535, got '127.0.0.1' and 'x'",
        ),
        (lambda: Client(timeouts=cast("Any", 5)), "timeouts: expected Timeouts(...), got 5"),
        (lambda: Timeouts(request=cast("Any", "5")), "Timeouts.request: expected seconds above 0 or None, got '5'"),
        (lambda: Client(connections=0), "connections: expected at least 1, got 0"),
        (lambda: Timeouts(connect=-1), "Timeouts.connect: expected at least 0, got -1"),
        (lambda: Timeouts(request=0), "Timeouts.request: expected seconds above 0 or None, got 0"),
        (lambda: Retry(attempts=-1), "Retry.attempts: expected at least 0, got -1"),
        (lambda: Limits(frame=5), "Limits.frame: expected at least 1024, got 5"),
    ],
)
def test_settings_that_can_be_none(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match="expected") as raised:
        make()
    assert str(raised.value) == said


def test_where_a_server_may_be() -> None:
    for host in ("127.0.0.1", "::1", "fe80::1%eth0", "orders", "orders.shop.svc.cluster.local.", "bücher.example"):
        Client(host)


class Unresolving(asyncio.SelectorEventLoop):
    """An error that is no OSError, in the middle of a dial."""

    dials = 0

    async def getaddrinfo(self, *_: Any, **__: Any) -> Any:
        self.dials += 1
        raise ValueError("no such thing")


def test_any_error_of_a_dial_is_told_and_waits_before_the_next() -> None:
    async def scene() -> None:
        async with Client("orders", 3001, timeouts=Timeouts(connect=1, request=None)) as client:
            with pytest.raises(Unreachable, match=r"orders:3001 \(ValueError: no such thing\) within 1 s") as raised:
                await client.send("a")
            assert isinstance(raised.value.__cause__, ValueError)

    with asyncio.Runner(loop_factory=Unresolving) as runner:
        runner.run(scene())
        loop = runner.get_loop()
        assert isinstance(loop, Unresolving)
        assert loop.dials < 20


def test_a_server_that_closes_each_connection_is_dialled_ever_more_rarely() -> None:
    accepted: list[float] = []

    async def scene() -> None:
        def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted.append(loop.time())
            writer.close()

        loop = asyncio.get_running_loop()
        listening = await asyncio.start_server(close, "127.0.0.1", 0)
        async with listening, Client(port=listening.sockets[0].getsockname()[1]) as client:
            while len(accepted) < 5:
                with pytest.raises(ConnectionLost):
                    await client.send("a")

    asyncio.run(scene())
    pauses = [later - earlier for earlier, later in pairwise(accepted)]
    assert pauses[3] >= 0.2, "the fourth pause is 0.4 s less up to half of it by chance"


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("127.0.0.1", "connect ECONNREFUSED 127.0.0.1:1"),
        ("no-such-host.invalid", "getaddrinfo (ENOTFOUND|EAI_AGAIN) no-such-host.invalid"),
    ],
)
def test_a_message_that_found_no_connection_says_why(host: str, said: str) -> None:
    async def scene() -> None:
        async with asyncio.timeout(20), Client(host, 1) as client:
            cause = None
            while cause is None:  # a look-up may take longer than one message has
                with pytest.raises(RequestTimeout) as raised:
                    await client.send("a", timeout=0.3)
                cause = raised.value.__cause__
            assert re.fullmatch(f"no connection took the message within 0.3 s: {said}", str(raised.value))
            assert isinstance(cause, OSError)

    asyncio.run(scene())


def test_several_connections_to_one_address() -> None:
    async def scene(server: Scripted, client: Client) -> None:
        await until(lambda: server.accepted == 3, client)
        assert server.accepted == 3

    play(scene, connections=3)
