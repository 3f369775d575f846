"""The hooks that the kubelet calls when a pod ends: the word, and the gate that holds the app's SIGTERM."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

from interop.manifests import endpoint_slice, tcp_service, write_documents
from interop.rawpeer import RawCaller, RawReplica, request
from interop.sidecar import Sidecar
from shell.running import Answer, ask, events, logged, packet, reply


def front(folder: Path, replica: RawReplica, *flags: str) -> Sidecar:
    """Run the sidecar of a pod that serves: others come to its front, the own app to its listener."""
    spec = {"drain": {"timeout": "1s", "streamTimeout": "2s"}}
    slices = endpoint_slice("orders", replica.port, port_name="app")
    manifest = write_documents(folder / "orders.yaml", [tcp_service("orders", spec), slices])
    return Sidecar(
        "--file", str(manifest), "--front", "orders=127.0.0.1:0", "--listen", "orders=127.0.0.1:0",
        "--admin", "127.0.0.1:0", *flags,
    )  # fmt: skip


def caller(sidecar: Sidecar, name: str = "front/orders") -> RawCaller:
    """Connect from elsewhere, or as the own app."""
    return RawCaller(sidecar.ports[name])


def at_the_gate(sidecar: Sidecar) -> tuple[threading.Thread, list[Answer]]:
    """Ask as the kubelet does, and do not wait."""
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(ask(sidecar, "/gate")))
    thread.start()
    return thread, answers


def test_only_whoever_has_the_key_is_heard(tmp_path: Path) -> None:
    with RawReplica() as replica, front(tmp_path, replica, "--hook-key=secret") as sidecar:
        for path in ("/leave", "/gate", "/drain"):
            for given in ({}, {"X-TcpService-Key": "wrong"}):
                status, text = ask(sidecar, path, headers=given)
                assert (status, text) == (403, "this needs the key of --hook-key as the header X-TcpService-Key\n")
        assert ask(sidecar, "/readyz").status == 200, "nothing has happened"
        assert ask(sidecar, "/gate", headers={"X-TcpService-Key": "secret"}) == (200, "staying\n")


def test_the_gate_holds_until_others_have_nothing_in_flight(tmp_path: Path) -> None:
    with (
        RawReplica() as replica,
        front(tmp_path, replica) as sidecar,
        caller(sidecar) as other,
    ):
        other.send(request("sum", 1, "1"))
        arrived = replica.next()
        held, answers = at_the_gate(sidecar)
        assert ask(sidecar, "/leave") == (200, "leaving\n")
        assert ask(sidecar, "/readyz").status == 200, "the own app may go on calling"
        with caller(sidecar, "orders") as own:
            own.send(request("sum", 1, "own"))
            second = replica.next()
            assert not answers
            arrived.answer(reply(arrived.id))
            assert packet(other)["response"] == "ok"
            held.join(10)
            assert answers == [Answer(200, "quiet\n")]
            second.answer(reply(second.id))
            assert packet(own)["response"] == "ok", "what the own app asked holds nothing up, and is answered"
        sidecar.signal(signal.SIGTERM)
        assert sidecar.process.wait() == 0


def test_what_takes_too_long_holds_no_longer_than_the_limits(tmp_path: Path) -> None:
    with (
        RawReplica() as replica,
        front(tmp_path, replica) as sidecar,
        caller(sidecar) as other,
    ):
        other.send(request("sum", 1, "1"))
        replica.next()
        ask(sidecar, "/leave")
        assert ask(sidecar, "/gate") == (200, "late\n")
        assert logged(sidecar, "drain_timeout")[0]["message"] == "1 messages did not finish in time"


def test_an_app_that_is_made_anew_is_not_held(tmp_path: Path) -> None:
    with (
        RawReplica() as replica,
        front(tmp_path, replica) as sidecar,
        caller(sidecar) as other,
    ):
        other.send(request("sum", 1, "1"))
        arrived = replica.next()
        assert ask(sidecar, "/gate") == (200, "staying\n")
        assert not events(sidecar, "leaving")
        arrived.answer(reply(arrived.id))
        assert packet(other)["response"] == "ok"


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
