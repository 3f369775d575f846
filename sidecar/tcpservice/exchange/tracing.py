"""Traces: which messages are recorded, who they belong to, and what is told of them when they have ended.

Used by `intake` when a message begins, by `endings` when it ends, and for the mesh word `keep`. What decides:

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
from hashlib import blake2b
from typing import Final

from tcpservice import javascript
from tcpservice.errors import Code
from tcpservice.exchange.outputs import Span
from tcpservice.exchange.records import Backend, Call, Caller, Ended, Link, Trace
from tcpservice.exchange.state import State
from tcpservice.pattern import route_of
from tcpservice.snapshot import SECOND
from tcpservice.wire.mesh import KEEP, encode_control
from tcpservice.wire.requests import read_request
from tcpservice.wire.traceparent import TraceContext, read_context, with_context

REMEMBERED: Final = 1024
REMEMBERED_FOR: Final = 2 * SECOND
LARGEST_REMEMBERED: Final = 1024
MOST_SERVED: Final = 200
LONGEST_ORIGINAL: Final = 256

_NESTJS_ID = re.compile(rb'"([0-9a-f]{21})"')
_QUIET: Final = frozenset({Code.OK, Code.CANCELLED})


def begin(state: State, call: Call) -> None:
    """Decide whether a new message is recorded; if it is, write where its next span belongs into its frame."""
    context = _context_of(call)
    if context is not None:
        trace = call.trace = Trace(context.trace, context.span, sampled=context.sampled)
        if not context.sampled:
            return
    elif not call.caller.mesh and call.backend.sampler.take(state.chance):
        trace = call.trace = Trace(_draw(state, 4), 0, sampled=True)
    else:
        return
    _name_spans(state, call.caller, trace)
    _hand_on(call, TraceContext(trace.trace, trace.client or trace.server, True))


def ended(state: State, call: Call, code: Code, now: int) -> None:
    """Tell of a message that has ended, if it was sampled or is worth keeping."""
    trace = call.trace
    if trace is not None and trace.sampled:
        _tell(state, call, trace, code, now, None)
        return
    why = call.kept or _why_keep(call, code, now)
    if why is None:
        if call.caller.mesh and call.request.id is not None and len(call.request.pattern) <= LARGEST_REMEMBERED:
            _remember(state, call, call.request.id, code, now)
    elif state.allowance.take(now):
        _tell(state, call, _found_again(state, call), code, now, why)
        _spread_keep(state, call)
    else:
        state.counts["spans_over_limit"] += 1


def keep(state: State, caller: Caller, key: bytes, now: int) -> None:
    """Keep a message because the caller's sidecar does; one that is still on its way is kept when it ends."""
    found = state.remembered.pop((caller.conn, key), None)
    if found is None:
        for call in caller.calls:
            if call.request.id == key:
                call.kept = "caller"
        return
    if now - found.at <= REMEMBERED_FOR and state.allowance.take(now):
        _tell(state, found.call, _found_again(state, found.call), found.code, found.at, "caller")


def _context_of(call: Call) -> TraceContext | None:
    """Find the context that the app, or the caller's sidecar, wrote into the message."""
    found, frame = call.request.metadata, call.frame
    if found is None or frame is None:
        return None
    return read_context(frame.raw[found[0] : found[1]])


def _name_spans(state: State, caller: Caller, trace: Trace) -> None:
    """Draw the ids of the spans that this sidecar makes: a caller's one, a replica's one, a front listener's both."""
    if caller.mesh or caller.front:
        trace.server = _draw(state, 2)
    if not caller.mesh:
        trace.client = _draw(state, 2)


def _hand_on(call: Call, context: TraceContext) -> None:
    """Write the context into the message, where it can be written and the message stays within its limit."""
    assert call.frame is not None
    changed = with_context(call.frame, call.request, context)
    if changed is not None and len(changed.raw) - changed.at <= call.backend.service.limits.max_frame_size:
        call.frame, call.request = changed, read_request(changed)


def _why_keep(call: Call, code: Code, now: int) -> str | None:
    if code not in _QUIET:
        return "error"
    if call.attempts > 1:
        return "retry"
    slow = call.backend.service.tracing.slow_threshold
    return "slow" if slow and (call.answered or now) - call.started >= slow else None


def _found_again(state: State, call: Call) -> Trace:
    """Find the ids of a message that was not sampled, the same in both sidecars where its id allows it."""
    given, known = call.trace, _shared_id(call)
    trace = _hash(known, 16, b"tcps-trace") if known else _draw(state, 4)
    found = Trace(given.trace if given else trace, given.parent if given else 0, sampled=True)
    _name_spans(state, call.caller, found)
    client = _hash(known, 8, b"tcps-client") if known else 0
    if call.caller.mesh:
        found.parent = client or found.parent
    else:
        found.client = client or found.client
    return found


def _shared_id(call: Call) -> bytes:
    """Return the message's id where it is one of NestJS's own and went between the sidecars as it is; else nothing."""
    crossed = call.request.id if call.caller.mesh else call.key
    known = _NESTJS_ID.fullmatch(crossed) if crossed and crossed == call.request.id else None
    return known[1] if known else b""


def _hash(text: bytes, size: int, person: bytes) -> int:
    return int.from_bytes(blake2b(text, digest_size=size, person=person).digest()) or 1


def _draw(state: State, words: int) -> int:
    """Draw an id of so many 32-bit words that is not 0."""
    number = 0
    for _ in range(words):
        number = number << 32 | state.chance.below(1 << 32)
    return number or 1


def _remember(state: State, call: Call, key: bytes, code: Code, now: int) -> None:
    state.remembered[call.caller.conn, key] = Ended(call, code, now)
    if len(state.remembered) > REMEMBERED:
        del state.remembered[next(iter(state.remembered))]


def _spread_keep(state: State, call: Call) -> None:
    """Tell the sidecars of all replicas that were tried to keep the message, too."""
    if call.request.id is None:
        return
    tried = [(attempt.conn, attempt.key) for attempt in call.failed] + [(call.conn, call.key)]
    for conn, key in dict.fromkeys(tried):
        link = state.peers.get(conn)
        if isinstance(link, Link) and link.replica.endpoint.mesh and link.up:
            state.write(conn, encode_control(KEEP, key))


def _tell(state: State, call: Call, trace: Trace, code: Code, now: int, kept: str | None) -> None:
    """Give the spans of one message."""
    replica = call.replica.endpoint if call.replica else None
    method, original = _method(call, code)
    front = call.caller.front
    span = Span(
        trace.trace, trace.client or trace.server, trace.parent, "client" if trace.client else "server", front, method,
        original, call.backend.service.key, "event" if call.request.id is None else "request", code, kept, replica,
        call.failed, call.responses, call.started, now,
    )  # fmt: skip
    if trace.client and trace.server:
        state.spans.append(span._replace(span=trace.server, kind="server", replica=None, failed=()))
        span = span._replace(parent=trace.server)
    state.spans.append(span)


def _method(call: Call, code: Code) -> tuple[str | None, str]:
    """Give the name that the message's spans may have, and its route as it was sent.

    A name must not be anything that callers make up: it is listed in the manifest, or was served by a replica, of
    which only so many are learned.
    """
    backend, pattern = call.backend, call.request.pattern
    route = route_of(javascript.parse(pattern.decode())) if pattern else None
    if route is None:
        return None, pattern.decode()[:LONGEST_ORIGINAL]
    if not backend.policies.lists(route) and route not in backend.served and not _learn(backend, route, call, code):
        return None, route[:LONGEST_ORIGINAL]
    return route, route


def _learn(backend: Backend, route: str, call: Call, code: Code) -> bool:
    """Learn a route that a replica has served."""
    served = call.responses > 0 and code in (Code.OK, Code.RPC_EXCEPTION)
    if not served or len(backend.served) >= MOST_SERVED or len(route) > LONGEST_ORIGINAL:
        return False
    backend.served.add(route)
    return True
