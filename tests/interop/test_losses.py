"""Replicas and sidecars that die under messages: NestJS's own error, by the one documented difference.

A NestJS client whose connection is lost sees `Error("Connection closed")`. Over a sidecar its connection lives on, so
the request ends with an error reply of the same message and a code.
"""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

import pytest

from interop.nest import NestClient, NestServer, Sidecar
from interop.node import MAJORS, Major
from interop.ways import SIDECAR_WAYS, WAYS, Way, front

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interop.bench import Bench

BACK_SECONDS = 10.0
LOST_DIRECTLY = {"name": "Error", "message": "Connection closed"}
LOST_BEHIND = {"status": "error", "message": "Connection closed", "code": "connection_closed"}

keys = (f"lost-{number}" for number in itertools.count())
every_client = pytest.mark.parametrize("major", MAJORS)


class Mortal:
    """A replica that tests may kill, and the way to it."""

    def __init__(self, way: Way, server: NestServer, port: int) -> None:
        self.way = way
        self.server = server
        self.port = port
        self.lost = LOST_DIRECTLY if way == "direct" else LOST_BEHIND


@pytest.fixture(scope="module", params=WAYS)
def mortal(request: pytest.FixtureRequest) -> Iterator[Mortal]:
    way: Way = request.param
    with NestServer(12, name="mortal") as server, front(way, {"mortal": [server.port]}) as opened:
        yield Mortal(way, server, opened.ports["mortal"])


@pytest.fixture
def client(bench: Bench, mortal: Mortal, major: Major) -> Iterator[NestClient]:
    if not mortal.server.process.alive:
        mortal.server.start()
    with NestClient(major, mortal.port, process=bench.process(major)) as client:
        until_answered(client)
        yield client


def until_answered(client: NestClient) -> None:
    """Wait until the way to the replica is open (again)."""
    deadline = time.monotonic() + BACK_SECONDS
    while (events := client.send("echo", "back")) != [["next", "back"], ["complete"]]:
        assert time.monotonic() < deadline, f"not back within {BACK_SECONDS:g} s: {events}"
        time.sleep(0.05)


def error_of(events: list[Any]) -> dict[str, Any]:
    """The error that is the only event."""
    ((kind, reason),) = events
    assert kind == "error"
    assert isinstance(reason, dict)
    return reason


@every_client
def test_a_replica_that_dies_ends_what_it_was_asked(mortal: Mortal, client: NestClient) -> None:
    key = next(keys)
    asked = client.begin("many", items=[["gate", key], ["ticks", {"n": 1000, "every": 20, "key": key}]])
    assert client.value("ran", {"key": f"gate:{key}"}) == 1
    client.value("ran", {"key": f"ticks:{key}", "times": 3})
    client.value("echo", "what the replica sent before has arrived")
    mortal.server.kill()
    request, stream = asked.result(10)["events"]
    assert request == [["error", mortal.lost]]
    assert stream[:2] == [["next", 0], ["next", 1]]
    assert [event[1] for event in stream[:-1]] == list(range(len(stream) - 1))
    assert stream[-1] == ["error", mortal.lost]
    mortal.server.start()
    until_answered(client)


@every_client
def test_no_replica_at_all(mortal: Mortal, client: NestClient) -> None:
    mortal.server.kill()
    until_gone(client, mortal)
    reason = error_of(client.send("echo", 1))
    if mortal.way == "direct":
        assert reason["code"] == "ECONNREFUSED"
    else:
        assert says_down(reason)
    mortal.server.start()
    until_answered(client)


def says_down(reason: dict[str, str]) -> bool:
    """Whether a request failed because no endpoint was there.

    At first the sidecar answers `no_endpoints`; after a grace its port is closed, and the client reports that.
    """
    if reason.get("code") == "no_endpoints":
        return set(reason) == {"status", "message", "code"} and reason["status"] == "error"
    return "ECONNREFUSED" in reason["message"] or reason["message"] == "Connection closed"


def until_gone(client: NestClient, mortal: Mortal) -> None:
    """Send until nothing in between thinks any more that its connection to the dead replica stands."""
    deadline = time.monotonic() + BACK_SECONDS
    while error_of(client.send("echo", 1)) == mortal.lost:
        assert time.monotonic() < deadline


@every_client
@pytest.mark.parametrize("way", SIDECAR_WAYS)
def test_a_service_that_never_had_a_replica(bench: Bench, major: Major, way: Way) -> None:
    nowhere = 1  # a port that nobody listens on
    with (
        front(way, {"empty": [nowhere]}) as opened,
        NestClient(major, opened.ports["empty"], process=bench.process(major)) as client,
    ):
        assert says_down(error_of(client.send("echo", 1)))
        assert client.emit("ev", 1)[-1][0] in ("complete", "error"), (
            "an event ends, whether its service is there or not"
        )
        assert says_down(error_of(client.send("echo", 1)))


@every_client
def test_a_sidecar_that_dies_is_a_connection_lost(bench: Bench, major: Major) -> None:
    target = ["--upstream", f"nest=127.0.0.1:{bench.port('direct', 12)}", "--listen"]
    sidecar = Sidecar(*target, "nest=127.0.0.1:0").start()
    port = sidecar.ports["nest"]
    try:
        with NestClient(major, port, process=bench.process(major)) as client:
            key = next(keys)
            asked = client.begin("send", pattern="gate", data=key)
            assert client.value("ran", {"key": f"gate:{key}"}) == 1
            sidecar.kill()
            assert asked.result(10) == [["error", LOST_DIRECTLY]]
            assert error_of(client.send("echo", 1))["code"] == "ECONNREFUSED"
            with Sidecar(*target, f"nest=127.0.0.1:{port}"):
                assert client.value("echo", "back") == "back"
    finally:
        sidecar.kill()
