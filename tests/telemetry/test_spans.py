"""Spans as the sidecar encodes them are those that OpenTelemetry's own encoder makes."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from tcpservice.errors import Code
from tcpservice.exchange import Span
from tcpservice.exchange.outputs import FailedAttempt
from tcpservice.snapshot import Endpoint
from tcpservice_sidecar.telemetry.spans import SCOPE, Encoder

OFFSET = 1_700_000_000_000_000_000
RESOURCE = Resource({"service.name": "orders", "process.pid": 7})
PLAIN = Span(
    trace=0xAB, span=0xCD, parent=0, kind="client", inbound=False, method="sum", original="sum", service="shop/orders",
    message="request", code=Code.OK, kept=None, endpoint=Endpoint(host="10.0.0.1", port=3000, name="r0"), failed=(),
    responses=1, started=10, ended=20,
)  # fmt: skip


def context(trace: int, span: int, *, remote: bool = False) -> SpanContext:
    return SpanContext(trace, span, is_remote=remote, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def readable(span: Span, attributes: dict[str, Any], status: Status) -> ReadableSpan:
    return ReadableSpan(
        span.method or "nestjs",
        context(span.trace, span.span),
        parent=context(span.trace, span.parent, remote=True) if span.parent else None,
        resource=RESOURCE,
        attributes=attributes,
        events=[
            Event(
                "tcpservice.attempt_failed",
                {"tcpservice.endpoint": each.endpoint, "reason": each.reason},
                each.ended + OFFSET,
            )
            for each in span.failed
        ],
        kind={"client": SpanKind.CLIENT, "server": SpanKind.SERVER}[span.kind],
        status=status,
        start_time=span.started + OFFSET,
        end_time=span.ended + OFFSET,
        instrumentation_scope=SCOPE,
    )


BASE = {
    "rpc.system.name": "nestjs",
    "rpc.method": "sum",
    "server.address": "orders.shop",
    "tcpservice.service": "shop/orders",
    "tcpservice.message": "request",
    "tcpservice.responses": 1,
    "tcpservice.failed_attempts": 0,
}
PEER = {"tcpservice.endpoint": "r0", "network.peer.address": "10.0.0.1", "network.peer.port": 3000}


@pytest.mark.parametrize(
    ("span", "attributes", "status"),
    [
        (PLAIN, {**BASE, **PEER}, Status()),
        (
            PLAIN._replace(parent=0xEF, kind="server", endpoint=None, inbound=True),
            {**BASE, "tcpservice.listener": "front"},
            Status(),
        ),
        (
            PLAIN._replace(
                method=None,
                original="unknown",
                code=Code.TIMEOUT,
                kept="error",
                failed=(FailedAttempt("r1", "refused", 15, 3, b'"1"'),),
            ),
            {
                **BASE,
                "rpc.method": "_OTHER",
                "tcpservice.failed_attempts": 1,
                "rpc.method_original": "unknown",
                "error.type": "timeout",
                "tcpservice.kept": "error",
                **PEER,
            },
            Status(StatusCode.ERROR, "timeout"),
        ),
        (
            PLAIN._replace(code=Code.CANCELLED),
            {**BASE, "error.type": "cancelled", **PEER},
            Status(),
        ),
    ],
)
def test_a_span_is_encoded_as_opentelemetry_does(span: Span, attributes: dict[str, Any], status: Status) -> None:
    batch = Encoder(OFFSET, RESOURCE).encode([span, span])
    expected = readable(span, attributes, status)
    assert len(batch) == 2
    assert batch.request == encode_spans([expected, expected])


def test_text_that_is_not_unicode_costs_no_other_span() -> None:
    odd = PLAIN._replace(method="\ud800", original="\ud800", failed=(FailedAttempt("r1", "\udfff", 15, 3, b'"1"'),))
    unnamed = odd._replace(method=None)
    spans = Encoder(OFFSET, RESOURCE).encode([odd, unnamed, PLAIN]).request.resource_spans[0].scope_spans[0].spans
    assert [each.name for each in spans] == ["?", "nestjs", "sum"]


def test_an_encoder_keeps_nothing_of_a_batch() -> None:
    encoder = Encoder(OFFSET, RESOURCE)
    assert encoder.encode([PLAIN]).request == encoder.encode([PLAIN]).request
    assert not encoder.encode([]).request.resource_spans[0].scope_spans[0].spans
