"""The receiver over loopback: what it takes, what it answers to the rest, and that its log stays empty."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import socket
import urllib.error
import urllib.request
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace import Status as SpanStatus

from shell.running import wait_until
from tcpservice_traces import Receiver, TraceStore, plain, render
from tcpservice_traces.otlp import JSON, LIMIT, PROTOBUF
from traces.bodies import TRACE, USUAL, document, in_json, in_protobuf
from traces.running import SECONDS, Running, receiving

if TYPE_CHECKING:
    from collections.abc import Iterator

ONE = document(USUAL, service__name="web")


class Answer(NamedTuple):
    status: int
    content_type: str
    body: bytes


@pytest.fixture
def running(caplog: pytest.LogCaptureFixture) -> Iterator[Running]:
    caplog.set_level(logging.INFO)
    with receiving() as running:
        yield running
    ours = [record for record in caplog.records if record.name.startswith(("aiohttp", "asyncio", "root"))]
    assert ours == []


def ask(running: Running, path: str, data: bytes | None = None, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(running.url + path, data=data, headers=named)
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return Answer(answer.status, answer.headers["Content-Type"], answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers["Content-Type"], error.read())


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip, Compression.Deflate])
def test_a_real_exporter(running: Running, compression: Compression) -> None:
    provider = TracerProvider(resource=Resource({"service.name": "web", "k8s.pod.name": "web-1"}))
    exporter = OTLPSpanExporter(endpoint=f"{running.url}/v1/traces", compression=compression)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("tests")
    with (
        tracer.start_as_current_span("GET /orders", kind=SpanKind.SERVER, attributes={"http.route": "/orders"}),
        tracer.start_as_current_span("work") as work,
    ):
        work.set_status(SpanStatus(StatusCode.ERROR, "no room"))
    provider.shutdown()
    inner, outer = running.trace(2).spans
    assert (outer.name, outer.kind, outer.service, outer.replica) == ("GET /orders", "server", "web", "web-1")
    assert (outer.attributes, outer.error) == ({"http.route": "/orders"}, "")
    assert (inner.name, inner.parent_id, inner.error) == ("work", outer.span_id, "no room")
    assert [plain(line).split()[:3] for line in render(running.traces()[0], 80)[1:]] == [
        ["web-1", "GET", "/orders"],
        ["└─", "·", "work"],
    ]


def test_protobuf_is_answered_with_protobuf(running: Running) -> None:
    assert ask(running, "/v1/traces", in_protobuf(ONE), Content_Type=PROTOBUF) == (200, PROTOBUF, b"")
    assert running.trace(1).trace_id == TRACE


def test_json_is_answered_with_json(running: Running) -> None:
    answer = ask(running, "/v1/traces", in_json(ONE), Content_Type="application/json; charset=utf-8")
    assert (answer.status, answer.content_type.partition(";")[0], answer.body) == (200, JSON, b"{}")
    assert running.trace(1).trace_id == TRACE


def test_spans_without_ids_are_left_out_and_the_exporter_is_told(running: Running) -> None:
    body = in_json(document({**USUAL, "spanId": ""}, USUAL))
    answer = ask(running, "/v1/traces", body, Content_Type=JSON)
    assert json.loads(answer.body)["partialSuccess"]["rejectedSpans"] == "1"
    assert running.receiver.counts == {"requests": 1, "spans": 1, "left_out": 1}


@pytest.mark.parametrize("path", ["/v1/metrics", "/v1/logs"])
@pytest.mark.parametrize(("content_type", "answer"), [(PROTOBUF, b""), (JSON, b"{}"), ("text/plain", b"")])
def test_metrics_and_logs_are_taken_and_thrown_away(
    running: Running, path: str, content_type: str, answer: bytes
) -> None:
    taken = ask(running, path, b"whatever", Content_Type=content_type)
    assert (taken.status, taken.body) == (200, answer)
    assert running.traces() == []


@pytest.mark.parametrize(
    ("path", "data"), [("/", None), ("/v1/traces", None), ("/v1/trace", b""), ("/v1/traces/", b""), ("/%00", b"")]
)
def test_all_else_is_not_found(running: Running, path: str, data: bytes | None) -> None:
    answer = ask(running, path, data, Content_Type=PROTOBUF)
    assert (answer.status, answer.body[:30]) == (404, b"this is the trace receiver of ")
    assert running.receiver.counts == {}


TOO_LARGE = "the body is larger than 4,194,304 bytes; export in smaller batches"
NO_PROTOBUF = "the body is not an ExportTraceServiceRequest in protobuf"


@pytest.mark.parametrize(
    ("data", "headers", "status", "message"),
    [
        (b"\xff", {}, 400, NO_PROTOBUF),
        (b"x", {"Content_Encoding": "br"}, 415, "Content-Encoding is to be gzip, deflate or none, not 'br'"),
        (gzip.compress(b"x")[:-1], {"Content_Encoding": "gzip"}, 400, "the body ends in the middle of its gzip"),
        (gzip.compress(bytes(LIMIT + 1)), {"Content_Encoding": "gzip"}, 413, TOO_LARGE),
        (bytes(LIMIT + 1), {}, 413, TOO_LARGE),
    ],
)
def test_what_cannot_be_taken_is_answered_and_counted(
    running: Running, data: bytes, headers: dict[str, str], status: int, message: str
) -> None:
    answer = ask(running, "/v1/traces", data, Content_Type=PROTOBUF, **headers)
    assert (answer.status, answer.content_type) == (status, PROTOBUF)
    assert Status.FromString(answer.body).message == message
    assert running.receiver.counts == {"requests": 1, "refused": 1}
    assert running.receiver.last_refusal == message


def test_a_refusal_is_json_or_text_where_the_request_was(running: Running) -> None:
    answer = ask(running, "/v1/traces", b"[]", Content_Type=JSON)
    assert (answer.status, json.loads(answer.body)["code"]) == (400, 3)
    answer = ask(running, "/v1/traces", b"", Content_Type="text/html")
    assert (answer.status, answer.content_type) == (415, "text/plain; charset=utf-8")
    assert answer.body == b"Content-Type is to be application/x-protobuf or application/json, not 'text/html'\n"


def test_what_a_refusal_quotes_cannot_reach_the_terminal(running: Running) -> None:
    ask(running, "/v1/traces", b'{"resourceSpans":"\\u001b[2J"}', Content_Type=JSON)
    assert running.receiver.last_refusal.isprintable()
    assert "[2J" in running.receiver.last_refusal


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/metrics"])
def test_a_body_of_the_limit_is_read(running: Running, path: str) -> None:
    answer = ask(running, path, bytes(LIMIT), Content_Type=PROTOBUF)
    assert answer.status == (400 if path == "/v1/traces" else 200)
    assert ask(running, path, bytes(LIMIT + 1), Content_Type=PROTOBUF).status == 413


def test_it_goes_on_after_a_bad_request(running: Running) -> None:
    assert ask(running, "/v1/traces", b"\xff", Content_Type=PROTOBUF).status == 400
    assert ask(running, "/v1/traces", in_protobuf(ONE), Content_Type=PROTOBUF).status == 200
    assert len(running.trace(1).spans) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b'17#{"pattern":"sum"}',
        b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 9\r\n\r\n1",
        b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["gRPC", "TLS", "NestJS", "a wrong length", "half a body", "a wrong chunk"],
)
def test_a_peer_that_speaks_something_else_leaves_no_trace_in_the_log(running: Running, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", running.port), timeout=SECONDS) as peer:
        peer.sendall(data)
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(1 << 16):
            pass
    assert ask(running, "/v1/traces", in_protobuf(ONE), Content_Type=PROTOBUF).status == 200


def test_a_peer_that_goes_away_amid_its_body_leaves_no_trace_in_the_log(running: Running) -> None:
    with ExitStack() as stack:
        peer = stack.enter_context(socket.create_connection(("127.0.0.1", running.port), timeout=SECONDS))
        peer.sendall(b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
        wait_until(lambda: running.receiver.counts["requests"] == 1, "the request has begun")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    assert ask(running, "/v1/traces", in_protobuf(ONE), Content_Type=PROTOBUF).status == 200


def test_a_port_may_be_chosen_and_one_that_is_taken_is_said(running: Running) -> None:
    async def starts(port: int) -> str:
        receiver = Receiver(TraceStore())
        try:
            return await receiver.start(port)
        finally:
            await receiver.close()

    with pytest.raises(OSError, match="address already in use"):
        asyncio.run(starts(running.port))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert asyncio.run(starts(port)) == f"http://127.0.0.1:{port}"


def test_one_that_was_never_started_can_be_closed() -> None:
    asyncio.run(Receiver(TraceStore()).close())


def test_a_closed_one_listens_no_more() -> None:
    with receiving() as running:
        port = running.port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
