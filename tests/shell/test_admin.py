"""The admin port: what probes, scrapers and people are told."""

from __future__ import annotations

import re
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from interop.rawpeer import RawReplica, frame, request
from interop.sidecar import Sidecar
from shell.running import ask, balancing, between, caller, reply, serve, treating, view, wait_until

if TYPE_CHECKING:
    from interop.rawpeer import Arrived


def test_it_lives_and_is_ready() -> None:
    with between() as (_, sidecar):
        assert ask(sidecar, "/livez") == (200, "ok\n")
        assert ask(sidecar, "/readyz") == (200, "ok\n")
        assert ask(sidecar, "/other").status == 404
        assert ask(sidecar, "/metrics", method="POST").status == 405


def test_metrics_count_messages_by_outcome() -> None:
    with between() as (replica, sidecar), caller(sidecar) as client:
        client.send(request("sum", 1, "1") + request("sum", 2, "2") + frame(b'{"pattern":"created","data":1}'))
        serve(replica, 2)
        client.read(len(reply("1") + reply("2")))
        text = ask(sidecar, "/metrics").text
        labels = 'code="ok",kind="%s",route="",service="default/orders"'
        durations = "rpc_client_call_duration_seconds"
        assert f"{durations}_count{{{labels % 'request'}}} 2.0" in text
        assert f"{durations}_count{{{labels % 'event'}}} 1.0" in text
        assert f'{durations}_bucket{{code="ok",kind="request",le="+Inf",route="",service="default/orders"}} 2.0' in text
        assert re.search(durations + r'_sum{.*kind="request".*} 0\.\d', text)
        assert "tcpservice_downstream_connections 1.0" in text
        assert 'tcpservice_in_flight{service="default/orders"} 0.0' in text
        assert 'tcpservice_endpoints{service="default/orders",state="healthy"} 1.0' in text


def test_the_snapshot_shows_services_and_replicas() -> None:
    with between() as (replica, sidecar):
        assert view(sidecar)["services"][0]["endpoints"][0]["state"] == "idle"
        with caller(sidecar) as client:
            client.send(request("sum", 1, "1"))
            arrived = replica.next()
            seen = view(sidecar)
            arrived.answer(reply("1"))
        (service,) = seen["services"]
        assert (seen["callers"], seen["inFlight"]) == (1, 1)
        assert (service["service"], service["algorithm"], service["waiting"]) == ("default/orders", "LeastRequest", 0)
        assert service["endpoints"] == [
            {
                "name": f"127.0.0.1:{replica.port}", "address": f"127.0.0.1:{replica.port}", "mesh": False,
                "state": "healthy", "connected": True, "failures": 0, "inFlight": 1,
            }
        ]  # fmt: skip


def raw(sidecar: Sidecar, *headers: bytes, host: str = "127.0.0.1", path: bytes = b"/readyz") -> bytes:
    """Send a request as it is; return the first line of the answer."""
    with socket.create_connection((host, sidecar.ports["admin"]), timeout=10) as connection:
        connection.sendall(b"\r\n".join([b"GET " + path + b" HTTP/1.1", *headers, b"Connection: close", b"", b""]))
        return connection.makefile("rb").readline().strip()


def test_a_request_that_is_malformed_is_refused_and_makes_no_traceback() -> None:
    with between() as (_, sidecar):
        assert raw(sidecar, b"Host: a", b"Host: b") == b"HTTP/1.0 400 Bad Request"
        assert raw(sidecar, b"Host: a", b"X-TcpService-Key: \xff") == b"HTTP/1.1 200 OK"
        assert raw(sidecar, b"Host: a", b"X-TcpService-Key: \xff", path=b"/leave").startswith(b"HTTP/1.1 403")
        assert raw(sidecar, b"Host: a").endswith(b"200 OK")
        assert "Traceback" not in sidecar.stderr
        assert all(line.startswith("{") for line in sidecar.stderr.splitlines())


def test_the_state_is_shown_to_this_pod_and_to_those_with_the_key() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect(("192.0.2.1", 9))  # which sends nothing
        except OSError:
            pytest.skip("this machine has no address but the loopback's")
        address = asked.getsockname()[0]
    flags = ("--upstream", "orders=127.0.0.1:1", "--listen", "orders=127.0.0.1:0", "--admin", "*:0", "--hook-key=k")
    with Sidecar(*flags) as sidecar:
        assert ask(sidecar, "/snapshot").status == 200
        assert raw(sidecar, b"Host: a", host=address, path=b"/snapshot").startswith(b"HTTP/1.1 403")
        for open_to_all in (b"/livez", b"/readyz", b"/metrics"):
            assert raw(sidecar, b"Host: a", host=address, path=open_to_all) == b"HTTP/1.1 200 OK"
        with_key = (b"Host: a", b"X-TcpService-Key: k")
        assert raw(sidecar, *with_key, host=address, path=b"/snapshot") == b"HTTP/1.1 200 OK"


def at_app(port: int) -> Sidecar:
    flags = ["--upstream", "orders=127.0.0.1:1", "--mesh", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    return Sidecar(*flags, "--app", f"orders=127.0.0.1:{port}")


def answer(question: Arrived) -> None:
    question.answer(reply(question.id))


def answer_otherwise(question: Arrived) -> None:
    question.answer(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def break_off(question: Arrived) -> None:
    question.connection.shutdown(socket.SHUT_RDWR)


def test_an_app_that_answers_is_ready() -> None:
    with RawReplica() as app, at_app(app.port) as sidecar, treating(app, answer):
        wait_until(lambda: ask(sidecar, "/app/readyz") == (200, "ok\n"), "it answers in time")


def test_the_snapshot_shows_the_pods_own_app() -> None:
    with RawReplica() as app, at_app(app.port) as sidecar:
        (seen,) = view(sidecar)["apps"]
        assert seen["service"] == "default/orders"
        assert [endpoint["address"] for endpoint in seen["endpoints"]] == [f"127.0.0.1:{app.port}"]


def test_an_app_that_is_silent_or_speaks_otherwise_or_is_not_there_is_not_ready() -> None:
    with RawReplica() as app, at_app(app.port) as sidecar:
        silent = ask(sidecar, "/app/readyz")
        assert silent == (503, f"orders at 127.0.0.1:{app.port}: connected, but it did not answer in time\n")
        app.next()
        with treating(app, answer_otherwise):
            wait_until(lambda: "not in NestJS's protocol" in ask(sidecar, "/app/readyz").text, "it answers in time")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        free = listener.getsockname()[1]
    with at_app(free) as sidecar:
        refused = ask(sidecar, "/app/readyz")
        assert refused.status == 503
        assert "refused" in refused.text


def test_an_app_that_closes_is_not_ready() -> None:
    with RawReplica() as app, at_app(app.port) as sidecar, treating(app, break_off):
        said = "closed the connection without an answer"
        wait_until(lambda: said in ask(sidecar, "/app/readyz").text, "it is closed in time")


def test_without_an_app_nobody_is_asked() -> None:
    with between() as (_, sidecar):
        assert ask(sidecar, "/app/readyz").status == 404


@pytest.mark.parametrize("address", ["::1", "127.0.0.1"])
def test_an_app_bound_to_either_loopback_is_found(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as listener:
        port = listener.getsockname()[1]
        flags = ("--upstream", f"orders=localhost:{port}", "--listen", "orders=127.0.0.1:0", "--admin", "127.0.0.1:0")
        with Sidecar(*flags) as sidecar, caller(sidecar) as client:
            client.send(request("sum", 1, "1"))
            connection, _ = listener.accept()
            with connection:
                assert connection.recv(100) == request("sum", 1, "1")
                connection.sendall(reply("1"))
                assert client.read(len(reply("1"))) == reply("1")


def test_a_replica_that_is_down_is_shown_and_counted() -> None:
    with RawReplica() as replica, balancing(replica) as sidecar:
        replica.close()
        sidecar.signal(signal.SIGSTOP)  # so that it finds the message together with its connection
        try:
            client = caller(sidecar)
            client.send(request("sum", 1, "1"))
        finally:
            sidecar.signal(signal.SIGCONT)
        with client:
            wait_until(lambda: "no_endpoints" in ask(sidecar, "/metrics").text, "the message ends")
            assert view(sidecar)["services"][0]["endpoints"][0]["state"] == "ejected"
            assert 'tcpservice_retries_total{service="default/orders"} 2.0' in ask(sidecar, "/metrics").text
