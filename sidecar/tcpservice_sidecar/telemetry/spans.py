"""From the exchange's finished spans to OpenTelemetry's, by the semantic conventions for RPC (1.45).

Used by `pipeline`, in the thread that exports. NestJS has no conventions of its own: `rpc.system.name` is `nestjs`, the
route is the method. A route that nobody lists and no replica served must not become a name, of which there would be
no end: it is `_OTHER`, and stands in `rpc.method_original`.
"""

from __future__ import annotations

from typing import Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from tcpservice import __version__
from tcpservice.errors import Code
from tcpservice.exchange import Span

SYSTEM: Final = "nestjs"
OTHER: Final = "_OTHER"
SCHEMA: Final = "https://opentelemetry.io/schemas/1.45.0"
SCOPE: Final = InstrumentationScope("tcpservice", __version__, SCHEMA)

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_KINDS: Final = {"client": SpanKind.CLIENT, "server": SpanKind.SERVER}
_FINE: Final = (Code.OK, Code.CANCELLED)


def to_otel(span: Span, offset: int, resource: Resource) -> ReadableSpan:
    """Make the OpenTelemetry span; `offset` is what turns the exchange's clock into nanoseconds since 1970."""
    failed = span.code not in _FINE
    return ReadableSpan(
        span.method or SYSTEM,
        _context(span.trace, span.span, remote=False),
        parent=_context(span.trace, span.parent, remote=True) if span.parent else None,
        resource=resource,
        attributes=_attributes(span),
        events=[
            Event(
                "tcpservice.attempt_failed", {"tcpservice.endpoint": a.endpoint, "reason": a.reason}, a.ended + offset
            )
            for a in span.failed
        ],
        kind=_KINDS[span.kind],
        status=Status(StatusCode.ERROR, span.code.value) if failed else Status(),
        start_time=span.started + offset,
        end_time=span.ended + offset,
        instrumentation_scope=SCOPE,
    )


def _context(trace: int, span: int, *, remote: bool) -> SpanContext:
    return SpanContext(trace, span, is_remote=remote, trace_flags=_SAMPLED)


def _attributes(span: Span) -> dict[str, str | int]:
    namespace, _, name = span.service.partition("/")
    attributes: dict[str, str | int] = {
        "rpc.system.name": SYSTEM,
        "rpc.method": span.method or OTHER,
        "server.address": f"{name}.{namespace}",
        "tcpservice.service": span.service,
        "tcpservice.message": span.message,
        "tcpservice.responses": span.responses,
        "tcpservice.failed_attempts": len(span.failed),
    }
    if span.method is None:
        attributes["rpc.method_original"] = span.original
    if span.code is not Code.OK:
        attributes["error.type"] = span.code.value
    if span.kept is not None:
        attributes["tcpservice.kept"] = span.kept
    if span.inbound:
        attributes["tcpservice.listener"] = "front"
    if span.endpoint is not None:
        attributes["tcpservice.endpoint"] = span.endpoint.name
        attributes["network.peer.address"] = span.endpoint.host
        attributes["network.peer.port"] = span.endpoint.port
    return attributes
