"""W3C trace context in a message: `metadata.traceparent`, where NestJS 12.0.4 and newer look for it.

Used by `exchange.tracing`. Other metadata of the app is kept as it is; metadata that is no object is the app's own
affair and left alone. The key is added behind all others, where it wins over an earlier one of the same name.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import orjson

from tcpservice.wire.frames import encode_frame
from tcpservice.wire.requests import Request
from tcpservice.wire.scan import Frame

SAMPLED: Final = 1

_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SPACE: Final = b" \t\n\r"
_ID: Final = b',"id":'


class TraceContext(NamedTuple):
    """Where a span belongs: its trace, the span above it, and whether somebody records it."""

    trace: int
    span: int
    sampled: bool


def parse_traceparent(text: object) -> TraceContext | None:
    """Read a traceparent header's value; None for anything else (W3C Trace Context, section 3.2)."""
    match = _TRACEPARENT.fullmatch(text) if isinstance(text, str) else None
    if match is None or (match[1] == "00" and match[5]):
        return None
    return TraceContext(int(match[2], 16), int(match[3], 16), bool(int(match[4], 16) & SAMPLED))


def format_traceparent(context: TraceContext) -> bytes:
    """Write a traceparent header's value."""
    return b"00-%032x-%016x-%02x" % (context.trace, context.span, SAMPLED if context.sampled else 0)


def read_context(metadata: bytes) -> TraceContext | None:
    """Find the trace context in the JSON text of a message's metadata."""
    try:
        value = orjson.loads(metadata)
    except ValueError:
        return None
    return parse_traceparent(value.get("traceparent")) if isinstance(value, dict) else None


def with_context(frame: Frame, request: Request, context: TraceContext) -> Frame | None:
    """Make the frame anew with the context in its metadata; None where there is no place for it.

    New metadata goes before an id that comes last, where NestJS itself writes it, else to the end.
    """
    raw, at = frame.raw, frame.at
    member = b'"traceparent":"%b"' % format_traceparent(context)
    if request.metadata_at < 0:
        place, added = raw.rindex(b"}"), b',"metadata":{%b}' % member
        before_id = request.id_at - len(_ID)
        if request.id_end == place and raw.startswith(_ID, before_id):
            place = before_id
    else:
        start, end = request.metadata_at, request.metadata_end
        value = raw[start:end].strip(_SPACE)
        if not value.startswith(b"{"):
            return None
        place = raw.rindex(b"}", start, end)
        added = b"," + member if value[1:-1].strip(_SPACE) else member
    units = frame.units + len(added)
    changed = encode_frame(raw[at:place] + added + raw[place:], units)
    return Frame(changed, changed.index(b"#") + 1, units, frame.offset)
