"""The log: one line per event, for people or machines, and never a flood."""

from __future__ import annotations

import io
import json
import re

import pytest

from tcpservice_sidecar.logs import LINES_PER_SECOND, Log


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
    Log(stream).warn("replica_down", "connect ECONNREFUSED", service="shop/orders", replica="r1", peer=None)
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d warning replica_down: connect ECONNREFUSED \(service=shop/orders replica=r1\)\n",
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
        Log(stream, log_format).warn("caller_malformed", "got 'a\r\nb'")
        assert stream.getvalue().count("\n") == 1
        assert "\r" not in stream.getvalue()


def test_a_flood_is_cut_and_counted_by_kind(clock: list[float]) -> None:
    stream = io.StringIO()
    log = Log(stream, "json")
    for _ in range(LINES_PER_SECOND + 7):
        log.warn("caller_malformed", "bad")
    log.warn("replica_down", "other")
    clock[0] += 1
    log.warn("caller_malformed", "bad")
    log.warn("caller_malformed", "bad")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(lines) == LINES_PER_SECOND + 3
    assert lines[LINES_PER_SECOND]["event"] == "replica_down"
    assert [line.get("suppressed") for line in lines[-2:]] == [7, None]
