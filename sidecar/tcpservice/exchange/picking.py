"""Picking: which endpoint a message is sent to, and which of that endpoint's connections it takes.

Used by `attempts` and `pool`. The service's algorithm chooses the endpoint; this module knows which endpoints have
room, and keeps small messages away from large ones. A caller that is connected to an endpoint directly has a connection
of its own: another caller's 10 MB do not delay its messages. Here callers share connections, so:

- A connection is *congested* while much is under way on it: bytes that the endpoint has not read, large requests, a
  large reply, or replies to a slow reader. Small messages take another connection, a new one if need be. Large
  messages, and those of callers that get large replies, stay together on the congested ones.
- A caller changes its connection only when the endpoint has read all that it sent on the last one, so that the order of
  its messages holds.
- The limits on bytes are those of each connection, since the receiver's are, and those of an endpoint apply to large
  messages only.
"""

from __future__ import annotations

from typing import Final

from tcpservice.exchange.records import (
    LARGEST_POOL,
    DownstreamConnection,
    Message,
    Origin,
    Reason,
    Upstream,
    UpstreamConnection,
    UpstreamEndpoint,
)
from tcpservice.exchange.state import State
from tcpservice.exchange.transitions import ConnectionState, EndpointState
from tcpservice.snapshot import MILLISECOND

# CPython 3.11 looks up a member of an enum slowly; these names are as quick as any (docs/decisions.md).
_MESH: Final = Origin.MESH
_POOL: Final = Reason.POOL
_PROBATION: Final = EndpointState.PROBATION
_READY: Final = ConnectionState.READY

BUSY: Final = 8
"""Attempts on a connection from which on it counts as busy."""

_FULL: Final = 1 << 30
"""Added to the use of a connection that takes no more, so that it comes behind all others."""

SLOW: Final = 50 * MILLISECOND
"""Average time to a reply from which on an endpoint counts as slow."""


# The endpoint


def pick(state: State, message: Message) -> UpstreamEndpoint | None:
    """Pick an endpoint that has room, one that was not tried where there is one; None where none has room."""
    upstream = message.upstream
    candidates = upstream.candidates
    if not candidates:
        return None
    tried = message.tried
    if tried:
        candidates = [each for each in candidates if each not in tried] or [
            each for each in candidates if not is_late_for(message, each)
        ]
    else:
        endpoint = upstream.balancer.choose(candidates, state.rng)
        if has_room(state, endpoint, message):
            return endpoint
    with_room = [each for each in candidates if has_room(state, each, message)]
    return upstream.balancer.choose(with_room, state.rng) if with_room else None


def is_late(message: Message) -> bool:
    """Whether a message cannot be sent to any of the endpoints that can be picked: it would be out of order there."""
    if not message.refused:
        return False
    return all([is_late_for(message, each) for each in message.upstream.candidates])  # noqa: C419 - compiles better


def is_late_for(message: Message, endpoint: UpstreamEndpoint) -> bool:
    """Whether an endpoint that refused a message may have run a later one of its caller since.

    The endpoint's sidecar refuses requests while its app is away, but keeps events, and the app may be back for what
    was sent behind the refused message. Such a message may only go to another endpoint. For a request that may run
    twice, order does not matter.
    """
    if endpoint not in message.refused or message.policy.idempotent:
        return False
    downstream, sequence = message.downstream, message.sequence
    if downstream.answered > sequence or endpoint.unread.get(downstream, 0) > sequence:
        return True
    if not downstream.live:
        return False
    pool = [each for each in endpoint.pool if each is not None]
    return any([_has_later(each, downstream, sequence) for each in pool])  # noqa: C419 - compiles better


def _has_later(connection: UpstreamConnection, downstream: DownstreamConnection, sequence: int) -> bool:
    """Whether a later request of a caller is pending on a connection: most likely the last one that was written.

    The last one is an earlier request if that was sent again, since it may run twice.
    """
    for attempt in reversed(connection.pending.values()):
        if attempt.connection is not connection or attempt.message.downstream is not downstream:
            continue
        if attempt.message.sequence > sequence:
            return True
    return False


def has_room(state: State, endpoint: UpstreamEndpoint, message: Message) -> bool:
    """Whether an endpoint may be sent this message now. The slot that was found for it is kept in the message."""
    if not may_have_more(endpoint):
        return False
    if message.size >= state.large_message and endpoint.bytes > endpoint.upstream.most_bytes:
        return False
    pool = endpoint.pool
    slot = message.slot = slot_for(state, endpoint, message)
    message.slot_at = endpoint
    if slot >= len(pool):
        return True
    connection = pool[slot]
    return connection is None or _takes_more(state, connection)


def may_have_more(endpoint: UpstreamEndpoint) -> bool:
    """Whether the number of its requests lets an endpoint have one more, on whichever connection."""
    if endpoint.load >= endpoint.upstream.most_requests:
        return False
    return endpoint.state is not _PROBATION or not endpoint.in_flight


def is_full(upstream: Upstream) -> bool:
    """Whether every endpoint has reached its request limit, so that no caller can send."""
    return not any([may_have_more(each) for each in upstream.candidates])  # noqa: C419 - compiles better


# The connection


def slot_for(state: State, endpoint: UpstreamEndpoint, message: Message) -> int:
    """Return the slot in an endpoint's pool for a message.

    It may be one that the pool does not have yet, unless the pool may not grow now.
    """
    pool = endpoint.pool
    slot = _preferred_slot(state, endpoint, message)
    if (slot >= len(pool) or pool[slot] is None) and endpoint.timers and _POOL in endpoint.timers:
        return _ready_slot(state, pool, slot)
    return slot


def _preferred_slot(state: State, endpoint: UpstreamEndpoint, message: Message) -> int:
    """Return the slot for a message as if every connection could be made.

    That of another sidecar's connection follows from its place: what came by its last connection may be unread, too.
    """
    downstream, size = message.downstream, endpoint.upstream.pool_size
    slot = endpoint.slots.get(downstream, -1)
    if slot >= 0 and (downstream.live or downstream in endpoint.unread):
        return slot
    if downstream.origin is _MESH:
        return downstream.serial % (size or LARGEST_POOL)
    if size:
        slot = downstream.serial % size
        connection = endpoint.pool[slot] if slot < len(endpoint.pool) else None
        if connection is None or not is_congested(state, connection):
            return slot
    most = size or LARGEST_POOL
    largest = max(message.size, downstream.replied, downstream.unsent)  # its next reply may be as large as its last
    if largest >= state.large_message or downstream.throttled:
        return _slot_for_large(state, endpoint, most)
    if not downstream.replied and _may_do_without_last(state, endpoint.pool, most - 1):
        most -= 1
    return _slot_for_small(state, endpoint, most)


def _ready_slot(state: State, pool: list[UpstreamConnection | None], preferred: int) -> int:
    """Return the least used slot whose connection is ready, one that takes more if there is one."""
    best, least = preferred, -1
    for slot in range(len(pool)):
        connection = pool[slot]
        if connection is None or connection.state is not _READY:
            continue
        use = connection.live if _takes_more(state, connection) else connection.live + _FULL
        if least < 0 or use < least:
            best, least = slot, use
    return best


def _may_do_without_last(state: State, pool: list[UpstreamConnection | None], others: int) -> bool:
    """Whether one of the first so many slots of a pool takes more, or does not exist yet."""
    if len(pool) < others:
        return True
    for slot in range(others):
        connection = pool[slot]
        if connection is None or _takes_more(state, connection):
            return True
    return False


def _slot_for_small(state: State, endpoint: UpstreamEndpoint, most: int) -> int:
    """Return the least used of the slots that are not congested; a new one if there is none, or all are busy.

    New callers may ask for large replies and read none of them, a thousand at once. So they leave the last slot to
    callers whose replies are known to be small, as long as the others take more.
    """
    pool = endpoint.pool
    best, least, there = -1, 0, min(len(pool), most)
    for slot in range(there):
        connection = pool[slot]
        live = 0
        if connection is not None:
            if is_congested(state, connection):
                continue
            live = connection.live
        if best < 0 or live < least:
            best, least = slot, live
    if there < most and (best < 0 or (least >= BUSY and endpoint.latency >= SLOW)):
        return there
    return best if best >= 0 else _least_used(state, pool, there)


def _slot_for_large(state: State, endpoint: UpstreamEndpoint, most: int) -> int:
    """Return the slot for a large message, or for the caller of large replies.

    Prefer a connection that already carries large messages and has room, then an idle one, then a new one. One slot is
    reserved for small messages: when the others have reached their byte limit, a large message waits.
    """
    pool = endpoint.pool
    idle = full = -1
    many = 0
    for slot in range(len(pool)):
        connection = pool[slot]
        if connection is None:
            idle = slot
        elif connection.bytes >= state.large_message or is_congested(state, connection):
            if _takes_more(state, connection):
                return slot
            if connection.bytes > endpoint.upstream.most_bytes:
                full = slot
                many += 1
        elif not connection.live:
            idle = slot
    if many >= max(1, most - 1):
        return full
    if idle >= 0:
        return idle
    return len(pool) if len(pool) < most else _least_used(state, pool, len(pool))


def _takes_more(state: State, connection: UpstreamConnection) -> bool:
    """Whether the bytes under way on a connection let it have one more message."""
    return connection.backlog < state.upstream_backlog and connection.bytes <= connection.endpoint.upstream.most_bytes


def _least_used(state: State, pool: list[UpstreamConnection | None], most: int) -> int:
    """Return the least used of the first so many slots that takes more; the first where none does."""
    best, least = 0, -1
    for slot in range(most):
        connection = pool[slot]
        if connection is not None and _takes_more(state, connection) and (least < 0 or connection.live < least):
            best, least = slot, connection.live
    return best


def is_congested(state: State, connection: UpstreamConnection) -> bool:
    """Whether much is under way on a connection, which would delay a message that follows."""
    return (
        connection.bytes >= state.congested_bytes
        or connection.bytes > connection.endpoint.upstream.most_bytes
        or connection.backlog >= state.congested_backlog
        or bool(connection.throttling)
        or (connection.live > 0 and connection.reader.buffered >= state.large_message)
    )
