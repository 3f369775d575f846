"""Requests that no caller waits for, and connections that are quiet, cost others nothing.

NestJS has no message for "unsubscribed": `take(1)`, `firstValueFrom` and rxjs `timeout` send nothing, so a stream goes
on and a request without an answer stays open at the replica. On a direct connection the next request is still answered.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from acceptance.programs import App
from acceptance.topology import FULL, WAYS, WAYS_AND_DIRECT, Topology, Way, stall
from acceptance.waiting import stays, until
from interop.nest import ClientProcess, NestClient
from interop.rawpeer import RawCaller, frame, request
from shell.running import reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ABANDONED = 1100
STALL_SECONDS = 30 if FULL else 3
QUIET_SECONDS = 3 * STALL_SECONDS
ANSWERED_MS = 8000
INTERVAL_MS = 200 if FULL else 1000


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    with App() as app:
        yield app


@pytest.fixture(scope="module")
def process() -> Iterator[ClientProcess]:
    with ClientProcess(12) as process:
        yield process


def answered(client: NestClient, text: str) -> None:
    events = client.send("echo", text, timeout=ANSWERED_MS)
    assert events == [["next", text], ["complete"]]


@pytest.mark.parametrize("way", WAYS_AND_DIRECT)
@pytest.mark.parametrize(
    ("pattern", "data"), [("subject", {}), ("interval", INTERVAL_MS)], ids=["behaviour-subject", "interval"]
)
def test_streams_of_which_one_value_was_taken(
    app: App, process: ClientProcess, tmp_path: Path, way: Way, pattern: str, data: object
) -> None:
    with (
        Topology(way, tmp_path, [app.port]) as topology,
        NestClient(12, topology.port, process=process) as client,
        NestClient(12, topology.port, process=process) as other,
    ):
        taken = [client.begin("send", pattern=pattern, data=data, take=1) for _ in range(ABANDONED)]
        kinds = {tuple(kind for kind, *_ in each.result(40)) for each in taken}
        assert kinds == {("next", "complete")}
        answered(client, "the same caller")
        answered(other, "another caller")


@pytest.mark.parametrize("way", WAYS_AND_DIRECT)
def test_requests_that_the_caller_gave_up(app: App, process: ClientProcess, tmp_path: Path, way: Way) -> None:
    with (
        Topology(way, tmp_path, [app.port]) as topology,
        NestClient(12, topology.port, process=process) as client,
        NestClient(12, topology.port, process=process) as other,
    ):
        given_up = [client.begin("send", pattern="never", data=1, timeout=1000) for _ in range(ABANDONED)]
        for each in given_up:
            ((kind, reason),) = each.result(40)
            assert (kind, reason["name"]) == ("error", "TimeoutError")
        answered(client, "the same caller")
        answered(other, "another caller")


@pytest.mark.parametrize("way", WAYS_AND_DIRECT)
def test_a_caller_that_is_quiet_after_a_frame_in_two_reads(app: App, tmp_path: Path, way: Way) -> None:
    with (
        Topology(way, tmp_path, [app.port], flags=stall(STALL_SECONDS)) as topology,
        RawCaller(topology.port) as caller,
    ):
        whole = request("echo", "x" * 1000, "1")
        caller.send(whole[:500])
        time.sleep(0.2)  # so that the sidecar reads it in two pieces
        caller.send(whole[500:])
        wanted = reply("1", "x" * 1000)
        assert caller.read(len(wanted)) == wanted
        assert not caller.closed_within(QUIET_SECONDS)
        caller.send(request("echo", "y", "2"))
        wanted = reply("2", "y")
        assert caller.read(len(wanted)) == wanted


@pytest.mark.parametrize("way", WAYS)
def test_a_sidecars_own_connection_that_is_quiet_after_frames_in_two_reads(app: App, tmp_path: Path, way: Way) -> None:
    """The connection to the endpoint (the app, or the app's sidecar) stays open, since nothing is wrong with it."""
    with (
        Topology(way, tmp_path, [app.port], flags=stall(STALL_SECONDS), links="caller") as topology,
        RawCaller(topology.port) as caller,
    ):
        (link,) = topology.links
        caller.send(request("echo", "first", "0"))
        assert caller.read(len(reply("0", "first"))) == reply("0", "first")
        link.pieces, link.pause = 500, 0.2
        caller.send(request("echo", "x" * 1000, "1"))
        wanted = reply("1", "x" * 1000)
        assert caller.read(len(wanted)) == wanted
        link.pieces = 0
        standing = link.connections()
        stays(lambda: link.connections() == standing, "the quiet connection is open", seconds=QUIET_SECONDS)
        caller.send(request("echo", "y", "2"))
        assert caller.read(len(reply("2", "y"))) == reply("2", "y")


@pytest.mark.parametrize("way", WAYS)
def test_a_half_frame_is_still_closed_after_the_stall_time(app: App, tmp_path: Path, way: Way) -> None:
    """The counterpart: a frame that never becomes complete has a deadline."""
    with Topology(way, tmp_path, [app.port], flags=stall(1)) as topology, RawCaller(topology.port) as caller:
        caller.send(frame(b'{"pattern":"echo"}')[:9])
        until(lambda: caller.closed_within(1.0), "closed", within=15)
