"""The client for code without an event loop: the same answers and errors, from any thread."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tcpservice_transport import ClientClosed, RequestTimeout, RpcError, SyncClient, Timeouts, Unreachable
from transport.twin import Twin


def test_it_asks_streams_and_tells(twin: Twin) -> None:
    with SyncClient(port=twin.server.port) as client:
        assert client.send({"cmd": "sum"}, [1, 2, 3]) == 6
        assert client.send({"cmd": "sum"}, [1, 2], type=int) == 3
        client.emit("without.handler", {"id": 1})
        with pytest.raises(RpcError):
            client.send("no.such.pattern")


def test_many_threads_use_one(twin: Twin) -> None:
    with SyncClient(port=twin.server.port) as client, ThreadPoolExecutor(16) as threads:
        sums = list(threads.map(lambda number: client.send({"cmd": "sum"}, [number, 1]), range(200)))
    assert sums == [number + 1 for number in range(200)]


def test_errors_are_those_of_the_client() -> None:
    with pytest.raises(ValueError, match="connections"):
        SyncClient(connections=0)
    with SyncClient(port=1, timeouts=Timeouts(connect=0.05)) as client, pytest.raises(Unreachable):
        client.connect()


def test_a_timeout_does_not_end_the_client(twin: Twin) -> None:
    with SyncClient(port=twin.server.port) as client:
        with pytest.raises(RequestTimeout):
            client.send("slow", 60_000, timeout=0.05)
        assert client.send({"cmd": "sum"}, [1]) == 1


def test_a_closed_client_says_so_and_leaves_no_thread(twin: Twin) -> None:
    before = threading.active_count()
    client = SyncClient(port=twin.server.port)
    client.send({"cmd": "sum"}, [1])
    client.close()
    client.close()
    assert threading.active_count() == before
    with pytest.raises(ClientClosed):
        client.send({"cmd": "sum"}, [1])
    with pytest.raises(ClientClosed):
        next(iter(client.stream({"cmd": "sum"}, [1])))


def test_a_stream_that_is_left_early_does_no_harm(twin: Twin) -> None:
    with SyncClient(port=twin.server.port) as client:
        for value in client.stream("ticks", {"n": 100, "every": 1}):
            assert value == 0
            break
        assert list(client.stream("stream", {"n": 3})) == [1, 2, 3]
        begun = time.monotonic()
    assert time.monotonic() - begun < 5


def test_threads_that_wait_while_another_one_closes_are_released(twin: Twin) -> None:
    for _ in range(5):
        client = SyncClient(port=twin.server.port)
        ended: list[BaseException] = []

        def ask(client: SyncClient = client, ended: list[BaseException] = ended) -> None:
            try:
                while True:
                    client.send({"cmd": "sum"}, [1])
            except ClientClosed as error:
                ended.append(error)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.02)
        closing = threading.Thread(target=client.close)
        closing.start()
        client.close()
        closing.join(20)
        for thread in threads:
            thread.join(20)
        assert len(ended) == 3


def test_a_function_that_the_client_calls_cannot_wait_for_it(twin: Twin) -> None:
    said: list[str] = []

    def status(_: object) -> None:
        try:
            client.send({"cmd": "sum"}, [1])
        except RuntimeError as error:
            said.append(str(error))

    with SyncClient(port=twin.server.port, on_status=status) as client:
        assert client.send({"cmd": "sum"}, [1]) == 1
    assert said
    assert "cannot wait for the client" in said[0]
