"""From the exchange's finished spans to OTLP, by the semantic conventions for RPC (1.45).

Used by `pipeline`, in the thread that exports. NestJS has no conventions of its own: `rpc.system.name` is `nestjs`, the
route is the method. If a route is neither listed in the manifest nor served by a replica, `rpc.method` is `_OTHER`, so
that callers cannot create names without a bound; `rpc.method_original` has the route.

Spans are encoded here and not by OpenTelemetry's `encode_spans`, which takes 113 us for each, 1.1 us for each request
where 1 % are sampled: most spans share all attributes with others, so these are encoded once. What both make of a span
is the same (tests/telemetry/test_spans.py). OpenTelemetry's exporters send the batches.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.proto.trace.v1.trace_pb2 import SpanFlags, Status
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext

from tcpservice import __version__
from tcpservice.errors import Code
from tcpservice.exchange import Span
from tcpservice.snapshot import Endpoint

SYSTEM: Final = "nestjs"
OTHER: Final = "_OTHER"
SCHEMA: Final = "https://opentelemetry.io/schemas/1.45.0"
SCOPE: Final = InstrumentationScope("tcpservice", __version__, SCHEMA)

_KINDS: Final = {"client": OtlpSpan.SPAN_KIND_CLIENT, "server": OtlpSpan.SPAN_KIND_SERVER}
_FINE: Final = (Code.OK, Code.CANCELLED)
_HAS_REMOTE: Final = SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE: Final = _HAS_REMOTE | SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK


class Batch:
    """Encoded spans of one sidecar, as the exporters take them."""

    def __init__(self, request: ExportTraceServiceRequest, size: int) -> None:
        self.request = request
        self._size = size

    def __len__(self) -> int:
        return self._size


class Encoder:
    """Encodes the spans of one sidecar; `offset` turns the exchange's clock into nanoseconds since 1970."""

    def __init__(self, offset: int, resource: Resource) -> None:
        self._offset = offset
        # OpenTelemetry's own encoding of the resource and the scope, around a span that is taken out again.
        any_span = ReadableSpan("", SpanContext(1, 1, is_remote=False), resource=resource, instrumentation_scope=SCOPE)
        self._empty = encode_spans([any_span])
        self._empty.resource_spans[0].scope_spans[0].spans.clear()

    def encode(self, spans: Iterable[Span]) -> Batch:
        """Encode a batch."""
        encoded = [self._span(span) for span in spans]
        request = ExportTraceServiceRequest()
        request.CopyFrom(self._empty)
        request.resource_spans[0].scope_spans[0].spans.extend(encoded)
        return Batch(request, len(encoded))

    def _span(self, span: Span) -> OtlpSpan:
        offset = self._offset
        made = OtlpSpan(
            trace_id=span.trace.to_bytes(16),
            span_id=span.span.to_bytes(8),
            parent_span_id=span.parent.to_bytes(8) if span.parent else b"",
            name=_encodable(span.method or SYSTEM),
            kind=_KINDS[span.kind],
            start_time_unix_nano=span.started + offset,
            end_time_unix_nano=span.ended + offset,
            attributes=_attributes(
                span.service, span.method, span.original, span.message, span.responses, len(span.failed), span.code,
                span.kept, span.endpoint, inbound=span.inbound,
            ),
            status=_status(span.code),
            flags=_REMOTE if span.parent else _HAS_REMOTE,
        )  # fmt: skip
        for key, packet in (("tcpservice.request", span.request), ("tcpservice.response", span.response)):
            if packet:
                made.attributes.append(_key(key, packet.decode("utf-8", "replace")))
        for failed in span.failed:
            made.events.add(
                name="tcpservice.attempt_failed",
                time_unix_nano=failed.ended + offset,
                attributes=[_key("tcpservice.endpoint", failed.endpoint), _key("reason", failed.reason)],
            )
        return made


def _status(code: Code) -> Status:
    return Status() if code in _FINE else Status(code=Status.STATUS_CODE_ERROR, message=code.value)


@lru_cache(maxsize=1024)
def _attributes(
    service: str,
    method: str | None,
    original: str,
    message: str,
    responses: int,
    failed: int,
    code: Code,
    kept: str | None,
    endpoint: Endpoint | None,
    *,
    inbound: bool,
) -> tuple[KeyValue, ...]:
    namespace, _, name = service.partition("/")
    attributes: dict[str, str | int] = {
        "rpc.system.name": SYSTEM,
        "rpc.method": method or OTHER,
        "server.address": f"{name}.{namespace}",
        "tcpservice.service": service,
        "tcpservice.message": message,
        "tcpservice.responses": responses,
        "tcpservice.failed_attempts": failed,
    }
    if method is None:
        attributes["rpc.method_original"] = original
    if code is not Code.OK:
        attributes["error.type"] = code.value
    if kept is not None:
        attributes["tcpservice.kept"] = kept
    if inbound:
        attributes["tcpservice.listener"] = "front"
    if endpoint is not None:
        attributes["tcpservice.endpoint"] = endpoint.name
        attributes["network.peer.address"] = endpoint.host
        attributes["network.peer.port"] = endpoint.port
    return tuple(_key(key, value) for key, value in attributes.items())


def _key(key: str, value: str | int) -> KeyValue:
    if isinstance(value, str):
        return KeyValue(key=key, value=AnyValue(string_value=_encodable(value)))
    return KeyValue(key=key, value=AnyValue(int_value=value))


def _encodable(text: str) -> str:
    """Return text without lone surrogates, which a pattern's escapes may make, and which protobuf refuses."""
    return text.encode("utf-8", "replace").decode()
