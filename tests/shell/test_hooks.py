"""The hooks that the kubelet calls when a pod ends: the word, and the gate that holds the app's SIGTERM."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from interop.manifests import endpoint_slice, tcp_service, write_documents
from interop.rawpeer import RawCaller, RawReplica, frame, request
from interop.sidecar import Sidecar
from shell.running import SECONDS, Answer, ask, events, logged, packet, reply
from tcpservice_sidecar.gate import LEAST

GREETING = b"TCPS/1 default/orders -\n"
GOAWAY, BACK = b"!6#goaway", b"!4#back"


def front(folder: Path, replica: RawReplica, *flags: str, timeout: str = "20s") -> Sidecar:
    """Run the sidecar of a pod that serves: others come to its front, the own app to its listener."""
    spec = {"drain": {"timeout": timeout, "streamTimeout": "20s"}}
    slices = endpoint_slice("orders", replica.port, port_name="app")
    manifest = write_documents(folder / "orders.yaml", [tcp_service("orders", spec), slices])
    return Sidecar(
        "--file", str(manifest), "--front", "orders=127.0.0.1:0", "--listen", "orders=127.0.0.1:0",
        "--admin", "127.0.0.1:0", *flags,
    )  # fmt: skip


@contextmanager
def pod(folder: Path, app: RawReplica, *flags: str) -> Iterator[Sidecar]:
    """Run the sidecar of a pod whose app answers others, too: they come to its mesh listener, or to its front."""
    slices = endpoint_slice("orders", app.port, port_name="app")
    manifest = write_documents(folder / "orders.yaml", [tcp_service("orders"), slices])
    with Sidecar(
        "--file", str(manifest), "--front", "orders=127.0.0.1:0", "--mesh", "127.0.0.1:0",
        "--app", f"orders=127.0.0.1:{app.port}", "--admin", "127.0.0.1:0", *flags,
    ) as sidecar:  # fmt: skip
        logged(sidecar, "endpoint_recovered")
        yield sidecar


def meshed(sidecar: Sidecar) -> RawCaller:
    """Connect as another sidecar."""
    other = RawCaller(sidecar.ports["mesh"])
    other.send(GREETING)
    assert other.read(len(GREETING)) == GREETING
    return other


def caller(sidecar: Sidecar, name: str = "front/orders") -> RawCaller:
    """Connect from elsewhere, or as the own app."""
    return RawCaller(sidecar.ports[name])


def at_the_gate(sidecar: Sidecar) -> tuple[threading.Thread, list[Answer]]:
    """Ask as the kubelet does, and do not wait."""
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(ask(sidecar, "/gate")))
    thread.start()
    return thread, answers


def told_to_end(sidecar: Sidecar) -> tuple[threading.Thread, list[Answer]]:
    """Call both hooks in the same instant, as the kubelet does when the pod ends, and do not wait at the gate."""
    sidecar.signal(signal.SIGSTOP)  # so that it finds both calls at once
    try:
        gate, leave = called(sidecar, "/gate"), called(sidecar, "/leave")
    finally:
        sidecar.signal(signal.SIGCONT)
    assert answer_of(leave) == (200, "leaving\n")
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(answer_of(gate)))
    thread.start()
    return thread, answers


def called(sidecar: Sidecar, path: str) -> HTTPConnection:
    connection = HTTPConnection("127.0.0.1", sidecar.ports["admin"], timeout=SECONDS)
    connection.request("POST", path)
    return connection


def answer_of(call: HTTPConnection) -> Answer:
    with closing(call):
        answer = call.getresponse()
        return Answer(answer.status, answer.read().decode())


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_only_whoever_has_the_key_is_heard(tmp_path: Path, method: str) -> None:
    with RawReplica() as replica, front(tmp_path, replica, "--hook-key=secret") as sidecar:
        for path in ("/leave", "/gate", "/drain"):
            for given in ({}, {"X-TcpService-Key": "wrong"}, {"X-TcpService-Key": "\xff"}):
                status, text = ask(sidecar, path, method=method, headers=given)
                assert (status, text) == (403, "this needs the key of --hook-key as the header X-TcpService-Key\n")
        assert ask(sidecar, "/readyz").status == 200, "nothing has happened"
        assert ask(sidecar, "/gate", method=method, headers={"X-TcpService-Key": "secret"}) == (200, "quiet\n")
        assert not events(sidecar, "internal_error")


@pytest.mark.parametrize(("method", "headers"), [("GET", {}), ("POST", {"Origin": "https://elsewhere.example"})])
def test_no_web_page_can_end_a_sidecar_on_a_laptop(tmp_path: Path, method: str, headers: dict[str, str]) -> None:
    with RawReplica() as replica, front(tmp_path, replica) as sidecar:
        for path in ("/leave", "/gate", "/drain"):
            status, text = ask(sidecar, path, method=method, headers=headers)
            assert (status, text) == (403, "this changes the state: it needs POST, not from a web page\n")
        assert ask(sidecar, "/readyz").status == 200, "nothing has happened"


def test_the_gate_holds_until_others_have_nothing_in_flight(tmp_path: Path) -> None:
    with (
        RawReplica() as replica,
        front(tmp_path, replica) as sidecar,
        caller(sidecar) as other,
    ):
        other.send(request("sum", 1, "1"))
        arrived = replica.next()
        held, answers = told_to_end(sidecar)
        assert ask(sidecar, "/readyz").status == 200, "the own app may go on calling"
        with caller(sidecar, "orders") as own:
            own.send(request("sum", 1, "own"))
            second = replica.next()
            assert not answers
            arrived.answer(reply(arrived.id))
            assert packet(other)["response"] == "ok"
            held.join(30)
            assert answers == [Answer(200, "quiet\n")]
            second.answer(reply(second.id))
            assert packet(own)["response"] == "ok", "what the own app asked holds nothing up, and is answered"
        sidecar.signal(signal.SIGTERM)
        assert sidecar.process.wait() == 0


def test_what_takes_too_long_holds_no_longer_than_the_limits(tmp_path: Path) -> None:
    with (
        RawReplica() as replica,
        front(tmp_path, replica, timeout="1s") as sidecar,
        caller(sidecar) as other,
    ):
        other.send(request("sum", 1, "1"))
        replica.next()
        ask(sidecar, "/leave")
        assert ask(sidecar, "/gate") == (200, "late\n")
        assert logged(sidecar, "drain_timeout")[0]["message"] == "1 messages did not finish in time"


def test_streams_hold_it_longer_whatever_else_is_said(tmp_path: Path) -> None:
    with (
        RawReplica() as replica,
        front(tmp_path, replica, timeout="1s") as sidecar,
        caller(sidecar) as other,
        caller(sidecar) as chatty,
    ):
        other.send(request("count", 1, "1"))
        stream = replica.next()
        stream.answer(frame(b'{"response":0,"id":"1"}'))
        packet(other)
        held, answers = told_to_end(sidecar)
        begun = time.monotonic()
        for number in itertools.count(2):
            chatty.send(request("sum", 1, str(number)))
            arrived = replica.next()
            arrived.answer(reply(arrived.id))  # not the caller's own: only so many short ids are taken over
            packet(chatty)
            if time.monotonic() > begun + 1.5:
                break
        assert not answers, "it is past drain.timeout, and before drain.streamTimeout"
        stream.answer(reply("1"))
        packet(other)
        held.join(30)
        assert answers == [Answer(200, "quiet\n")]


def test_it_holds_no_longer_than_the_pod_has_to_end(tmp_path: Path) -> None:
    with RawReplica() as replica, pod(tmp_path, replica, "--grace=1s") as sidecar, caller(sidecar) as other:
        other.send(request("sum", 1, "1"))
        replica.next()
        ask(sidecar, "/leave")
        assert ask(sidecar, "/gate") == (200, "late\n"), "long before the 20 s of the manifest"


def test_who_has_not_heard_of_it_yet_is_served(tmp_path: Path) -> None:
    with RawReplica() as replica, pod(tmp_path, replica) as sidecar:
        begun = time.monotonic_ns()
        held, answers = told_to_end(sidecar)
        for number in range(3):
            time.sleep(0.3)
            with caller(sidecar) as other:
                other.send(request("sum", 1, str(number)))
                replica.next().answer(reply(str(number)))
                assert packet(other)["response"] == "ok"
        held.join(30)
        assert answers == [Answer(200, "quiet\n")]
        assert time.monotonic_ns() >= begun + LEAST, "callers that have not heard of the shutdown are waited for"


def test_other_sidecars_hear_of_it_at_once(tmp_path: Path) -> None:
    with RawReplica() as replica, pod(tmp_path, replica) as sidecar, meshed(sidecar) as other:
        ask(sidecar, "/leave")
        assert other.read(len(GOAWAY)) == GOAWAY


def test_an_app_that_is_made_anew_alone_finishes_what_it_has_and_others_are_told_until_it_is_back(
    tmp_path: Path,
) -> None:
    with RawReplica() as app, pod(tmp_path, app) as sidecar, meshed(sidecar) as other:
        other.send(request("sum", 1, "1"))
        arrived = app.next()
        held, answers = at_the_gate(sidecar)
        question = app.next()
        question.answer(reply(question.id))
        while not events(sidecar, "app_stopping"):
            held.join(0.05)
            if answers:  # the app is asked again, as its answer came too late
                assert answers == [Answer(200, "unanswering\n")]
                held, answers = at_the_gate(sidecar)
                question = app.next()
                question.answer(reply(question.id))
        assert other.read(len(GOAWAY)) == GOAWAY
        assert not answers
        arrived.answer(reply("1"))
        assert packet(other)["response"] == "ok"
        stopping = time.monotonic()
        held.join(30)
        assert answers == [Answer(200, "quiet\n")]
        assert time.monotonic() - stopping > 1, "others have the time to hear of it"
        port = app.port
        app.close()
        with RawReplica(port=port) as anew:
            assert other.read(len(BACK)) == BACK
            other.send(request("sum", 1, "2"))
            anew.next().answer(reply("2"))
            assert packet(other)["response"] == "ok"
        assert not events(sidecar, "leaving")


def test_an_app_that_does_not_answer_is_not_held(tmp_path: Path) -> None:
    with RawReplica() as app, pod(tmp_path, app) as sidecar, meshed(sidecar) as other:
        other.send(request("sum", 1, "1"))
        arrived = app.next()
        assert ask(sidecar, "/gate") == (200, "unanswering\n")
        arrived.answer(reply("1"))
        assert packet(other)["response"] == "ok"


@pytest.mark.parametrize("names", [["orders"], ["orders", "front/orders"]])
def test_an_app_that_is_told_to_end_together_with_its_sidecar_finishes_its_last_calls(
    tmp_path: Path, names: list[str]
) -> None:
    """The pod's grace period has run out: the kubelet tells all, and kills all two seconds later."""
    with RawReplica() as replica, front(tmp_path, replica) as sidecar:
        with ExitStack() as connected:
            before = [connected.enter_context(caller(sidecar, name)) for name in names]
            before[-1].send(request("sum", 1, "0"))
            arrived = replica.next()
            told_to_end(sidecar)
            sidecar.signal(signal.SIGTERM)
            logged(sidecar, "draining")
            arrived.answer(reply("0"))
            assert packet(before[-1])["response"] == "ok"
            time.sleep(0.6)
            with caller(sidecar, "orders") as own:
                own.send(request("sum", 1, "1"))
                replica.next().answer(reply("1"))
                assert packet(own)["response"] == "ok"
            with pytest.raises(ConnectionRefusedError):
                caller(sidecar)
        assert sidecar.process.wait() == 0


def test_callers_of_others_are_let_go_when_they_are_idle(tmp_path: Path) -> None:
    with RawReplica() as replica, front(tmp_path, replica) as sidecar:
        with caller(sidecar) as other, caller(sidecar, "orders") as own:
            ask(sidecar, "/leave")
            assert other.rest() == b""
            own.send(request("sum", 1, "1"))
            arrived = replica.next()
            arrived.answer(reply(arrived.id))
            assert packet(own)["response"] == "ok"
        logged(sidecar, "leaving")
