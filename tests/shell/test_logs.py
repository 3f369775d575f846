"""The log: one line per event, for people or machines, and never a flood."""

from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from interop.rawpeer import RawCaller, RawReplica, request
from shell.running import packet, serve, wait_until
from tcpservice_sidecar.linewriter import WAITING_LINES, LineWriter
from tcpservice_sidecar.logs import LINES_PER_SECOND, Log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("tcpservice_sidecar.logs.time.monotonic", lambda: now[0])
    return now


def test_people_get_a_line_with_what_belongs_to_the_event() -> None:
    stream = Terminal()
    Log(stream).warn("endpoint_ejected", "connect ECONNREFUSED", service="shop/orders", replica="r1", peer=None)
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d warning endpoint_ejected: connect ECONNREFUSED \(service=shop/orders replica=r1\)\n",
        stream.getvalue(),
    )


def test_machines_get_an_object() -> None:
    stream = io.StringIO()
    Log(stream).error("manifest_refused", "bad", service="shop/orders", peer="")
    line = json.loads(stream.getvalue())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {"level": "error", "event": "manifest_refused", "message": "bad", "service": "shop/orders"}


@pytest.mark.parametrize(("log_format", "human"), [("human", True), ("json", False)])
def test_a_format_that_is_asked_for_wins_over_the_terminal(log_format: str, human: bool) -> None:
    stream = Terminal()
    Log(stream, log_format).info("draining", "leaving")
    assert stream.getvalue().startswith("{") is not human


def test_what_a_peer_sent_cannot_make_a_line_of_its_own() -> None:
    for log_format in ("human", "json"):
        stream = io.StringIO()
        Log(stream, log_format).warn("downstream_malformed", "got 'a\r\nb'")
        assert stream.getvalue().count("\n") == 1
        assert "\r" not in stream.getvalue()


def test_a_flood_is_cut_and_counted_by_kind(clock: list[float]) -> None:
    stream = io.StringIO()
    log = Log(stream, "json")
    for _ in range(LINES_PER_SECOND + 7):
        log.warn("downstream_malformed", "bad")
    log.warn("endpoint_ejected", "other")
    clock[0] += 1
    log.warn("downstream_malformed", "bad")
    log.warn("downstream_malformed", "bad")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(lines) == LINES_PER_SECOND + 3
    assert lines[LINES_PER_SECOND]["event"] == "endpoint_ejected"
    assert [line.get("suppressed") for line in lines[-2:]] == [7, None]


def blocked_pipe() -> tuple[int, int]:
    """Make a pipe from which nobody takes, and which is full."""
    reading, writing = os.pipe()
    size = fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writing, b"x" * size)
    return reading, writing


def test_lines_that_nobody_takes_are_left_out_and_counted() -> None:
    reading, writing = blocked_pipe()
    with os.fdopen(reading, "rb") as taken, os.fdopen(writing, "w") as given:
        lines = LineWriter(given)
        for number in range(WAITING_LINES + 10):
            lines.write(f"line {number}\n")
        taken.read(4096)
        found = [taken.readline() for _ in range(3)]
        assert found[0] == b"line 0\n"
        told = json.loads(found[1])
        assert told["event"] == "log_left_out"
        assert told["left_out"] in (9, 10), "one may wait in the thread's hands"
        assert found[2] == b"line 1\n"
        rest = threading.Thread(target=taken.read)
        rest.start()
        lines.close()
    rest.join(10)


def test_a_line_that_was_cut_short_ends_where_the_next_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a disk that fills up, and has room again."""
    write, room, refused = os.write, [4], list[bytes]()

    def writing(descriptor: int, data: bytes) -> int:
        if not room[0]:
            refused.append(data)
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = write(descriptor, data[: room[0]])
        room[0] -= taken
        return taken

    monkeypatch.setattr(os, "write", writing)
    with (tmp_path / "log").open("w") as file:
        lines = LineWriter(file)
        lines.write("first\n")
        lines.write("second\n")
        wait_until(lambda: len(refused) == 2, "there is room no more")
        room[0] = 1000
        lines.write("third\n")
        lines.close()
    first, third, told = (tmp_path / "log").read_text().splitlines()
    assert (first, third, json.loads(told)["left_out"]) == ("firs", "third", 2)


def test_a_pipe_that_another_process_made_non_blocking_is_waited_for() -> None:
    reading, writing = blocked_pipe()
    os.set_blocking(writing, False)
    with os.fdopen(reading, "rb") as taken, os.fdopen(writing, "w") as given:
        lines = LineWriter(given)
        lines.write("line\n")
        assert taken.read(4096) == b"x" * 4096
        assert taken.readline() == b"line\n"
        lines.close()


@contextmanager
def logging_to(stderr: int, replica: RawReplica) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """Run a sidecar that logs there; give its process, and the ports of its callers and of its admin server."""
    command = [sys.executable, "-m", "tcpservice_sidecar", "--listen", "orders=127.0.0.1:0"]
    command += ["--upstream", f"orders=127.0.0.1:{replica.port}", "--admin", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True) as process:
        assert process.stdout is not None
        try:
            callers, admin = (int(process.stdout.readline().rpartition(":")[2]) for _ in range(2))
            yield process, callers, admin
        finally:
            process.kill()


@pytest.mark.parametrize("where", ["a full disk", "a pipe that nobody reads"])
def test_a_log_that_cannot_be_written_holds_no_message_up(where: str) -> None:
    reading, writing = (-1, os.open("/dev/full", os.O_WRONLY)) if where == "a full disk" else blocked_pipe()
    try:
        with RawReplica() as replica, logging_to(writing, replica) as (process, port, admin):
            for _ in range(30):
                with RawCaller(port) as wrong:
                    wrong.send(b"x" * 40)
                    assert wrong.rest() == b"", "each of them makes a line"
            for _ in range(100):
                with RawCaller(admin) as wrong:
                    wrong.send(b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
                    assert b"400 Bad Request" in wrong.rest(), "what libraries log comes to the same log"
            with RawCaller(port) as other:
                other.send(request("sum", 1, "1"))
                serve(replica, 1)
                assert packet(other)["response"] == "ok"
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
    finally:
        os.close(writing)
        if reading >= 0:
            os.close(reading)
