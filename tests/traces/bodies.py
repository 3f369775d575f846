"""Trace requests in both of OTLP's encodings, written without the code under test."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

TRACE, SPAN, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "00f067aa0ba902b8"
USUAL: dict[str, Any] = {
    "traceId": TRACE,
    "spanId": SPAN,
    "parentSpanId": PARENT,
    "name": "sum",
    "kind": 3,
    "startTimeUnixNano": "1700000000000000001",
    "endTimeUnixNano": "1700000000000000005",
}


def values(**attributes: Any) -> list[dict[str, Any]]:
    """Write attributes; a `__` in a name stands for a dot."""
    return [{"key": key.replace("__", "."), "value": _value(value)} for key, value in attributes.items()]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}


def document(*spans: dict[str, Any], **resource: Any) -> dict[str, Any]:
    """Write a request as OTLP's JSON has it."""
    scopes = [{"scope": {"name": "tests"}, "spans": list(spans)}]
    return {"resourceSpans": [{"resource": {"attributes": values(**resource)}, "scopeSpans": scopes}]}


def in_json(written: object) -> bytes:
    """Write a document as JSON."""
    return json.dumps(written).encode()


def in_protobuf(written: dict[str, Any]) -> bytes:
    """Write a document as protobuf: its ids are set as bytes, apart from the rest."""
    request = ExportTraceServiceRequest()
    ParseDict(_without_ids(written), request)
    for made, given in zip(request.resource_spans, written["resourceSpans"], strict=True):
        for span, fields in zip(made.scope_spans[0].spans, given["scopeSpans"][0]["spans"], strict=True):
            span.trace_id = bytes.fromhex(fields.get("traceId", ""))
            span.span_id = bytes.fromhex(fields.get("spanId", ""))
            span.parent_span_id = bytes.fromhex(fields.get("parentSpanId", ""))
    data: bytes = request.SerializeToString()
    return data


def _without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        ids = ("traceId", "spanId", "parentSpanId", "links")
        return {key: _without_ids(each) for key, each in value.items() if key not in ids}
    return [_without_ids(each) for each in value] if isinstance(value, list) else value
