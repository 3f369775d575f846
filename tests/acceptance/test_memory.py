"""Whatever callers send, or do not read, a sidecar in a container of 256Mi is not killed, and others are served.

Where the app itself is busy with what was sent, the test runs on a direct connection, too: its neighbour's times are
what those through sidecars compare with.
"""

from __future__ import annotations

import contextlib
import socket
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

import pytest

from acceptance.crowds import Crowd, read_to_end
from acceptance.limits import LimitedSidecar
from acceptance.programs import App, Caller, Neighbour
from acceptance.topology import FULL, WAYS, WAYS_AND_DIRECT, Topology, Way, stall
from interop.rawpeer import RawCaller, request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from interop.node import Major

MEGABYTE = 1_000_000
CODES = {"overloaded", "timeout", "frame_too_large", "no_endpoints"}
STALL_SECONDS = 30 if FULL else 3
HELD_SECONDS = STALL_SECONDS + 4
NEIGHBOUR_MS = 60_000
"""A neighbour may wait behind what others asked for, and for readers that take nothing until they are closed."""
CLIENT_SECONDS = 30
"""A NestJS client writes the beginning of a frame, then may be busy for seconds with turning others into text."""
LOG_TAIL = 2000


class Scene(NamedTuple):
    """A service under a memory limit, and a neighbour whose requests must all be answered."""

    topology: Topology
    neighbour: Neighbour

    @property
    def port(self) -> int:
        return self.topology.port


@contextmanager
def limited(
    what: str, way: Way, folder: Path, major: Major = 12, *, stall_seconds: int = STALL_SECONDS
) -> Iterator[Scene]:
    """Run a test between checks that no sidecar was killed and that the neighbour was served."""
    with (
        App(major) as app,
        Topology(
            way,
            folder,
            [app.port],
            flags=stall(stall_seconds),
            sidecar=LimitedSidecar,
            replica_sidecar=LimitedSidecar,
        ) as topology,
        Neighbour(topology.port, timeout=NEIGHBOUR_MS) as neighbour,
    ):
        try:
            yield Scene(topology, neighbour)
        finally:
            survived(what, topology)
            assert app.process.alive, f"the app ended: {app.process}"
        neighbour.unharmed(what)
        assert topology.ask("/livez").status == 200


def survived(what: str, topology: Topology) -> None:
    """Check first that no sidecar was killed, since all else follows from that."""
    for place, sidecar in zip(["callers'", *["replica's"] * 9], topology.sidecars, strict=False):
        assert isinstance(sidecar, LimitedSidecar)
        print(f"{what}: the {place} sidecar had {sidecar.peak >> 20} MiB at most; its log ends with:")
        print(sidecar.stderr[-LOG_TAIL:])
        assert sidecar.survived, f"the {place} sidecar was killed; it had {sidecar.peak >> 20} MiB"


def all_answered(callers: list[Caller], within: float = 90.0) -> None:
    reports = [caller.report(within) for caller in callers]
    assert [report.failed for report in reports] == [{}] * len(reports)
    assert all(report.answered == report.sent and report.wrong == 0 for report in reports), reports


@pytest.mark.parametrize("way", WAYS_AND_DIRECT)
def test_buffers_of_5_mb(tmp_path: Path, way: Way) -> None:
    """Four callers with six each: 240 MB as NestJS writes them, which the replica takes more slowly than they come."""
    size = 5 * MEGABYTE
    with (
        limited("4 x 6 Buffers of 5 MB", way, tmp_path, stall_seconds=CLIENT_SECONDS) as scene,
        ExitStack() as stack,
    ):
        options = {"pattern": "length", "buffer": size, "value": size, "total": 6, "timeout": 80_000}
        callers = [Caller(scene.port, options) for _ in range(4)]
        all_answered([stack.enter_context(caller) for caller in callers])


@pytest.mark.parametrize("way", WAYS_AND_DIRECT)
def test_32_requests_of_3_mb(tmp_path: Path, way: Way) -> None:
    size = 3 * MEGABYTE
    with (
        limited("32 requests of 3 MB", way, tmp_path, stall_seconds=CLIENT_SECONDS) as scene,
        ExitStack() as stack,
    ):
        numbers = size // 2  # a Buffer is written as a list of numbers, here two characters each
        options = {"pattern": "length", "buffer": numbers, "value": numbers, "total": 16, "timeout": 80_000}
        all_answered([stack.enter_context(Caller(scene.port, options)) for _ in range(2)])


@pytest.mark.parametrize("way", WAYS)
def test_200_half_sent_frames_of_3_mb(tmp_path: Path, way: Way) -> None:
    half = b"%d#%b" % (3 * MEGABYTE, b'{"pattern":"echo","data":"' + b"x" * (3 * MEGABYTE // 2))
    with limited("200 half-sent frames of 3 MB", way, tmp_path) as scene, Crowd(scene.port, 200) as crowd:
        taken = crowd.send(half, quiet=STALL_SECONDS)
        print(f"{taken // MEGABYTE} of {len(half) * 200 // MEGABYTE} MB were taken")
        time.sleep(HELD_SECONDS)


@pytest.mark.parametrize("way", WAYS)
def test_frames_of_which_a_byte_comes_now_and_then(tmp_path: Path, way: Way) -> None:
    """A drip of bytes is not progress enough to keep 300 MB for as long as one likes."""
    half = b"%d#%b" % (16 * MEGABYTE, b'{"pattern":"echo","data":"' + b"x" * (12 * MEGABYTE))
    with limited("30 dripping frames of 16 MB", way, tmp_path) as scene, Crowd(scene.port, 30) as crowd:
        crowd.send(half, quiet=STALL_SECONDS)
        deadline = time.monotonic() + HELD_SECONDS
        while time.monotonic() < deadline:
            crowd.send(b"x", quiet=0.2)
            time.sleep(0.2)


@pytest.mark.parametrize("way", WAYS)
def test_5000_idle_connections(tmp_path: Path, way: Way) -> None:
    with limited("5,000 idle connections", way, tmp_path) as scene, Crowd(scene.port, 5000) as crowd:
        assert len(crowd.sockets) + crowd.refused == 5000
        print(f"{crowd.refused} of 5,000 connections were refused")
        with RawCaller(scene.port) as caller:
            caller.send(request("echo", "in between", "1"))
            assert b"in between" in caller.read(40)
        time.sleep(2)


def ask_in_rounds(crowd: Crowd, size: int, *, rounds: int, at_once: int) -> None:
    """Request replies of a size on all connections, not so many at once that the app itself gives up its connection.

    NestJS 12 closes a connection for which it holds more than 128 MiB of replies; it stops reading requests before
    that, but for those that have come in one read.
    """
    sockets = crowd.sockets
    for turn in range(rounds):
        for first in range(0, len(sockets), at_once):
            for sock in sockets[first : first + at_once]:
                with contextlib.suppress(OSError):
                    sock.send(request("large", size, f"{turn}"))
            time.sleep(0.2)


@pytest.mark.parametrize("way", WAYS_AND_DIRECT)
@pytest.mark.parametrize("major", [10, 12])
def test_1000_readers_that_do_not_read(tmp_path: Path, way: Way, major: Major) -> None:
    """Each asks for a reply of 1 MB, most of which the kernel of the sidecar's machine holds."""
    with (
        limited(f"1,000 readers that do not read (NestJS {major})", way, tmp_path, major) as scene,
        Crowd(scene.port, 1000, receive_buffer=4096) as crowd,
    ):
        ask_in_rounds(crowd, MEGABYTE, rounds=1, at_once=50)
        time.sleep(HELD_SECONDS + 2)


@pytest.mark.parametrize("way", WAYS_AND_DIRECT)
@pytest.mark.parametrize("major", [10, 12])
def test_20_readers_that_do_not_read_40_mb(tmp_path: Path, way: Way, major: Major) -> None:
    """More than kernels hold: 800 MB of replies that nobody reads."""
    with (
        limited(f"20 readers that do not read 40 MB (NestJS {major})", way, tmp_path, major) as scene,
        Crowd(scene.port, 20, receive_buffer=4096) as crowd,
    ):
        ask_in_rounds(crowd, 4 * MEGABYTE, rounds=10, at_once=20)
        time.sleep(HELD_SECONDS + 2)


@pytest.mark.parametrize("way", ["direct", *WAYS])
def test_a_slow_client_gets_2000_replies_of_100_kb(tmp_path: Path, way: str) -> None:
    """A stock client that computes 2 ms for each of 2,000 replies, all requested at once."""
    options = {"pattern": "large", "data": 100_000, "value": {"length": 100_000}, "total": 2000, "work": 2}
    with ExitStack() as stack:
        if way == "direct":
            port = stack.enter_context(App()).port
        else:
            port = stack.enter_context(
                limited("2,000 replies of 100 KB", "one" if way == "one" else "two", tmp_path)
            ).port
        all_answered([stack.enter_context(Caller(port, {**options, "timeout": 80_000}))])


class Pace:
    """Bytes a second."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._began = time.monotonic()
        self._read = 0

    def wait(self, size: int) -> None:
        """Wait until that many more bytes may be read."""
        self._read += size
        time.sleep(max(0.0, self._began + self._read / self._rate - time.monotonic()))


def frame_sizes(sock: socket.socket, count: int, rate: float) -> list[int]:
    """Read that many ASCII frames at a rate; return their sizes."""
    sock.settimeout(30)
    pace = Pace(rate)
    sizes: list[int] = []
    prefix = b""
    missing = 0
    while len(sizes) < count:
        data = memoryview(sock.recv(1 << 20))
        if not data:
            break
        pace.wait(len(data))
        while data:
            if missing:
                taken = min(missing, len(data))
                missing -= taken
                data = data[taken:]
                if not missing:
                    sizes.append(int(prefix[:-1]))
                    prefix = b""
            else:
                prefix += bytes(data[:1])
                data = data[1:]
                if prefix.endswith(b"#"):
                    missing = int(prefix[:-1])
    return sizes


@pytest.mark.parametrize("way", ["direct", *WAYS])
def test_30_replies_of_10_mib_read_at_100_mb_a_second(tmp_path: Path, way: str) -> None:
    """The replica is NestJS 10, which bounds nothing itself."""
    size = 10 << 20
    with ExitStack() as stack:
        if way == "direct":
            port = stack.enter_context(App(10)).port
        else:
            scene = limited("30 replies of 10 MiB", "one" if way == "one" else "two", tmp_path, 10)
            port = stack.enter_context(scene).port
        sock = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        sock.sendall(b"".join(request("large", size, str(place)) for place in range(30)))
        sizes = frame_sizes(sock, 30, 100 * MEGABYTE)
        assert len(sizes) == 30
        assert min(sizes) > size


@pytest.mark.parametrize("way", WAYS)
def test_only_a_reader_that_takes_no_byte_is_closed(tmp_path: Path, way: Way) -> None:
    """Beside it: one that reads little at a time, and one that has nothing to read."""
    wanted = 40 * MEGABYTE
    ask = b"".join(request("large", MEGABYTE, str(place)) for place in range(40))
    with (
        App(10) as app,
        Topology(way, tmp_path, [app.port], flags=stall(STALL_SECONDS)) as topology,
        RawCaller(topology.port) as idle,
        Crowd(topology.port, 2, receive_buffer=65536) as crowd,
    ):
        silent, slow = crowd.sockets
        for sock in (silent, slow):
            sock.setblocking(True)
            sock.sendall(ask)
        taken = 0
        slow.settimeout(10)
        # It takes longer than a stall. A sidecar sees progress only each time that its kernel has room for another MB.
        pace = Pace(min(2 * MEGABYTE, wanted // (2 * STALL_SECONDS)))
        deadline = time.monotonic() + 3 * STALL_SECONDS
        while time.monotonic() < deadline and taken < wanted:
            data = slow.recv(100_000)
            assert data, f"the slow reader was closed after {taken} of {wanted} bytes"
            taken += len(data)
            pace.wait(len(data))
        assert read_to_end(silent, within=10) < wanted, "the reader that took no byte was not closed"
        while taken < wanted:
            data = slow.recv(1 << 20)
            assert data, f"the slow reader was closed after {taken} of {wanted} bytes"
            taken += len(data)
        assert not idle.closed_within(0.5)
        idle.send(request("echo", "still here", "1"))
        assert b"still here" in idle.read(40)
