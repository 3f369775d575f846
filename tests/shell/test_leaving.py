"""Leaving: SIGTERM and /drain finish what is in flight, within limits, and exit 0."""

from __future__ import annotations

import json
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from interop.manifests import endpoint_slice, tcp_service, write_documents
from interop.rawpeer import RawCaller, RawReplica, frame, request
from interop.sidecar import Sidecar
from shell.running import Answer, ask, between, caller, logged, packet, reply

if TYPE_CHECKING:
    from pathlib import Path

GREETING = b"TCPS/1 default/orders -\n"


def begin(sidecar: Sidecar, number: int = signal.SIGTERM) -> None:
    """Tell it to leave, and wait until it has begun to."""
    sidecar.signal(number)
    logged(sidecar, "draining")


def asked_to_drain(sidecar: Sidecar, answers: list[Answer]) -> threading.Thread:
    thread = threading.Thread(target=lambda: answers.append(ask(sidecar, "/drain", method="POST")))
    thread.start()
    logged(sidecar, "draining")
    return thread


def limited(folder: Path, replica: RawReplica) -> Sidecar:
    """Run a sidecar whose service gives requests one second to finish, and streams two."""
    spec = {"drain": {"timeout": "1s", "streamTimeout": "2s"}}
    slices = endpoint_slice("orders", replica.port, port_name="app")
    manifest = write_documents(folder / "orders.yaml", [tcp_service("orders", spec), slices])
    return Sidecar("--file", str(manifest), "--listen", "orders=127.0.0.1:0", "--admin", "127.0.0.1:0")


def test_an_idle_sidecar_leaves_at_once() -> None:
    with between() as (_, sidecar):
        sidecar.signal(signal.SIGTERM)
        assert sidecar.process.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_in_flight_finishes_and_new_callers_are_refused(number: int) -> None:
    with between(flags=("--drain-idle", "300ms")) as (replica, sidecar), caller(sidecar) as client:
        client.send(request("sum", 1, "1"))
        arrived = replica.next()
        begin(sidecar, number)
        assert ask(sidecar, "/readyz") == (503, "draining\n")
        assert ask(sidecar, "/livez").status == 200
        with pytest.raises(ConnectionRefusedError):
            caller(sidecar)
        client.send(request("sum", 1, "2"))
        arrived.answer(reply("1"))
        replica.next().answer(reply("2"))
        assert client.rest() == reply("1") + reply("2")
        assert sidecar.process.wait() == 0
        assert "Traceback" not in sidecar.stderr


def test_a_second_signal_leaves_at_once() -> None:
    with between() as (replica, sidecar), caller(sidecar) as client:
        client.send(request("sum", 1, "1"))
        replica.next()
        begin(sidecar)
        sidecar.signal(signal.SIGTERM)
        assert sidecar.process.wait(20) == 1


def test_what_does_not_finish_in_time_ends_as_draining(tmp_path: Path) -> None:
    with RawReplica() as replica, limited(tmp_path, replica) as sidecar, caller(sidecar) as client:
        client.send(request("sum", 1, "request") + request("sum", 1, "stream"))
        for _ in range(2):
            arrived = replica.next()
            if arrived.id == "stream":
                arrived.answer(frame(b'{"response":0,"id":"stream"}'))
        assert packet(client)["id"] == "stream"
        answers: list[Answer] = []
        thread = asked_to_drain(sidecar, answers)
        for each in ("request", "stream"):
            last = packet(client)
            assert (last["id"], last["err"]["code"]) == (each, "draining")
        thread.join()
        (answer,) = answers
        assert (answer.status, json.loads(answer.text)) == (503, {"drained": False, "inFlight": 0})
        logged(sidecar, "drain_timeout", 2)
        sidecar.signal(signal.SIGTERM)
        assert sidecar.process.wait() == 0


def test_drain_answers_when_nothing_is_in_flight_and_the_process_stays() -> None:
    with between(flags=("--drain-idle", "300ms")) as (replica, sidecar), caller(sidecar) as client:
        client.send(request("sum", 1, "1"))
        arrived = replica.next()
        answers: list[Answer] = []
        thread = asked_to_drain(sidecar, answers)
        assert answers == []
        arrived.answer(reply("1"))
        assert client.rest() == reply("1")
        thread.join()
        assert answers[0].status == 200
        assert json.loads(answers[0].text) == {"drained": True, "inFlight": 0}
        assert ask(sidecar, "/drain").status == 200
        assert sidecar.process.alive


def test_other_sidecars_are_told_and_served_to_the_end() -> None:
    with RawReplica() as app:
        flags = ("--upstream", "orders=127.0.0.1:1", "--mesh", "127.0.0.1:0", "--app", f"orders=127.0.0.1:{app.port}")
        with Sidecar(*flags) as sidecar, RawCaller(sidecar.ports["mesh"]) as other:
            logged(sidecar, "endpoint_recovered")
            other.send(GREETING + request("sum", 1, "1"))
            assert other.read(len(GREETING)) == GREETING
            arrived = app.next()
            begin(sidecar)
            assert other.read(9) == b"!6#goaway"
            other.send(request("sum", 1, "2"))
            late = app.next()
            late.answer(reply("2"))
            arrived.answer(reply("1"))
            assert other.rest() == reply("2") + reply("1")
            assert sidecar.process.wait() == 0


def test_a_caller_that_reads_slowly_gets_all_of_its_last_reply() -> None:
    size = 14 << 20
    with between(flags=("--drain-idle", "300ms")) as (replica, sidecar), caller(sidecar) as client:
        client.send(request("sum", 1, "1"))
        arrived = replica.next()
        expected = reply("1", "x" * size)
        arrived.answer(expected)
        begin(sidecar)
        taken = 0
        while taken < len(expected):
            piece = min(1 << 18, len(expected) - taken)
            assert len(client.read(piece)) == piece
            taken += piece
            time.sleep(0.05)  # a reader of 5 MB/s
        assert sidecar.process.wait(20) == 0
