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
        client.emit("nobody.hears", {"id": 1})
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
