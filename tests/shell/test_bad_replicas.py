"""Replicas that talk nonsense, close, or refuse: their requests end, the others go on."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from interop.manifests import endpoint_slice, tcp_service, write_documents
from interop.rawpeer import RawCaller, RawReplica, frame, request
from interop.sidecar import Sidecar
from shell.running import ask, between, caller, logged, packet, reply, treating

if TYPE_CHECKING:
    from pathlib import Path

    from interop.rawpeer import Arrived


def answer_probe(probe: Arrived) -> None:
    assert probe.piece.message["pattern"] == "tcpservice.dev/probe"
    probe.answer(reply(probe.id))


@pytest.mark.parametrize(
    "nonsense",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x15\x03\x03\x00\x02\x02\x28",
        frame(b"{bad}"),
        b"-1#{}",
        bytes(range(200)),
    ],
    ids=["http", "tls", "json", "length", "bytes"],
)
def test_nonsense_ends_what_was_asked_of_it_and_it_comes_back_when_it_behaves(nonsense: bytes) -> None:
    with between() as (replica, sidecar), caller(sidecar) as client:
        client.send(request("sum", 1, "1"))
        replica.next().answer(nonsense)
        error = packet(client)["err"]
        assert (error["message"], error["code"]) == ("Connection closed", "connection_closed")
        event = logged(sidecar, "endpoint_ejected")[0]
        assert event["endpoint"] == f"127.0.0.1:{replica.port}"
        with treating(replica, answer_probe):  # an answer that comes too late is followed by another probe
            logged(sidecar, "endpoint_recovered")
        client.send(request("sum", 1, "2"))
        while (arrived := replica.next()).id != "2":
            answer_probe(arrived)
        arrived.answer(reply("2"))
        assert packet(client)["id"] == "2"


def test_nonsense_of_one_replica_does_not_end_what_others_were_asked() -> None:
    with (
        RawReplica() as one,
        RawReplica() as other,
        Sidecar(
            "--upstream", f"orders=127.0.0.1:{one.port},127.0.0.1:{other.port}", "--listen", "orders=127.0.0.1:0"
        ) as sidecar,
        caller(sidecar) as client,
    ):
        client.send(b"".join(request("sum", 1, str(number)) for number in range(8)))
        first, second = one.next(), other.next()
        first.answer(b"nonsense#")
        second.answer(reply(second.id))
        answered = [packet(client)]
        while "response" not in answered[-1]:
            answered.append(packet(client))
        assert answered[-1]["id"] == second.id
        sidecar.kill()


def test_an_idempotent_request_is_repeated_elsewhere(tmp_path: Path) -> None:
    routes = [{"name": "read", "match": {"type": "Prefix", "pattern": "get"}, "idempotent": True}]
    with RawReplica() as one, RawReplica() as other:
        documents = [tcp_service("orders", {"routes": routes})]
        documents += [endpoint_slice("orders", r.port, serial=r.port, port_name="app") for r in (one, other)]
        manifest = write_documents(tmp_path / "orders.yaml", documents)
        with Sidecar("--file", str(manifest), "--listen", "orders=127.0.0.1:0") as sidecar, caller(sidecar) as client:
            for number in range(6):
                client.send(request("get", 1, str(number)))
            first = one.next()
            first.connection.shutdown(socket.SHUT_RDWR)
            seen = 0
            while seen < 6:
                arrived = other.next()
                arrived.answer(reply(arrived.id))
                seen += 1
                if arrived.id == first.id:
                    break
            assert {packet(client)["id"] for _ in range(seen)} >= {first.id}
            sidecar.kill()


def test_a_reply_that_is_too_large_ends_its_own_request() -> None:
    with between() as (replica, sidecar), caller(sidecar) as client:
        client.send(request("sum", 1, "1") + request("sum", 1, "2"))
        replica.next().answer(reply("1", "x" * (17 << 20)))
        replica.next().answer(reply("2"))
        packets = {each["id"]: each for each in (packet(client), packet(client))}
        assert packets["1"]["err"]["code"] == "frame_too_large"
        assert packets["2"]["response"] == "ok"


def test_a_replica_that_is_silent_is_probed_and_given_up() -> None:
    flags = ("--probe-after", "500ms", "--probe-timeout", "500ms")
    with between(flags=flags) as (replica, sidecar), caller(sidecar) as client:
        client.send(request("sum", 1, "1"))
        replica.next()
        assert replica.next().piece.message["pattern"] == "tcpservice.dev/probe"
        assert packet(client)["err"]["code"] == "connection_closed"
        assert "silent" in logged(sidecar, "endpoint_ejected")[0]["message"]


def send_much(client: RawCaller) -> None:
    """Send more than the kernel and the sidecar take in."""
    with suppress(OSError):
        for number in range(60):
            client.send(request("sum", "x" * (1 << 20), str(number)))


def test_a_replica_that_does_not_read_gets_no_more_than_it_may_buffer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        flags = ("--upstream", f"orders=127.0.0.1:{stuck.getsockname()[1]}", "--listen", "orders=127.0.0.1:0")
        bounds = ("--admin", "127.0.0.1:0", "--queue-timeout", "1s", "--upstream-backlog", "1Mi")
        with Sidecar(*flags, *bounds) as sidecar, caller(sidecar) as client:
            sender = threading.Thread(target=send_much, args=(client,))
            sender.start()
            assert packet(client)["err"]["code"] == "overloaded"
            assert 'code="overloaded"' in ask(sidecar, "/metrics").text
            sidecar.kill()
            sender.join()
