"""More than one message: events, order, streams side by side, callers that leave early, and a client's own connection.

Each test runs without a sidecar too, so that what it expects is what NestJS does.
"""

from __future__ import annotations

import itertools
import random
import re
from typing import TYPE_CHECKING, Any

import pytest

from interop.node import MAJORS, Major
from interop.ways import SIDECAR_WAYS, WAYS, Way

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interop.bench import Bench
    from interop.nest import NestClient

EMITTED = [["next", "<undefined>"], ["complete"]]
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
CONNECTION_CLOSED = [["error", {"name": "Error", "message": "Connection closed"}]]

every_way = pytest.mark.parametrize("way", WAYS)
every_major = pytest.mark.parametrize("major", MAJORS)
keys = (f"key-{number}" for number in itertools.count())


@pytest.fixture
def client(bench: Bench, way: Way, major: Major) -> NestClient:
    """The shared client between equal majors."""
    return bench.client(way, major, major)


@pytest.fixture
def own_client(bench: Bench, way: Way, major: Major) -> Iterator[NestClient]:
    """A client whose connection no other test uses."""
    client = bench.new_client(way, major, major)
    yield client
    client.stop()


def runs(client: NestClient, *names: str) -> list[int]:
    """How often each of these ran, when all that was sent before has begun."""
    recorded = client.value("runs", 1)
    return [recorded.get(name, 0) for name in names]


def values(events: list[Any]) -> list[Any]:
    return [event[1] for event in events if event[0] == "next"]


@every_major
@every_way
def test_an_event_reaches_each_of_its_handlers_once(client: NestClient) -> None:
    key = {"key": next(keys)}
    patterns: list[object] = ["ev", {"b": 1, "a": "x"}, 5, "evCrash", "once", "nope"]
    assert [client.emit(pattern, key) for pattern in patterns] == [EMITTED] * len(patterns)
    client.value("ran", {"key": f"once:{key['key']}"})
    names = ["ev1", "ev2", "objectEvent", "numberEvent", "evCrash", "once"]
    assert runs(client, *(f"{name}:{key['key']}" for name in names)) == [1] * len(names)


@every_major
@every_way
def test_a_hundred_requests_run_once_each(client: NestClient) -> None:
    wanted = [next(keys) for _ in range(100)]
    together = client.together([("once", key) for key in wanted])
    assert together["events"] == [[["next", 1], ["complete"]]] * 100
    assert runs(client, *(f"once:{key}" for key in wanted)) == [1] * 100


@every_major
@every_way
def test_two_hundred_replies_come_in_the_order_of_completion(bench: Bench, client: NestClient, major: Major) -> None:
    wanted = [next(keys) for _ in range(200)]
    waiting = client.begin("many", items=[["gate", key] for key in wanted])
    aside = bench.client("direct", major, major)
    aside.together([("ran", {"key": f"gate:{key}"}) for key in wanted])
    order = random.Random(7).sample(range(200), 200)
    aside.together([("open", wanted[place]) for place in order])
    result = waiting.result(20)
    assert result["order"] == order
    assert result["events"] == [[["next", key], ["complete"]] for key in wanted]


@every_major
@every_way
def test_streams_of_one_connection_interleave(client: NestClient) -> None:
    together = client.together([("ticks", {"n": 20, "every": 3})] * 3 + [("echo", "beside")])
    assert [values(events) for events in together["events"]] == [list(range(20))] * 3 + [["beside"]]
    kinds = [tuple(entry) for entry in together["log"]]
    first_end = min(kinds.index((stream, "complete")) for stream in range(3))
    assert all(kinds.index((stream, "next")) < first_end for stream in range(3))


@every_major
@every_way
def test_unsubscribing_stops_nothing_and_leaves_the_connection_usable(client: NestClient) -> None:
    key = next(keys)
    events = client.send("ticks", {"n": 30, "every": 2, "key": key}, unsubscribe=2)
    assert events == [["next", 0], ["next", 1], ["unsubscribed"]]
    assert client.value("ran", {"key": f"ticks:{key}", "times": 30}) == 30
    assert client.value("echo", "after") == "after"


@every_major
@every_way
def test_taking_the_first_of_a_stream(client: NestClient) -> None:
    assert client.send("stream", {"n": 5}, take=1) == [["next", 1], ["complete"]]
    assert client.send("ticks", {"n": 5, "every": 2}, take=1) == [["next", 0], ["complete"]]
    assert client.value("echo", "after") == "after"


@every_major
@every_way
def test_a_timeout_of_the_callers_own(client: NestClient) -> None:
    key = next(keys)
    timed_out = client.send("gate", key, timeout=30)
    assert timed_out == [["error", {"name": "TimeoutError", "message": "Timeout has occurred"}]]
    assert client.value("open", key) is True
    assert client.value("echo", "after") == "after"


@every_major
@every_way
def test_closing_ends_what_is_in_flight_and_the_client_can_be_used_again(
    bench: Bench, own_client: NestClient, major: Major
) -> None:
    key = next(keys)
    waiting = own_client.begin("send", pattern="gate", data=key)
    bench.client("direct", major, major).value("ran", {"key": f"gate:{key}"})
    own_client.call("close")
    assert waiting.result(10) == CONNECTION_CLOSED
    tries = 1 if major == 12 else 5  # before 12, the old socket's close may take the new connection along
    assert [["next", "again"], ["complete"]] in (own_client.send("echo", "again") for _ in range(tries))


@every_way
@pytest.mark.parametrize("major", [11, 12])
def test_the_status_follows_the_connection(own_client: NestClient) -> None:
    assert own_client.call("status") == []
    own_client.value("echo", 1)
    assert own_client.call("status") == ["connected"]


@every_way
@pytest.mark.parametrize("server", MAJORS)
@pytest.mark.parametrize("metadata", [{"traceparent": TRACEPARENT, "tenant": "größe"}, "text", [1, None], {}, 0])
def test_metadata_reaches_handlers_that_know_it(bench: Bench, way: Way, server: Major, metadata: object) -> None:
    client = bench.new_client(way, 12, server)
    client.call("hook", metadata=metadata)
    got = client.value("metadata", 1)
    if way == "traced" and server == 12 and isinstance(metadata, dict):
        assert re.fullmatch(TRACEPARENT[:36] if metadata else "00-[0-9a-f]{32}-", got["traceparent"][:36])
        got, metadata = got | {"traceparent": TRACEPARENT}, metadata | {"traceparent": TRACEPARENT}
    assert got == (metadata if server == 12 else None)
    assert client.emit("evMetadata", 1) == EMITTED
    client.stop()


@pytest.mark.parametrize("major", [11, 12])
@pytest.mark.parametrize("way", SIDECAR_WAYS)
def test_a_load_on_which_nestjs_stops_reading_finishes(client: NestClient) -> None:
    fill = ["x", 256 * 1024]
    result = client.call("many", items=None, pattern="echo", fill=fill, n=64, lengths=True)
    assert result["events"] == [[["next", fill[1]], ["complete"]]] * 64
