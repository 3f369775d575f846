"""Attempts: an endpoint is picked, the message is written there, and the attempt ends.

Used by `message_path` for new messages, and by `upstream` for what endpoints do. `end` is the only place where an
attempt ends: it gives back what the attempt held, tells endpoint health what was learned, and decides what follows for
the message:

| outcome | the message may have run | what follows |
|---|---|---|
| REPLIED | yes | the message ends |
| NOT_SENT | no | another endpoint, else the queue |
| REFUSED | no | another endpoint, else the queue; an error where it would be out of order everywhere |
| NO_HANDLER | no | another endpoint that was not tried |
| LOST, TIMED_OUT | yes | another attempt if the route is idempotent and the budget allows it, else an error |
| WITHDRAWN | it depends | nothing: the message ends for a reason of its own |

A message for which no endpoint can be picked waits in its service's queue (`waiting`), behind its caller's earlier
ones; `pump` goes on with that queue as soon as an endpoint can be picked. So order holds through dials, retries and
starts of apps.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from tcpservice.errors import Code
from tcpservice.exchange.admission import drop_frame, expire_places, overdue
from tcpservice.exchange.endings import close_upstream, fail, finish, leave_pool
from tcpservice.exchange.endpoint_health import failed, keep_in_touch, suspected
from tcpservice.exchange.outputs import FailedAttempt
from tcpservice.exchange.picking import is_full, is_late, pick
from tcpservice.exchange.pool import connection_for, fresh_id
from tcpservice.exchange.records import (
    Attempt,
    DownstreamConnection,
    Failure,
    Message,
    Origin,
    Reason,
    Upstream,
    UpstreamConnection,
    UpstreamEndpoint,
    new_attempt,
)
from tcpservice.exchange.state import State
from tcpservice.exchange.transitions import ConnectionEvent, ConnectionState, EndpointState
from tcpservice.snapshot import SECOND
from tcpservice.wire.ids import with_id
from tcpservice.wire.mesh import CANCEL, encode_control

SHORT_ID: Final = 18
"""Ids below this length may come again: NestJS's own are longer and random."""

MOST_SHORT_IDS: Final = 4096

CALLERS_PER_TURN: Final = 256
"""Callers with waiting messages that are looked at in one turn of the event loop, so that others have theirs."""

_LONGEST_BACKOFF: Final = SECOND
_LATENCY_SHIFT: Final = 3


class Outcome(IntEnum):
    """How an attempt ended."""

    REPLIED = 0
    NO_HANDLER = 1
    NOT_SENT = 2  # the connection could not be made, or was given up before a byte was written
    REFUSED = 3  # the endpoint's sidecar could not reach its app
    LOST = 4  # the connection, or the one behind the endpoint's sidecar, was lost
    TIMED_OUT = 5  # timeouts.backendRequest
    WITHDRAWN = 6


# CPython 3.11 looks up a member of an enum slowly; these names are as quick as any (docs/decisions.md).
_SHORT_ID: Final = SHORT_ID
_ABANDONED: Final = Code.ABANDONED
_CANCELLED: Final = Code.CANCELLED
_CONNECTION_CLOSED: Final = Code.CONNECTION_CLOSED
_NO_ENDPOINTS: Final = Code.NO_ENDPOINTS
_OK: Final = Code.OK
_OVERLOADED: Final = Code.OVERLOADED
_TIMEOUT: Final = Code.TIMEOUT
_DRAINING: Final = ConnectionState.DRAINING
_READY: Final = ConnectionState.READY
_ABSENT: Final = EndpointState.ABSENT
_LEAVING: Final = EndpointState.LEAVING
_LOST: Final = Outcome.LOST
_REFUSED: Final = Outcome.REFUSED
_REPLIED: Final = Outcome.REPLIED
_TIMED_OUT: Final = Outcome.TIMED_OUT
_WITHDRAWN: Final = Outcome.WITHDRAWN
_MESH: Final = Origin.MESH
_ATTEMPT: Final = Reason.ATTEMPT
_QUEUE: Final = Reason.QUEUE
_STREAM: Final = Reason.STREAM


# Pick


def dispatch(state: State, message: Message, now: int) -> None:
    """Start an attempt for a message, or let it wait for an endpoint."""
    upstream = message.upstream
    if upstream.waiting.count and upstream.waiting.has(message.downstream):
        wait(state, message, now)
        if upstream.waiting.first(message.downstream) is message:  # one that moves, before those that waited
            state.pump[upstream] = None
        return
    endpoint = pick(state, message)
    if endpoint is not None:
        start(state, message, endpoint, now)
    elif _is_late_or_hopeless(message):
        fail(state, message, *_why_not_sent(message), now)
    else:
        wait(state, message, now)


def _is_late_or_hopeless(message: Message) -> bool:
    """Whether a message for which no endpoint was picked ends."""
    return is_late(message) if message.upstream.candidates else _is_hopeless(message)


def _is_hopeless(message: Message) -> bool:
    """Whether a message for which no endpoint can be picked should not wait for one.

    An event waits, since NestJS has no way to report that it was rejected. A request of another sidecar does not: that
    sidecar may send it elsewhere.
    """
    upstream = message.upstream
    if upstream.service.awaited:
        return False
    if not any(each.address.serving for each in upstream.endpoints.values()):
        return True
    return message.request.id is not None and (upstream.is_app or _is_exhausted(message))


def _is_exhausted(message: Message) -> bool:
    """Whether a request that no endpoint took has had its attempts."""
    return message.attempts + message.rounds > message.policy.retry.attempts


def _why_not_sent(message: Message) -> tuple[Code, str]:
    code = _CONNECTION_CLOSED if message.may_have_run else _NO_ENDPOINTS
    key = message.upstream.key
    if not message.upstream.endpoints:
        return code, f"{key} has no endpoint"
    why = message.failed[-1].reason if message.failed else "none can be reached"
    return code, f"no endpoint of {key} took it: {why}"


def wait(state: State, message: Message, now: int) -> None:
    """Put a message into its service's queue."""
    message.upstream.waiting.add(message)
    if not state.clock.timers:
        expire_places(state, now)
    state.timers.set(message, _QUEUE, max(now, message.arrived + state.bounds.queue_timeout))


def pump(state: State, upstream: Upstream, now: int) -> None:
    """Go on with the messages that wait for an endpoint, since there may be room for some."""
    upstream.waiting.begin_round()
    pump_on(state, upstream, now)


def pump_on(state: State, upstream: Upstream, now: int) -> None:
    """Let callers have their turns, one message of each at a time, until each waits for room.

    So many callers are looked at, and more of them a moment later.
    """
    waiting = upstream.waiting
    if not upstream.candidates:
        _end_hopeless(state, upstream, now)
        return
    callers = waiting.callers(CALLERS_PER_TURN)
    waiting.unseen -= len(callers)
    while callers:
        going = []
        for caller in callers:
            message = waiting.first(caller)
            if message is None:
                continue
            endpoint = pick(state, message)
            if endpoint is not None:
                _go_on(state, message, endpoint, now)
                going.append(caller)
            elif message.refused and is_late(message):
                fail(state, message, *_why_not_sent(message), now)
                going.append(caller)
            elif is_full(upstream):
                return
            waiting.had_its_turn(caller)
        callers = going
    if waiting.count and waiting.unseen > 0:
        state.timers.set(upstream, Reason.PUMP, now)


def _go_on(state: State, message: Message, endpoint: UpstreamEndpoint, now: int) -> None:
    """Take a message out of the queue."""
    message.upstream.waiting.remove(message)
    state.timers.cancel(message, _QUEUE)
    start(state, message, endpoint, now)


def _end_hopeless(state: State, upstream: Upstream, now: int) -> None:
    """End the messages for which waiting is of no use."""
    for message in upstream.waiting.messages():
        if _is_hopeless(message):
            fail(state, message, *_why_not_sent(message), now)


# Attempt


def start(state: State, message: Message, endpoint: UpstreamEndpoint, now: int) -> None:
    """Begin an attempt: write the message, or queue it on the connection that is being made."""
    attempt = message.attempt = message.last = new_attempt(message, endpoint)
    message.attempts += 1
    endpoint.in_flight += 1
    endpoint.load += message.holds_place
    timeout = message.policy.attempt_timeout
    if timeout:
        state.timers.set(message, _ATTEMPT, now + timeout)
    connection = connection_for(state, endpoint, message, now)
    message.downstream.live += 1
    if message.size >= state.large_message:
        endpoint.bytes += message.size
    attempt.connection = connection
    attempt.conn = connection.conn
    connection.live += 1
    replied = message.downstream.replied
    if replied >= state.large_message and message.request.id is not None and message.downstream.origin is not _MESH:
        message.expected = replied
    connection.bytes += message.size + message.expected
    if connection.state is _READY and not connection.queue:
        write(state, connection, attempt, now)
    else:
        connection.queue[attempt] = None


def write(state: State, connection: UpstreamConnection, attempt: Attempt, now: int) -> None:
    """Write a message on a connection that is ready. An event has ended with that."""
    message = attempt.message
    frame, request = message.frame, message.request
    assert frame is not None
    attempt.written = connection.used = now
    if request.id is None:
        state.write(connection, frame.raw)
        _may_be_unread(connection.endpoint, message)
        end(state, attempt, _REPLIED, now)
        return
    if not connection.asked:
        connection.asked = now
    key = attempt.key = _key(connection, message, request.id)
    if connection.pending.setdefault(key, attempt) is not attempt:
        key = attempt.key = fresh_id(connection)
        connection.pending[key] = attempt
    if key is request.id:
        state.write(connection, frame.raw)
    else:
        state.write(connection, with_id(frame, request.id_at, request.id_end, key))
    if message.size > state.retry_bytes and state.request_bytes > state.most_request_bytes // 2:
        drop_frame(state, message)
    if state.pending.count + state.silent.count > state.most_pending:
        text = "too many requests without a reply; this one was silent longest"
        withdraw(state, overdue(state), _ABANDONED, text, now)


def expect_large_replies(downstream: DownstreamConnection, size: int) -> None:
    """Count the requests of a caller that are under way as those to which the reply is large, as it was to one of them.

    What another sidecar sends is of several callers, and that sidecar counts it.
    """
    if downstream.origin is _MESH:
        return
    for message in downstream.messages:
        attempt = message.attempt
        if attempt is None or attempt.connection is None or message.expected or not message.size:
            continue
        if message.request.id is not None:
            message.expected = size
            attempt.connection.bytes += size


def _may_be_unread(endpoint: UpstreamEndpoint, message: Message) -> None:
    """Note that no reply will show when the endpoint has read a message."""
    unread = endpoint.unread
    unread[message.downstream] = max(message.sequence, unread.get(message.downstream, 0))


def _key(connection: UpstreamConnection, message: Message, id_text: bytes) -> bytes:
    """Return the id to write: the caller's own, unless the reply to another request could be taken for its reply.

    Other sidecars make ids as this one does for its probes. An app may answer an id twice. NestJS's own ids are random;
    a short one could be the next caller's, too. `write` finds whether the id is that of a request that is pending.
    """
    if not message.request.stable:
        return fresh_id(connection)
    if connection.probes and id_text in connection.probes:
        return fresh_id(connection)
    if len(id_text) < _SHORT_ID:
        conn = message.downstream.conn
        if connection.short_ids.get(id_text, conn) != conn or len(connection.short_ids) >= MOST_SHORT_IDS:
            return fresh_id(connection)
        connection.short_ids[id_text] = conn
    return id_text


# End


def end(
    state: State,
    attempt: Attempt,
    outcome: Outcome,
    now: int,
    reason: str = "",
    code: Code = _OK,
    retry: int = 0,
) -> None:
    """End an attempt: give back what it held, tell endpoint health, and decide what follows for the message.

    `reason` says why the attempt failed; `code` is how the message ends with a reply, or with an error where it may not
    be repeated; `retry` is when the next attempt may begin (0: after a backoff), the same for all attempts that one
    failure ended, so that their order holds.
    """
    message = attempt.message
    silent = _release(state, attempt, outcome, now)
    if outcome is _REPLIED:
        finish(state, message, code, now)
        return
    written = attempt.written > 0
    if written and outcome in (_LOST, _TIMED_OUT, _WITHDRAWN):
        message.may_have_run = True
    if outcome is _WITHDRAWN:
        return
    message.failed = (*message.failed, _failure(attempt, reason, now))
    if attempt.endpoint not in message.tried:
        message.tried = (*message.tried, attempt.endpoint)
    if outcome is _REFUSED:
        message.refused = (*message.refused, attempt.endpoint)
    _teach(state, attempt.endpoint, outcome, silent, reason, now)
    if written and outcome in (_LOST, _TIMED_OUT):
        _repeat(state, message, code, reason, retry, now)
    elif message.frame is None:
        fail(state, message, _NO_ENDPOINTS, f"{reason}, and the message is too large to be kept", now)
    else:
        dispatch(state, message, now)


def _teach(
    state: State, endpoint: UpstreamEndpoint, outcome: Outcome, silent: UpstreamConnection | None, reason: str, now: int
) -> None:
    """Tell endpoint health what an attempt that failed shows. A lost connection was reported when it was lost."""
    if outcome is _TIMED_OUT and silent is not None:
        suspected(state, silent, now)
    elif outcome is _REFUSED and endpoint.state not in (_ABSENT, _LEAVING):
        failed(state, endpoint, Failure.REFUSAL, reason, now)


def _repeat(state: State, message: Message, code: Code, reason: str, retry: int, now: int) -> None:
    """Let a message that may have run have another attempt if it may; else end it."""
    if not may_repeat(message, now):
        fail(state, message, code, reason, now)
    elif message.upstream.candidates:
        state.timers.set(message, Reason.RETRY, retry or now + backoff_of(state, message))
    else:
        wait(state, message, now)


def _release(state: State, attempt: Attempt, outcome: Outcome, now: int) -> UpstreamConnection | None:
    """Give back what an attempt held; return its connection if that has been silent since the request was written."""
    message, endpoint, connection = attempt.message, attempt.endpoint, attempt.connection
    assert connection is not None
    message.attempt = attempt.connection = None
    attempt.message = None  # type: ignore[assignment]  # no cycle is left for the garbage collector
    _count_less(state, message, endpoint, connection)
    if message.timers:
        state.timers.cancel(message, _ATTEMPT)
        state.timers.cancel(message, _STREAM)
    if endpoint.upstream.waiting.count:
        state.pump[endpoint.upstream] = None
    if outcome is _REPLIED:
        if attempt.key:
            message.downstream.answered = max(message.downstream.answered, message.sequence)
            if endpoint.unread and endpoint.unread.get(message.downstream, message.sequence) < message.sequence:
                del endpoint.unread[message.downstream]  # what came before a request that is answered was read
            endpoint.latency += (now - attempt.written - endpoint.latency) >> _LATENCY_SHIFT
    elif not attempt.written:
        connection.queue.pop(attempt, None)
    else:
        if outcome in (_LOST, _TIMED_OUT, _WITHDRAWN):
            _may_be_unread(endpoint, message)
        if outcome in (_TIMED_OUT, _WITHDRAWN):
            _tell_endpoint(state, connection, attempt, now)
    if connection.state is _DRAINING and not connection.live:
        close_upstream(state, connection, abort=False)
        keep_in_touch(state, endpoint, now)
    return connection if attempt.written and connection.heard <= attempt.written else None


def _count_less(state: State, message: Message, endpoint: UpstreamEndpoint, connection: UpstreamConnection) -> None:
    endpoint.in_flight -= 1
    endpoint.load -= message.holds_place
    if message.size >= state.large_message:
        endpoint.bytes -= message.size
    message.downstream.live -= 1
    connection.live -= 1
    connection.bytes -= message.size + message.expected
    message.expected = 0


def _tell_endpoint(state: State, connection: UpstreamConnection, attempt: Attempt, now: int) -> None:
    """Let a sidecar know that a reply is not needed any more. NestJS has no such word: its reply will be dropped.

    The request stays known on the connection until then; a connection that owes too many such replies is replaced.
    """
    if connection.endpoint.mesh:
        state.write(connection, encode_control(CANCEL, attempt.key))
    if connection.unanswered > state.bounds.unanswered and connection.state is _READY:
        drain_connection(state, connection, now)


def _failure(attempt: Attempt, reason: str, now: int) -> FailedAttempt:
    return FailedAttempt(attempt.endpoint.address.name, reason, now, attempt.conn, attempt.key)


def may_repeat(message: Message, now: int) -> bool:
    """Whether a message that may have run may run again; if so, one retry is taken from the budget."""
    return (
        message.policy.idempotent
        and message.frame is not None
        and not message.responses
        and message.attempts <= message.policy.retry.attempts
        and message.upstream.budget.take(now)
    )


def backoff_of(state: State, message: Message) -> int:
    """Return how long a message rests before its next attempt (ns), twice as long each time."""
    first = message.policy.retry.backoff
    return state.rng.jitter(max(first, min(first << max(message.attempts - 1, 0), _LONGEST_BACKOFF)))


def has_untried(message: Message) -> bool:
    """Whether a message may go to an endpoint that can be picked and was not tried, the current one aside."""
    if message.frame is None or message.attempts > message.policy.retry.attempts:
        return False
    current = message.attempt.endpoint if message.attempt else None
    return any(each is not current and each not in message.tried for each in message.upstream.candidates)


def drain_connection(state: State, connection: UpstreamConnection, now: int) -> None:
    """Give a connection no new message; it closes with its last reply."""
    state.move(connection, ConnectionEvent.DRAIN)
    leave_pool(connection)
    if not connection.live:
        close_upstream(state, connection, abort=False)
    keep_in_touch(state, connection.endpoint, now)


# The message ends for a reason of its own


def withdraw(state: State, message: Message, code: Code, text: str, now: int) -> None:
    """End a message with an error of the sidecar's own, wherever it is."""
    if message.attempt is not None:
        end(state, message.attempt, _WITHDRAWN, now)
    fail(state, message, code, text, now)


def cancel(state: State, message: Message, now: int) -> None:
    """End a message whose caller no longer needs the reply."""
    if message.attempt is not None:
        end(state, message.attempt, _WITHDRAWN, now)
    finish(state, message, _CANCELLED, now)


# Timers


def on_timer(state: State, message: Message, reason: int, now: int) -> None:
    """Handle a timer of a message."""
    if reason == Reason.REQUEST:
        withdraw(state, message, _TIMEOUT, "no response in time (timeouts.request)", now)
    elif reason == Reason.STREAM:
        withdraw(state, message, _TIMEOUT, "no response in time (timeouts.streamIdle)", now)
    elif reason == Reason.ATTEMPT:
        assert message.attempt is not None
        text = "no response in time (timeouts.backendRequest)"
        end(state, message.attempt, _TIMED_OUT, now, reason=text, code=_TIMEOUT)
    elif reason == Reason.RETRY:
        dispatch(state, message, now)
    else:
        _queue_timed_out(state, message, now)


def _queue_timed_out(state: State, message: Message, now: int) -> None:
    upstream = message.upstream
    if upstream.candidates:
        code, text = _OVERLOADED, "no endpoint had room for it in time"
    elif upstream.service.awaited:
        code, text = _NO_ENDPOINTS, f"the endpoints of {upstream.key} did not become known in time"
    else:
        code, text = _NO_ENDPOINTS, f"no endpoint of {upstream.key} could be reached in time"
    state.report_rarely(code, f"messages waited too long: {text}", upstream, now)
    fail(state, message, code, text, now)


def dial_failed(state: State, upstream: Upstream, reason: str, now: int) -> None:
    """Count an attempt for each message that waits while no endpoint can be reached; end those that had enough."""
    if upstream.candidates or upstream.service.awaited:
        return
    for message in upstream.waiting.messages():
        message.rounds += 1
        if message.request.id is not None and _is_exhausted(message):
            code, _ = _why_not_sent(message)
            fail(state, message, code, f"no endpoint of {upstream.key} took it: {reason}", now)
