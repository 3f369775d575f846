"""Traces: which messages are recorded, who they belong to, and what is told of them when they have ended.

Used by `message_path` when a message begins, by `endings` when it ends, and for the control frame `keep`. The rules:

1. A valid `metadata.traceparent` of the app is the parent, and its sampled flag rules.
2. Else the caller's sidecar samples by chance, and writes its own span into the message; the replica's sidecar goes on
   from there, and hands its own span on to the app.
3. A message that was not sampled costs nothing until it ends. If it then failed, was tried again or was slow, it is
   kept: both sidecars find the same ids by hashing the message's id, where that is one of NestJS's own.
4. A replica's sidecar takes a random id for its span; the attempts of one message are siblings below the caller's.
5. The caller's sidecar tells those of the replicas what it keeps, so that both ends keep the same messages.

Kept messages are bounded per second, so that an outage costs no more than a few.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b
from json import dumps
from typing import Final

from tcpservice import javascript
from tcpservice.errors import Code
from tcpservice.exchange.outputs import Span
from tcpservice.exchange.records import (
    DownstreamConnection,
    Ended,
    Message,
    Origin,
    Trace,
    Upstream,
    UpstreamConnection,
)
from tcpservice.exchange.state import State
from tcpservice.exchange.transitions import ConnectionState
from tcpservice.pattern import route_of
from tcpservice.snapshot import SECOND
from tcpservice.wire.mesh import KEEP, encode_control
from tcpservice.wire.requests import read_request
from tcpservice.wire.scan import Frame
from tcpservice.wire.traceparent import TraceContext, read_context, with_context

# CPython 3.11 looks up a member of an enum slowly; these names are as quick as any (docs/decisions.md).
_CANCELLED: Final = Code.CANCELLED
_OK: Final = Code.OK
_RPC_EXCEPTION: Final = Code.RPC_EXCEPTION
_READY: Final = ConnectionState.READY
_INBOUND: Final = Origin.INBOUND
_LOCAL: Final = Origin.LOCAL
_MESH: Final = Origin.MESH

REMEMBERED: Final = 1024
REMEMBERED_FOR: Final = 2 * SECOND
LARGEST_REMEMBERED: Final = 1024
MOST_SERVED: Final = 200
LONGEST_ORIGINAL: Final = 256

_NESTJS_ID = re.compile(rb'"([0-9a-f]{21})"')


def begin(state: State, message: Message) -> None:
    """Decide whether a new message is recorded; if it is, write where its next span belongs into its frame."""
    context = _context_of(message)
    if context is not None:
        trace = message.trace = Trace(context.trace, context.span, sampled=context.sampled)
        if not context.sampled:
            return
    elif message.downstream.origin is not _MESH and message.upstream.sampler.take(state.rng):
        trace = message.trace = Trace(_draw(state, 4), 0, sampled=True)
    else:
        return
    if state.traced_payload and message.frame is not None:
        trace.request = _beginning(state, message.frame)
    _name_spans(state, message.downstream, trace)
    _hand_on(message, TraceContext(trace.trace, trace.client or trace.server, True))


def keep_response(state: State, message: Message, frame: Frame) -> None:
    """Keep the beginning of a response; one that says only that a stream has ended leaves the last one there."""
    trace = message.trace
    if trace is None or not trace.sampled:
        return
    beginning = _beginning(state, frame)
    if not trace.response or frame.err_at >= 0 or b'"response":' in beginning:
        trace.response = beginning


def keep_error(message: Message, code: Code, text: str) -> None:
    """Keep the error with which the sidecar itself ends a message, in the shape of a response."""
    if message.trace is not None and message.trace.sampled:
        message.trace.response = dumps({"err": {"message": text, "code": code.value}}).encode()


def ended(state: State, message: Message, code: Code, now: int) -> None:
    """Tell of a message that has ended, if it was sampled or is worth keeping."""
    trace = message.trace
    if trace is not None and trace.sampled:
        _tell(state, message, trace, code, now, None)
        return
    why = message.kept or _why_keep(message, code, now)
    if why is None:
        if (
            message.downstream.origin is _MESH
            and message.request.id is not None
            and len(message.request.pattern) <= LARGEST_REMEMBERED
        ):
            _remember(state, message, message.request.id, code, now)
    elif state.allowance.take(now):
        _tell(state, message, _found_again(state, message), code, now, why)
        _spread_keep(state, message)
    else:
        state.counts["spans_over_limit"] += 1


def keep(state: State, downstream: DownstreamConnection, key: bytes, now: int) -> None:
    """Keep a message because the caller's sidecar does; one that is still on its way is kept when it ends."""
    found = state.remembered.pop((downstream.conn, key), None)
    if found is None:
        for message in downstream.messages:
            if message.request.id == key:
                message.kept = "caller"
        return
    if now - found.at <= REMEMBERED_FOR and state.allowance.take(now):
        _tell(state, found.message, _found_again(state, found.message), found.code, found.at, "caller")


def _beginning(state: State, frame: Frame) -> bytes:
    return frame.raw[frame.at : frame.at + state.traced_payload]


def _context_of(message: Message) -> TraceContext | None:
    """Find the context that the app, or the caller's sidecar, wrote into the message."""
    request, frame = message.request, message.frame
    if request.metadata_at < 0 or frame is None:
        return None
    return read_context(frame.raw[request.metadata_at : request.metadata_end])


def _name_spans(state: State, downstream: DownstreamConnection, trace: Trace) -> None:
    """Draw the ids of this sidecar's spans: one at the caller's side or the app's, both at an inbound listener."""
    if downstream.origin is not _LOCAL:
        trace.server = _draw(state, 2)
    if downstream.origin is not _MESH:
        trace.client = _draw(state, 2)


def _hand_on(message: Message, context: TraceContext) -> None:
    """Write the context into the message, where it can be written and the message stays within its limit."""
    assert message.frame is not None
    changed = with_context(message.frame, message.request, context)
    if changed is not None and len(changed.raw) - changed.at <= message.upstream.service.limits.max_frame_size:
        message.frame, message.request = changed, read_request(changed)


def _why_keep(message: Message, code: Code, now: int) -> str | None:
    if code is not _OK and code is not _CANCELLED:
        return "error"
    if message.attempts > 1:
        return "retry"
    slow = message.upstream.slow_threshold
    return "slow" if slow and (message.answered or now) - message.arrived >= slow else None


def _found_again(state: State, message: Message) -> Trace:
    """Find the ids of a message that was not sampled, the same in both sidecars where its id allows it."""
    given, known = message.trace, _shared_id(message)
    trace = _hash(known, 16, b"tcps-trace") if known else _draw(state, 4)
    found = Trace(given.trace if given else trace, given.parent if given else 0, sampled=True)
    _name_spans(state, message.downstream, found)
    client = _hash(known, 8, b"tcps-client") if known else 0
    if message.downstream.origin is _MESH:
        found.parent = client or found.parent
    else:
        found.client = client or found.client
    return found


def _shared_id(message: Message) -> bytes:
    """Return the message's id where it is one of NestJS's own and went between the sidecars as it is; else nothing."""
    crossed = message.request.id if message.downstream.origin is _MESH else message.last.key if message.last else b""
    known = _NESTJS_ID.fullmatch(crossed) if crossed and crossed == message.request.id else None
    return known[1] if known else b""


def _hash(text: bytes, size: int, person: bytes) -> int:
    return int.from_bytes(blake2b(text, digest_size=size, person=person).digest()) or 1


def _draw(state: State, words: int) -> int:
    """Draw an id of so many 32-bit words that is not 0."""
    number = 0
    for _ in range(words):
        number = number << 32 | state.rng.below(1 << 32)
    return number or 1


def _remember(state: State, message: Message, key: bytes, code: Code, now: int) -> None:
    state.remembered[message.downstream.conn, key] = Ended(message, code, now)
    if len(state.remembered) > REMEMBERED:
        del state.remembered[next(iter(state.remembered))]


def _spread_keep(state: State, message: Message) -> None:
    """Tell the sidecars of all replicas that were tried to keep the message, too."""
    if message.request.id is None:
        return
    tried = [(attempt.conn, attempt.key) for attempt in message.failed]
    if message.last is not None:
        tried.append((message.last.conn, message.last.key))
    for conn, key in dict.fromkeys(tried):
        connection = state.connections.get(conn)
        if not isinstance(connection, UpstreamConnection) or connection.state is not _READY:
            continue
        if connection.endpoint.address.mesh:
            state.write(connection, encode_control(KEEP, key))


def _tell(state: State, message: Message, trace: Trace, code: Code, now: int, kept: str | None) -> None:
    """Give the spans of one message."""
    endpoint = message.last.endpoint.address if message.last else None
    method, original = _method(message, code)
    inbound = message.downstream.origin is _INBOUND
    span = Span(
        trace.trace, trace.client or trace.server, trace.parent, "client" if trace.client else "server", inbound,
        method, original, message.upstream.key, "event" if message.request.id is None else "request", code,
        kept, endpoint, message.failed, message.responses, message.arrived, now, trace.request, trace.response,
    )  # fmt: skip
    if trace.client and trace.server:
        state.spans.append(span._replace(span=trace.server, kind="server", endpoint=None, failed=()))
        span = span._replace(parent=trace.server, request=b"", response=b"")
    state.spans.append(span)


def _method(message: Message, code: Code) -> tuple[str | None, str]:
    """Give the name that the message's spans may have, and its route as it was sent.

    A name must not be anything that callers make up: it is listed in the manifest, or was served by a replica, of
    which only so many are learned.
    """
    upstream, pattern = message.upstream, message.request.pattern
    route = _route(pattern) if len(pattern) <= LARGEST_REMEMBERED else _read_route(pattern)
    if route is None:
        return None, pattern.decode()[:LONGEST_ORIGINAL]
    if (
        not upstream.policies.lists(route)
        and route not in upstream.served
        and not _learn(upstream, route, message, code)
    ):
        return None, route[:LONGEST_ORIGINAL]
    return route, route


def _read_route(pattern: bytes) -> str | None:
    """Return the route of a pattern; None where there is none."""
    return route_of(javascript.parse(pattern.decode())) if pattern else None


_route = lru_cache(maxsize=256)(_read_route)


def _learn(upstream: Upstream, route: str, message: Message, code: Code) -> bool:
    """Learn a route that a replica has served."""
    served = message.responses > 0 and code in (_OK, _RPC_EXCEPTION)
    if not served or len(upstream.served) >= MOST_SERVED or len(route) > LONGEST_ORIGINAL:
        return False
    upstream.served.add(route)
    return True
