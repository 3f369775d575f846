"""Admission and back-pressure: what the sidecar holds in memory, and who is not read while that is too much.

Used wherever a message or a connection begins, ends or is read. Four sums are kept: bytes of messages, bytes of frames
that have not arrived whole, bytes of replies that callers have not read, and requests without a response. While a sum
is above its bound, the connections that would add to it are paused; they go on in their order when it falls. An eighth
more of the memory for messages is for connections that hold little. A paused connection loses nothing: TCP slows its
sender down. Only when pausing is not enough does the sidecar close a connection, the one that holds most.
"""

from __future__ import annotations

from typing import Final

from tcpservice.exchange.bounds import MESSAGE_OVERHEAD
from tcpservice.exchange.outputs import Pause, Resume
from tcpservice.exchange.records import DownstreamConnection, Message, Origin, Reason, UpstreamConnection
from tcpservice.exchange.state import State
from tcpservice.exchange.transitions import DownstreamEvent, DownstreamState
from tcpservice.unread import has_large_share
from tcpservice.wire.scan import Frame

# CPython 3.11 looks up a member of an enum slowly; these names are as quick as any (docs/decisions.md).
_PAUSED: Final = DownstreamState.PAUSED
_READING: Final = DownstreamState.READING
_MESH: Final = Origin.MESH
_OVERHEAD: Final = MESSAGE_OVERHEAD

SMALL_PARTIAL: Final = 16 * 1024
"""Bytes of an unfinished frame that any connection may have, however short memory is."""


# Messages


def admit(state: State, message: Message) -> None:
    """Count a new message."""
    downstream = message.downstream
    downstream.messages[message] = None
    downstream.bytes += message.held
    state.request_bytes += message.held + _OVERHEAD
    if message.request.id is not None:
        message.holds_place = True
        downstream.waiting_first += 1
        state.pending.add(message)


def release(state: State, message: Message) -> None:
    """Count a message no more that has ended."""
    if message.holds_place:
        give_back_place(state, message)
    elif message.is_silent:
        message.is_silent = False
        state.silent.remove(message)
    downstream = message.downstream
    del downstream.messages[message]
    downstream.bytes -= message.held
    state.request_bytes -= message.held + _OVERHEAD
    message.held = 0
    if state.paused or state.large:
        state.freed = True


def drop_frame(state: State, message: Message) -> None:
    """Keep a message's frame no longer: it cannot be sent again."""
    message.frame = None
    message.downstream.bytes -= message.held
    state.request_bytes -= message.held
    message.held = 0
    if state.paused:
        state.freed = True


def give_back_place(state: State, message: Message) -> None:
    """Stop counting a request against limits on requests: it has a response, is old, or has ended."""
    message.holds_place = False
    message.downstream.waiting_first -= 1
    state.pending.remove(message)
    if state.paused:
        state.freed = True
    if message.attempt is not None:
        endpoint = message.attempt.endpoint
        endpoint.load -= 1
        if endpoint.upstream.waiting.count:
            state.pump[endpoint.upstream] = None


def responded(state: State, message: Message) -> None:
    """Note a response that is not the last one: the request holds no place, and was silent for the shortest time."""
    if message.holds_place:
        _forget(state, message)
    else:
        state.silent.remove(message)
        state.silent.add(message)


def expire_places(state: State, now: int) -> None:
    """Give back the places of requests that are older than `place_expiry`; called while somebody waits for one."""
    oldest = now - state.bounds.place_expiry
    message = state.pending.first
    while message is not None:
        if message.arrived > oldest:
            state.timers.set(state.clock, Reason.QUEUE, message.arrived + state.bounds.place_expiry)
            break
        later = message.later
        if message.attempt is not None and message.attempt.written:
            _forget(state, message)
        message = later


def _forget(state: State, message: Message) -> None:
    """Count a request no more, except as one that may still be answered."""
    give_back_place(state, message)
    drop_frame(state, message)
    attempt = message.attempt
    assert attempt is not None
    if message.size >= state.large_message:
        attempt.endpoint.bytes -= message.size
    assert attempt.connection is not None
    attempt.connection.bytes -= message.size + message.expected
    message.size = message.expected = 0
    message.is_silent = True
    state.silent.add(message)


def overdue(state: State) -> Message:
    """Return the request to abandon, of which there are too many: the one that was silent for longest."""
    found = state.silent.first or state.pending.first
    assert found is not None
    return found


# Connections of callers


def may_connect(state: State) -> bool:
    """Whether one more connection of a caller may be taken; one that may not is counted as refused."""
    if len(state.downstreams) + len(state.opaque) < state.bounds.connections:
        return True
    state.counts["refused_connections"] += 1
    return False


# Reading from callers


def may_read(state: State, downstream: DownstreamConnection) -> bool:
    """Whether another message of this connection may be admitted.

    A slow reader asks for no more replies before it has read those it has, as with NestJS 11 and 12: an app that holds
    too many closes the connection, which other callers share.
    """
    if state.request_bytes >= state.most_request_bytes and not _may_use_reserve(state, downstream):
        return False
    if downstream.origin is _MESH:
        return True
    if downstream.throttled:
        return False
    most = state.most_downstream_requests
    return downstream.waiting_first < most and downstream.bytes < state.most_downstream_bytes


def _may_use_reserve(state: State, downstream: DownstreamConnection) -> bool:
    """Whether a connection may go on although memory is short: it holds little, and its next message is not large."""
    if state.request_bytes >= state.most_request_bytes + state.reserve:
        return False
    first = downstream.items[-1] if downstream.items else None
    if type(first) is Frame and len(first.raw) >= state.large_message:
        return False
    return downstream.bytes + _OVERHEAD * len(downstream.messages) <= state.little


def may_continue_frame(state: State, downstream: DownstreamConnection) -> bool:
    """Whether more bytes of an unfinished frame may be read. While memory is short, one large frame at a time."""
    if state.partial_bytes <= state.bounds.partial_bytes or downstream.buffered <= SMALL_PARTIAL:
        return True
    state.large[downstream] = None
    return next(iter(state.large)) is downstream


def count_buffered(state: State, downstream: DownstreamConnection) -> None:
    """Count what a connection's reader holds now."""
    size = downstream.reader.buffered
    if size == downstream.buffered:
        return
    state.partial_bytes += size - downstream.buffered
    downstream.buffered = size
    if size <= SMALL_PARTIAL and downstream in state.large:
        del state.large[downstream]
        state.freed = True


def partials_exceed(state: State) -> bool:
    """Whether unfinished frames hold so much that pausing was not enough."""
    return state.partial_bytes > state.most_partial_bytes


def largest_partial(state: State) -> DownstreamConnection | None:
    """Return the connection to close because pausing was not enough; None while it is."""
    if not partials_exceed(state):
        return None
    head = next(iter(state.large), None)
    return max((each for each in state.downstreams if each is not head), key=lambda each: each.buffered, default=None)


def pause(state: State, downstream: DownstreamConnection) -> None:
    """Stop reading from a connection. The time that follows is not its silence."""
    if downstream.state is _READING:
        state.move(downstream, DownstreamEvent.PAUSE)
        state.timers.cancel(downstream, Reason.FRAME)
        state.commands.append(Pause(downstream.conn))


def resume(state: State, downstream: DownstreamConnection) -> None:
    """Read from a connection again."""
    if downstream.state is _PAUSED:
        state.move(downstream, DownstreamEvent.RESUME)
        downstream.arrived = 0
        state.commands.append(Resume(downstream.conn))


def wait_for_admission(state: State, downstream: DownstreamConnection, now: int) -> None:
    """Pause a connection until admission lets it go on."""
    pause(state, downstream)
    state.paused[downstream] = None
    if not downstream.arrived:
        downstream.arrived = now
    expire_places(state, now)


# Replies that callers have not read


def is_slow_reader(state: State, downstream: DownstreamConnection) -> bool:
    """Whether replies to this connection must wait: too much is unsent in all, and its share is above average."""
    return state.unsent_bytes > state.bounds.unsent_bytes and has_large_share(
        downstream.unsent, state.unsent_bytes, state.slow_readers
    )


def throttle(state: State, connection: UpstreamConnection, downstream: DownstreamConnection) -> None:
    """Do not read the connection that brings replies to a slow reader, until the reader has caught up."""
    if not connection.throttling and connection not in state.unparsed:
        state.commands.append(Pause(connection.conn))
    connection.throttling[downstream] = None
    if downstream.throttled is None:
        downstream.throttled = {}
    downstream.throttled[connection] = None


def unthrottle(state: State, downstream: DownstreamConnection, now: int) -> None:
    """Read the connections again that were not read because of this reader."""
    for connection in downstream.throttled or ():
        del connection.throttling[downstream]
        if not connection.throttling:
            connection.heard = now
            if connection.endpoint.upstream.waiting.count:
                state.pump[connection.endpoint.upstream] = None
            if connection not in state.unparsed:
                state.commands.append(Resume(connection.conn))
    downstream.throttled = None
    if state.paused:
        state.freed = True


def count_unsent(state: State, downstream: DownstreamConnection, size: int, now: int) -> None:
    """Note how many bytes of replies a caller has not taken yet."""
    if size < downstream.unsent or not downstream.unsent:
        downstream.progress = now
    state.slow_readers += bool(size) - bool(downstream.unsent)
    state.unsent_bytes += size - downstream.unsent
    downstream.unsent = size
    if downstream.throttled and not is_slow_reader(state, downstream):
        unthrottle(state, downstream, now)
