"""OTLP over HTTP: a request of an exporter as spans, and the answers that it understands.

Used by `receiver`. Both encodings of OTLP 1.x: protobuf, and its JSON, which is protobuf's own but for the ids, which
are hexadecimal there. The two become one message first, so that all after it is written once. Texts are cut and
attributes counted here, so that what `store` bounds in spans is bounded in bytes too.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from math import isfinite
from typing import Any, Final, NamedTuple

import orjson
from google.protobuf import json_format  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from tcpservice_traces.body import Refused, unpack
from tcpservice_traces.span import REQUEST, RESPONSE, FailedAttempt, Kind, Span, Value

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
LIMIT: Final = 4 << 20
"""The largest body in bytes, before and after decompression."""
LONGEST_TEXT: Final = 256
LONGEST_PACKET: Final = 4096
MOST_ATTRIBUTES: Final = 64
MOST_ATTEMPTS: Final = 16

ATTEMPT_FAILED: Final = "tcpservice.attempt_failed"
_UNNAMED: Final = "unknown_service"
_IDS: Final = ("traceId", "spanId", "parentSpanId")
_KINDS: Final[dict[int, Kind]] = {2: "server", 3: "client", 4: "producer", 5: "consumer"}
_INVALID_ARGUMENT: Final = 3


class Batch(NamedTuple):
    """What a request held: its spans, and how many had to be left out as no trace could have them."""

    spans: list[Span]
    left_out: int


class Source(NamedTuple):
    """Who made the spans of one resource."""

    service: str
    replica: str


def decode(data: bytes, content_type: str, encoding: str = "", *, limit: int = LIMIT) -> Batch:
    """Decode the body of a trace request; `content_type` is without parameters. Raises Refused: 400, 413 or 415."""
    if content_type not in (PROTOBUF, JSON):
        raise Refused(415, f"Content-Type is to be {PROTOBUF} or {JSON}, not {content_type!r}")
    body = unpack(data, encoding, limit)
    request = _from_json(body) if content_type == JSON else _from_protobuf(body)
    found = [_span(span, source) for source, spans in _resources(request) for span in spans]
    spans = [span for span in found if span is not None]
    return Batch(spans, len(found) - len(spans))


def accepted(content_type: str, left_out: int = 0) -> bytes:
    """Write the answer to a request that was taken, but for spans that had to be left out."""
    answer = ExportTraceServiceResponse()
    if left_out:
        reason = f"{left_out} spans have no trace id of 16 bytes or no span id of 8"
        answer.partial_success.CopyFrom(ExportTracePartialSuccess(rejected_spans=left_out, error_message=reason))
    return _written(answer, content_type)


def explained(content_type: str, message: str) -> bytes:
    """Write the answer to a request that was refused."""
    return _written(Status(code=_INVALID_ARGUMENT, message=message), content_type)


def _written(answer: Any, content_type: str) -> bytes:
    if content_type == JSON:
        return orjson.dumps(json_format.MessageToDict(answer))
    written: bytes = answer.SerializeToString()
    return written


def _from_protobuf(body: bytes) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        raise Refused(400, "the body is not an ExportTraceServiceRequest in protobuf") from error
    return request


def _from_json(body: bytes) -> ExportTraceServiceRequest:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(400, f"the body is not JSON ({error})") from error
    if not isinstance(document, dict):
        raise Refused(400, "the body is not an ExportTraceServiceRequest in JSON (it is no object)")
    for span in _spans_in(document):
        span.update({name: _in_base64(span.get(name)) for name in _IDS})
        span.pop("links", None)  # has ids too, and nobody looks at it
    request = ExportTraceServiceRequest()
    try:
        json_format.ParseDict(document, request, ignore_unknown_fields=True)
    except json_format.ParseError as error:
        raise Refused(400, f"the body is not an ExportTraceServiceRequest in JSON ({_cut(str(error))})") from error
    return request


def _spans_in(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for resource in _objects(document, "resourceSpans"):
        for scope in _objects(resource, "scopeSpans"):
            yield from _objects(scope, "spans")


def _objects(parent: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the objects in a list; what is of another type is left for protobuf to complain of."""
    found = parent.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _in_base64(identity: object) -> str:
    """Return an id as protobuf's JSON has it; '' for what is no hexadecimal text, so that it counts as no id."""
    try:
        return base64.b64encode(binascii.unhexlify(identity)).decode() if isinstance(identity, str) else ""
    except ValueError:
        return ""


def _resources(request: ExportTraceServiceRequest) -> Iterator[tuple[Source, list[trace_pb2.Span]]]:
    for resource in request.resource_spans:
        values = _values(resource.resource.attributes)
        replica = values.get("k8s.pod.name") or values.get("service.instance.id") or ""
        source = Source(str(values.get("service.name") or _UNNAMED), str(replica))
        yield source, [span for scope in resource.scope_spans for span in scope.spans]


def _span(span: trace_pb2.Span, source: Source) -> Span | None:
    """Return the span; None where its ids are not ids."""
    if not _is_id(span.trace_id, 16) or not _is_id(span.span_id, 8):
        return None
    attributes = _values(span.attributes)
    start = span.start_time_unix_nano or span.end_time_unix_nano
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex() if _is_id(span.parent_span_id, 8) else "",
        name=_cut(span.name),
        kind=_KINDS.get(span.kind, "internal"),
        service=source.service,
        replica=source.replica,
        start_ns=start,
        end_ns=max(start, span.end_time_unix_nano),
        error=_error(span.status, attributes),
        attributes=attributes,
        failed=tuple(_failed(span.events)),
    )


def _is_id(identity: bytes, size: int) -> bool:
    return len(identity) == size and any(identity)


def _error(status: trace_pb2.Status, attributes: dict[str, Value]) -> str:
    """Return why a span failed, in the one word for it where there is one; '' where it did not."""
    named = attributes.get("error.type")
    if named:
        return str(named)
    return (_cut(status.message) or "error") if status.code == trace_pb2.Status.STATUS_CODE_ERROR else ""


def _failed(events: Iterable[trace_pb2.Span.Event]) -> list[FailedAttempt]:
    noted = [event for event in events if event.name == ATTEMPT_FAILED][:MOST_ATTEMPTS]
    found = [(_values(event.attributes), event.time_unix_nano) for event in noted]
    return [
        FailedAttempt(str(values.get("tcpservice.endpoint", "")), str(values.get("reason", "")), at)
        for values, at in found
    ]


def _values(attributes: Iterable[KeyValue]) -> dict[str, Value]:
    """Return the attributes whose values are plain; lists, maps and bytes have no place in a line."""
    found: dict[str, Value] = {}
    for attribute in attributes:
        match attribute.value.WhichOneof("value"):
            case "string_value":
                limit = LONGEST_PACKET if attribute.key in (REQUEST, RESPONSE) else LONGEST_TEXT
                found[_cut(attribute.key)] = _cut(attribute.value.string_value, limit)
            case "int_value":
                found[_cut(attribute.key)] = attribute.value.int_value
            case "double_value" if isfinite(attribute.value.double_value):
                found[_cut(attribute.key)] = attribute.value.double_value
            case "bool_value":
                found[_cut(attribute.key)] = attribute.value.bool_value
        if len(found) == MOST_ATTRIBUTES:
            break
    return found


def _cut(text: str, limit: int = LONGEST_TEXT) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
