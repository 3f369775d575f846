"""A service without a reachable replica looks as it does on a direct connection: nobody accepts connections.

Terminus' `pingCheck` of a NestJS microservice is a ClientProxy's `connect()`; apps watch `client.status`; `emit` fails
where the connection cannot be made. Nothing is restarted for this: the sidecar stays ready.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

import pytest

from acceptance.programs import App
from acceptance.topology import WAYS, WAYS_AND_DIRECT, Topology, Way
from acceptance.waiting import stays, until
from interop.nest import ClientProcess, NestClient
from interop.node import MAJORS, Major

if TYPE_CHECKING:
    from pathlib import Path

DOWN_SECONDS = 15.0
"""A grace for apps that start is part of it."""
UP_SECONDS = 3.0


def refused(port: int) -> bool:
    """Whether a TCP connection is refused, as by a port that nobody listens at."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def answers(client: NestClient) -> bool:
    events: list[Any] = client.send("echo", "hi", timeout=5000)
    return events == [["next", "hi"], ["complete"]]


def is_refused(events: list[Any]) -> bool:
    """Whether a call ended as one to a closed port does."""
    return len(events) == 1 and events[0][0] == "error" and events[0][1].get("code") == "ECONNREFUSED"


@pytest.mark.parametrize("major", MAJORS)
@pytest.mark.parametrize("way", WAYS_AND_DIRECT)
def test_a_service_goes_down_and_comes_back(tmp_path: Path, way: Way, major: Major) -> None:
    with (
        App(major) as app,
        Topology(way, tmp_path, [app.port]) as topology,
        ClientProcess(major) as process,
        NestClient(major, topology.port, process=process) as client,
        NestClient(major, topology.port, process=process) as probe,
    ):
        assert answers(client)
        assert probe.call("connect") is True
        assert topology.ask("/readyz").status == 200
        pids = [each.pid for each in topology.sidecars]

        app.kill()
        until(lambda: refused(topology.port), "a TCP connection is refused", within=DOWN_SECONDS)
        if major > 10:
            until(
                lambda: client.call("status")[-1] == "disconnected", "client.status is disconnected", within=UP_SECONDS
            )
        until(lambda: is_refused(client.send("echo", "hi", timeout=5000)), "requests are refused", within=UP_SECONDS)
        assert is_refused(client.emit("event", "lost"))
        probe.call("open", host="127.0.0.1", port=topology.port)
        assert probe.call("connect")["code"] == "ECONNREFUSED"
        stays(lambda: refused(topology.port), "a TCP connection is refused", seconds=1)
        assert topology.ask("/readyz").status == 200
        assert topology.ask("/livez").status == 200

        app.start()
        until(lambda: answers(client), "requests are answered", within=UP_SECONDS)
        probe.call("open", host="127.0.0.1", port=topology.port)
        assert probe.call("connect") is True
        assert not refused(topology.port)
        if major > 10:
            assert client.call("status")[-1] == "connected"
        assert topology.ask("/readyz").status == 200
        assert pids == [each.pid for each in topology.sidecars]
        assert all(each.process.alive for each in topology.sidecars)


@pytest.mark.parametrize("way", WAYS_AND_DIRECT)
def test_an_idle_connection_ends_with_the_last_replica(tmp_path: Path, way: Way) -> None:
    with (
        App() as app,
        Topology(way, tmp_path, [app.port]) as topology,
        socket.create_connection(("127.0.0.1", topology.port), timeout=DOWN_SECONDS) as idle,
    ):
        app.kill()
        with contextlib.suppress(ConnectionResetError):
            assert idle.recv(1) == b""


@pytest.mark.parametrize("way", WAYS)
def test_one_reachable_replica_of_two_is_enough(tmp_path: Path, way: Way) -> None:
    """The counterpart: while one endpoint is reachable, connections stay open and new ones are accepted."""
    with (
        App() as app,
        App() as other,
        Topology(way, tmp_path, [app.port, other.port]) as topology,
        NestClient(12, topology.port) as client,
    ):
        assert answers(client)
        other.kill()
        stays(lambda: not refused(topology.port) and answers(client), "one replica serves", seconds=5)
        assert client.call("status") == ["connected"]
