"""Collectors that hang, die, answer 500 or are not there: bounded memory, messages unhurt, one line in the log."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from interop.manifests import endpoint_slice, tcp_service, write_documents
from interop.rawpeer import RawCaller, RawReplica, request
from interop.sidecar import Sidecar
from shell.running import ask, events, memory, packet, reply, wait_until
from telemetry.collector import collecting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    Bad = Callable[[], AbstractContextManager[int]]

QUICK = {"OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_METRIC_EXPORT_INTERVAL": "100", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
MEBIBYTE = 1 << 20


class Refusing(BaseHTTPRequestHandler):
    """Answers 500 to everything."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_error(500)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def answering(handler: type[BaseHTTPRequestHandler], port: int = 0) -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def answering_500() -> Iterator[int]:
    with answering(Refusing) as port:
        yield port


@contextmanager
def hanging() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@contextmanager
def absent() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    yield port


@contextmanager
def tracing_all(folder: Path, environment: dict[str, str]) -> Iterator[tuple[RawReplica, Sidecar, RawCaller]]:
    with ExitStack() as stack:
        replica = stack.enter_context(RawReplica())
        service = tcp_service("orders", {"tracing": {"samplingPercent": "100"}})
        slices = endpoint_slice("orders", replica.port, port_name="app")
        manifest = write_documents(folder / "orders.yaml", [service, slices])
        flags = ("--file", str(manifest), "--listen", "orders=127.0.0.1:0", "--admin", "127.0.0.1:0")
        sidecar = stack.enter_context(Sidecar(*flags, env=environment))
        yield replica, sidecar, stack.enter_context(RawCaller(sidecar.ports["orders"]))


def converse(replica: RawReplica, caller: RawCaller, count: int) -> None:
    for number in range(count):
        caller.send(request("sum", 1, str(number)))
        replica.next().answer(reply(str(number)))
        assert packet(caller)["response"] == "ok"


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("bad", [answering_500, hanging, absent], ids=lambda bad: bad.__name__)
def test_a_bad_collector_costs_one_line(bad: Bad, protocol: str, tmp_path: Path) -> None:
    with bad() as port:
        environment = {
            **QUICK, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "OTEL_BSP_MAX_QUEUE_SIZE": "100",
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_METRICS_EXPORTER": "none",
        }  # fmt: skip
        with tracing_all(tmp_path, environment) as (replica, sidecar, caller):
            converse(replica, caller, 50)
            before = memory(sidecar)
            converse(replica, caller, 1500)
            wait_until(lambda: events(sidecar, "collector_down"), "the log says so")
            converse(replica, caller, 100)
            (event,) = events(sidecar, "collector_down")
            assert f"http://127.0.0.1:{port} (OTEL_EXPORTER_OTLP_ENDPOINT, {protocol})" in event["message"]
            assert len(sidecar.stderr.splitlines()) == 1
            assert memory(sidecar) - before < 12 * MEBIBYTE
            # Which of the two it is depends on what is quicker: the messages, or the collector's refusals.
            lost = re.compile(r'tcpservice_spans_total\{outcome="(dropped|failed)"\} [1-9]')
            wait_until(lambda: lost.search(ask(sidecar, "/metrics").text), "the lost spans are counted")
            caller.close()
            sidecar.stop(15)
            assert sidecar.process.returncode == 0


def test_a_collector_that_comes_back_is_said_and_gets_what_is_left(tmp_path: Path) -> None:
    with ExitStack() as stack:
        with absent() as port:
            environment = {**QUICK, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
        replica, sidecar, caller = stack.enter_context(tracing_all(tmp_path, environment))
        converse(replica, caller, 5)
        wait_until(lambda: events(sidecar, "collector_down"), "the log says so")
        with answering(Accepting, port):
            converse(replica, caller, 5)
            wait_until(lambda: events(sidecar, "collector_up"), "the log says so")


class Accepting(Refusing):
    """Takes everything."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_metrics_reach_a_real_collector(protocol: str, tmp_path: Path) -> None:
    with (
        collecting(tmp_path) as collector,
        tracing_all(tmp_path, collector.environment(protocol)) as (replica, sidecar, caller),
    ):
        converse(replica, caller, 7)
        wait_until(lambda: _counts(collector.metrics()) == [7], "the histogram counts 7 messages")
        found = collector.metrics()
        ((attributes, point),) = found["rpc.client.call.duration"]
        assert attributes == {
            "rpc.system.name": "nestjs", "tcpservice.service": "default/orders", "tcpservice.kind": "request"
        }  # fmt: skip
        assert sum(map(int, point["bucketCounts"])) == 7
        assert 0 < point["sum"] < 5
        assert "min" not in point
        ((attributes, point),) = found["tcpservice.endpoints"]
        assert attributes == {"tcpservice.service": "default/orders", "tcpservice.state": "healthy"}
        assert point["asInt"] == "1"
        assert ask(sidecar, "/livez").status == 200


def _counts(metrics: dict[str, list[tuple[dict[str, object], dict[str, str]]]]) -> list[int]:
    return [int(point["count"]) for _, point in metrics.get("rpc.client.call.duration", [])]


def test_spans_that_are_left_when_the_sidecar_leaves_are_sent(tmp_path: Path) -> None:
    with (
        collecting(tmp_path) as collector,
        tracing_all(tmp_path, collector.environment(OTEL_BSP_SCHEDULE_DELAY="60000")) as (replica, sidecar, caller),
    ):
        converse(replica, caller, 3)
        caller.close()
        sidecar.stop(10)
        assert sidecar.process.returncode == 0
        assert len(collector.wait_for(3)) == 3
