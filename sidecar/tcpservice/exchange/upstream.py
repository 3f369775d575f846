"""Connections to endpoints: established, read, watched and lost.

Used by the `exchange` for every event of such a connection. A reply is matched by its id with its attempt, and goes to
the caller with the id as the caller wrote it and nothing else changed. An endpoint that sends what no caller could read
loses its connection. Replies without a request are dropped and counted; an endpoint that sends many of them loses its
connection, too.
"""

from __future__ import annotations

from typing import Final

from tcpservice.errors import Code, ProtocolError
from tcpservice.exchange import fallback
from tcpservice.exchange.admission import is_slow_reader, responded, throttle
from tcpservice.exchange.attempts import (
    Outcome,
    backoff_of,
    dial_failed,
    end,
    expect_large_replies,
    has_untried,
    withdraw,
    write,
)
from tcpservice.exchange.endings import CONNECTION_CLOSED, close_upstream
from tcpservice.exchange.endpoint_health import (
    asked_to_leave,
    asked_to_return,
    connected,
    failed,
    keep_in_touch,
    other_ready,
    pool_not_grown,
    succeeded,
)
from tcpservice.exchange.outputs import Pause, Resume
from tcpservice.exchange.pool import probe
from tcpservice.exchange.records import Attempt, Failure, Reason, UpstreamConnection
from tcpservice.exchange.state import State
from tcpservice.exchange.tracing import keep_response
from tcpservice.exchange.transitions import ConnectionEvent, ConnectionState, EndpointState
from tcpservice.snapshot import SECOND
from tcpservice.wire.frames import HEAD_KEPT, TAIL_KEPT, Control, Item, Malformed, Oversized
from tcpservice.wire.ids import with_id
from tcpservice.wire.mesh import APP, BACK, GOAWAY, LOST, PING, PONG, REFUSED, encode_control, read_control
from tcpservice.wire.replies import Reply, read_reply
from tcpservice.wire.requests import Refused, TooDeep, oversized_id
from tcpservice.wire.scan import Frame

# CPython 3.11 looks up a member of an enum slowly; these names are as quick as any (docs/decisions.md).
_CONNECTION_CLOSED: Final = Code.CONNECTION_CLOSED
_FRAME_TOO_LARGE: Final = Code.FRAME_TOO_LARGE
_CODE_NO_HANDLER: Final = Code.NO_HANDLER
_AWAIT_PREFACE: Final = ConnectionState.AWAIT_PREFACE
_CLOSED: Final = ConnectionState.CLOSED
_CONNECTING: Final = ConnectionState.CONNECTING
_DRAINING: Final = ConnectionState.DRAINING
_READY: Final = ConnectionState.READY
_ABSENT: Final = EndpointState.ABSENT
_HEALTHY: Final = EndpointState.HEALTHY
_LOST: Final = Outcome.LOST
_NOT_SENT: Final = Outcome.NOT_SENT
_OUTCOME_NO_HANDLER: Final = Outcome.NO_HANDLER
_REFUSED: Final = Outcome.REFUSED
_REPLIED: Final = Outcome.REPLIED
_ATTEMPT: Final = Reason.ATTEMPT
_REQUEST: Final = Reason.REQUEST
_STREAM: Final = Reason.STREAM

FRAMES_PER_TURN: Final = 256
"""Frames of one connection that are handled before others get their turn."""


# Established


def connection_made(state: State, connection: UpstreamConnection, now: int) -> None:
    """Handle that the shell has connected: a sidecar gets a preface, an app gets what is queued."""
    connection.heard = connection.used = now
    if connection.hop is None:
        state.move(connection, ConnectionEvent.CONNECTED)
        _ready(state, connection, now)
        _flush(state, connection, now)
    else:
        state.move(connection, ConnectionEvent.CONNECTED_MESH)
        state.write(connection, connection.hop.request())


def _ready(state: State, connection: UpstreamConnection, now: int) -> None:
    """Let the endpoint be picked, and watch the connection."""
    state.timers.cancel(connection, Reason.CONNECT)
    state.timers.set(connection, Reason.SILENCE, now + state.bounds.probe_after)
    state.timers.set(connection, Reason.IDLE, now + state.bounds.connection_idle)
    connected(state, connection, now)


def _flush(state: State, connection: UpstreamConnection, now: int) -> None:
    """Write what was queued on a connection, in order; an endpoint whose app is absent gets nothing."""
    absent = connection.endpoint.state is _ABSENT
    while connection.queue:
        attempt = next(iter(connection.queue))
        if absent:
            end(state, attempt, _NOT_SENT, now, reason="its app is absent")
        else:
            del connection.queue[attempt]
            write(state, connection, attempt, now)


# Read


def receive(state: State, connection: UpstreamConnection, data: bytes, now: int) -> None:
    """Handle one read."""
    connection.heard = now
    if connection.state is _AWAIT_PREFACE:
        rest = _receive_preface(state, connection, data, now)
        if rest is None:
            return
        data = rest
    items = connection.reader.feed(data, FRAMES_PER_TURN)
    for item in items:
        _handle(state, connection, item, now)
        if connection.state is _CLOSED:
            return
    if items:
        _answered(state, connection, now)
    if connection.queue and connection.state is _READY:
        _flush(state, connection, now)
    if connection.reader.has_more:
        if connection not in state.unparsed and not connection.throttling:
            state.commands.append(Pause(connection.conn))
        state.unparsed[connection] = None


def continue_reading(state: State, connection: UpstreamConnection, now: int) -> None:
    """Handle frames that were left for this turn."""
    receive(state, connection, b"", now)
    if connection.reader.has_more or connection not in state.unparsed:
        return
    del state.unparsed[connection]
    if not connection.throttling:
        state.commands.append(Resume(connection.conn))


def _handle(state: State, connection: UpstreamConnection, item: Item, now: int) -> None:
    if type(item) is Frame:
        _reply(state, connection, item, now)
    elif type(item) is Control:
        _control(state, connection, item, now)
    elif type(item) is Oversized:
        _oversized(state, connection, item, now)
    else:
        assert type(item) is Malformed
        text = f"sent bytes that are no frames: {item.reason} (at byte {item.offset})"
        lost(state, connection, Failure.PROTOCOL, text, now)


def _answered(state: State, connection: UpstreamConnection, now: int) -> None:
    """Note that the endpoint has sent frames: it is alive."""
    connection.asked = now if connection.live else 0
    if connection.probed:
        connection.probed = 0
        state.timers.cancel(connection, Reason.PROBE)
    endpoint = connection.endpoint
    if endpoint.failures or endpoint.state is not _HEALTHY:
        succeeded(state, endpoint, now)


def _receive_preface(state: State, connection: UpstreamConnection, data: bytes, now: int) -> bytes | None:
    assert connection.hop is not None
    try:
        rest = connection.hop.receive(data)
    except ProtocolError as error:
        lost(state, connection, Failure.PROTOCOL, f"is no sidecar of this service: {error.reason}", now)
        return None
    if rest is not None:
        state.move(connection, ConnectionEvent.PREFACE)
        _ready(state, connection, now)
        fallback.end(state, connection.endpoint, now)
    return rest


def _reply(state: State, connection: UpstreamConnection, frame: Frame, now: int) -> None:
    try:
        reply = read_reply(frame)
    except TooDeep as refused:
        ends = Oversized(frame.raw[frame.at :][:HEAD_KEPT], frame.raw[-TAIL_KEPT:], frame.offset)
        _not_passed_on(state, connection, ends, str(refused), now)
        return
    except Refused as refused:
        text = f"sent what no caller could read: {refused} (at byte {frame.offset})"
        lost(state, connection, Failure.PROTOCOL, text, now)
        return
    attempt = None
    if reply.id is not None:
        pending = connection.pending
        attempt = pending.pop(reply.id, None) if reply.final else pending.get(reply.id)
    if attempt is None:
        _unknown(state, connection, reply.id, now)
        return
    if attempt.connection is None:
        state.counts["late_replies"] += 1
    elif reply.code is _CODE_NO_HANDLER and has_untried(attempt.message):
        end(state, attempt, _OUTCOME_NO_HANDLER, now, reason="no handler there")
    else:
        _deliver(state, connection, attempt, frame, reply, now)


def _deliver(
    state: State, connection: UpstreamConnection, attempt: Attempt, frame: Frame, reply: Reply, now: int
) -> None:
    """Write a response to the caller."""
    message = attempt.message
    downstream, asked = message.downstream, message.request.id
    assert asked is not None
    if asked is attempt.key or asked == reply.id:
        state.write(downstream, frame.raw)
    else:
        state.write(downstream, with_id(frame, reply.id_at, reply.id_end, asked))
    size = len(frame.raw)
    if size >= state.large_message > downstream.replied:
        expect_large_replies(downstream, size)
    downstream.replied = size
    if downstream.unsent and is_slow_reader(state, downstream):
        throttle(state, connection, downstream)
    if not message.responses:
        message.answered = now
    message.responses += 1
    if state.traced_payload:
        keep_response(state, message, frame)
    if reply.final:
        end(state, attempt, _REPLIED, now, "", reply.code)
        return
    responded(state, message)
    state.timers.cancel(message, _REQUEST)
    state.timers.cancel(message, _ATTEMPT)
    idle = message.policy.stream_timeout
    if idle:
        state.timers.set(message, _STREAM, now + idle)


def _unknown(state: State, connection: UpstreamConnection, key: bytes | None, now: int) -> None:
    """Drop a reply without a request. One that answers a probe is expected; many others are an attack or a bug."""
    if key in connection.probes:
        del connection.probes[key]
        state.counts["probe_replies"] += 1
        return
    state.counts["unknown_replies"] += 1
    connection.unknown += 1
    if connection.unknown > state.bounds.unknown_replies:
        lost(state, connection, Failure.PROTOCOL, f"sent {connection.unknown} replies that match no request", now)


def _oversized(state: State, connection: UpstreamConnection, item: Oversized, now: int) -> None:
    limit = connection.endpoint.upstream.service.limits.max_frame_size
    _not_passed_on(state, connection, item, f"the reply is larger than limits.maxFrameSize ({limit} bytes)", now)


def _not_passed_on(state: State, connection: UpstreamConnection, item: Oversized, reason: str, now: int) -> None:
    """End the one request whose reply is too large or too deep for its caller; the others go on."""
    key = oversized_id(item)
    attempt = connection.pending.pop(key, None) if key is not None else None
    if attempt is None or attempt.connection is None:
        state.counts["unknown_replies"] += 1
        return
    state.report("frame_too_large", f"{reason} (at byte {item.offset})", connection)
    attempt.message.responses += 1
    withdraw(state, attempt.message, _FRAME_TOO_LARGE, reason, now)


def _control(state: State, connection: UpstreamConnection, control: Control, now: int) -> None:
    word, argument = read_control(control.body)
    if not _within_rate(state, connection, now):
        return
    if word == GOAWAY:
        asked_to_leave(state, connection.endpoint, now, app_absent=argument == APP)
    elif word == BACK:
        asked_to_return(state, connection.endpoint, now)
    elif word == REFUSED:
        if (attempt := _take(state, connection, argument)) is not None:
            end(state, attempt, _REFUSED, now, reason="its sidecar could not reach the app")
    elif word == LOST:
        if (attempt := _take(state, connection, argument)) is not None:
            end(state, attempt, _LOST, now, reason=CONNECTION_CLOSED, code=_CONNECTION_CLOSED)
    elif word == PING:
        state.write(connection, encode_control(PONG, argument))
    else:
        state.counts["ignored_control_frames"] += word != PONG


def _within_rate(state: State, connection: UpstreamConnection, now: int) -> bool:
    """Count a control frame; False closes a connection that floods this sidecar with them."""
    second = now // SECOND
    if second != connection.control_second:
        connection.control_second, connection.control_used = second, 0
    connection.control_used += 1
    if connection.control_used <= state.bounds.control_frames:
        return True
    lost(
        state,
        connection,
        Failure.PROTOCOL,
        f"sent more than {state.bounds.control_frames} control frames a second",
        now,
    )
    return False


def _take(state: State, connection: UpstreamConnection, key: bytes) -> Attempt | None:
    """Take the attempt that a control frame ends off its connection; None where it has ended already."""
    attempt = connection.pending.pop(key, None)
    if attempt is None or attempt.connection is None:
        state.counts["late_replies"] += 1
        return None
    return attempt


# Watched


def on_timer(state: State, connection: UpstreamConnection, reason: int, now: int) -> None:
    """Handle a timer of a connection."""
    if reason == Reason.CONNECT:
        lost(state, connection, Failure.CONNECTION, "connect timed out", now)
    elif reason == Reason.PROBE:
        lost(state, connection, Failure.SILENCE, "silent, and a probe was not answered", now)
    elif reason == Reason.SILENCE:
        _check_silence(state, connection, now)
    else:
        _check_idle(state, connection, now)


def _check_silence(state: State, connection: UpstreamConnection, now: int) -> None:
    """Probe an endpoint that has not answered for a while, judged by what was sent to it.

    The pod's own app that is about to stop is probed even if nothing was sent: its end shows on this connection only.
    """
    bounds = state.bounds
    since = max(connection.asked, connection.heard)
    watched = connection.asked or connection.endpoint.upstream.stopping
    if not watched or connection.probed or connection.throttling:
        state.timers.set(connection, Reason.SILENCE, now + bounds.probe_after)
    elif now - since < bounds.probe_after:
        state.timers.set(connection, Reason.SILENCE, since + bounds.probe_after)
    else:
        probe(state, connection, now)
        state.timers.set(connection, Reason.PROBE, now + bounds.probe_timeout)
        state.timers.set(connection, Reason.SILENCE, now + bounds.probe_after)


def _check_idle(state: State, connection: UpstreamConnection, now: int) -> None:
    """Close a connection that is not used. One whose sidecar asked to be left out stays, to hear that it is back."""
    last = max(connection.heard, connection.used)
    idle = now - last >= state.bounds.connection_idle
    stopping = connection.endpoint.upstream.stopping
    if idle and not connection.live and not stopping and connection.endpoint.state is _HEALTHY:
        close_upstream(state, connection, abort=False)
    else:
        state.timers.set(connection, Reason.IDLE, (now if idle else last) + state.bounds.connection_idle)


# Lost


def lost(state: State, connection: UpstreamConnection, failure: Failure, reason: str, now: int) -> None:
    """Handle that a connection could not be made, was lost, or is given up.

    Attempts that were not written move to other endpoints. Those that may have run fail, or are retried if their
    route is idempotent. An endpoint that cannot be connected to once more, but has a connection that is ready, is
    probed and not ejected: it may only be busy.
    """
    endpoint, dialled = connection.endpoint, connection.state is _CONNECTING
    counts = connection.state is not _DRAINING
    being_made = dialled or connection.state is _AWAIT_PREFACE
    other = other_ready(connection) if being_made and failure is Failure.CONNECTION else None
    queue = list(connection.queue)
    pending = [attempt for attempt in connection.pending.values() if attempt.connection is connection]
    connection.pending = {}
    close_upstream(state, connection, abort=True)
    if other is not None:
        pool_not_grown(state, other, now)
    elif counts:
        if dialled:
            fallback.begin(endpoint)
        failed(state, endpoint, failure, reason, now)
        if dialled:
            dial_failed(state, endpoint.upstream, reason, now)
    else:
        keep_in_touch(state, endpoint, now)
    retry = now + backoff_of(state, pending[0].message) if pending else 0
    for attempt in pending:
        end(state, attempt, _LOST, now, reason=CONNECTION_CLOSED, code=_CONNECTION_CLOSED, retry=retry)
    # The next attempt of an earlier message may end a later one as abandoned.
    for attempt in (each for each in queue if each.connection is connection):
        end(state, attempt, _NOT_SENT, now, reason=reason)
