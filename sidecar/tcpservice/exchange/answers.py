"""What replicas say: replies to their callers, and the mesh hop's own words.

Used by the `exchange` for every read from a replica. A reply goes to the caller that asked, with the id as that caller
wrote it and nothing else changed. A replica that sends what no caller could read loses its connection; replies that
nobody waits for are dropped and counted.
"""

from __future__ import annotations

from tcpservice.errors import Code, ProtocolError
from tcpservice.exchange.dispatch import set_timer
from tcpservice.exchange.endings import fail, finish, leave
from tcpservice.exchange.losses import distrust, established, lose, mark, recovered
from tcpservice.exchange.records import Call, Link, Replica
from tcpservice.exchange.retries import broken, moved, not_run
from tcpservice.exchange.state import State
from tcpservice.wire.frames import HEAD_KEPT, TAIL_KEPT, Control, Frame, Oversized
from tcpservice.wire.ids import with_id
from tcpservice.wire.mesh import BACK, GOAWAY, LOST, PING, PONG, REFUSED, encode_control, read_control, read_preface
from tcpservice.wire.replies import Reply, read_reply
from tcpservice.wire.requests import Refused, TooDeep, oversized_id


def receive(state: State, link: Link, data: bytes, now: int) -> None:
    """Take one read from a replica."""
    link.heard = now
    if link.greeting is not None:
        rest = _greet(state, link, data, now)
        if not rest:
            return
        data = rest
    for item in link.reader.feed(data):
        if type(item) is Frame:
            _frame(state, link, item, now)
        elif type(item) is Control:
            _control(state, link, item, now)
        elif type(item) is Oversized:
            _oversized(state, link, item, now)
        else:
            distrust(state, link, f"sent no frames: {item.reason} (at byte {item.offset})", now)
        if state.peers.get(link.conn) is not link:
            return
    if link.probed and link.replica.suspect:
        link.probed = 0
        recovered(state, link.replica)


def _greet(state: State, link: Link, data: bytes, now: int) -> bytes:
    """Read the other sidecar's opening line; return what follows it."""
    assert link.greeting is not None
    link.greeting += data
    try:
        answer = read_preface(link.greeting)
    except ProtocolError as error:
        lose(state, link, f"is no sidecar: {error.reason}", now)
        return b""
    if answer is None:
        return b""
    preface, rest = answer
    if preface.service != link.replica.backend.service.key:
        lose(state, link, f"is a sidecar of {preface.service}", now)
        return b""
    link.greeting = None
    link.replica.leaving = False
    established(state, link, now)
    return rest


def _frame(state: State, link: Link, frame: Frame, now: int) -> None:
    try:
        reply = read_reply(frame)
    except TooDeep as refused:
        ends = Oversized(frame.raw[frame.at :][:HEAD_KEPT], frame.raw[-TAIL_KEPT:], frame.offset)
        _not_passed_on(state, link, ends, str(refused), now)
        return
    except Refused as refused:
        distrust(state, link, f"sent what no caller could read: {refused} (at byte {frame.offset})", now)
        return
    call = link.pending.get(reply.id) if reply.id is not None else None
    if call is None:
        state.counts["unknown_replies" if not link.probed else "probe_replies"] += 1
        return
    assert reply.id is not None
    if reply.final:
        del link.pending[reply.id]
    if not call.waits_for(link, reply.id):
        state.counts["late_replies"] += 1
    elif reply.code is not Code.NO_HANDLER or not moved(state, call, now):
        _deliver(state, call, frame, reply, now)


def _deliver(state: State, call: Call, frame: Frame, reply: Reply, now: int) -> None:
    asked = call.request.id
    assert asked is not None
    if asked is call.key or asked == reply.id:
        state.write(call.caller.conn, frame.raw)
    else:
        state.write(call.caller.conn, with_id(frame, reply.id_at, reply.id_end, asked))
    if not call.responses:
        call.answered = now
    call.responses += 1
    if reply.final:
        leave(state, call)
        finish(state, call, reply.code, now)
        return
    call.frame = None
    call.attempt_due = 0
    idle = call.policy.timeouts.stream_idle
    call.due = now + idle if idle else 0
    set_timer(state, call)


def _oversized(state: State, link: Link, item: Oversized, now: int) -> None:
    limit = link.replica.backend.service.limits.max_frame_size
    _not_passed_on(state, link, item, f"the reply is larger than limits.maxFrameSize ({limit} bytes)", now)


def _not_passed_on(state: State, link: Link, item: Oversized, reason: str, now: int) -> None:
    """End the one request whose reply is too large or too deep for its caller; the others on the link go on."""
    key = oversized_id(item)
    call = link.pending.get(key) if key is not None else None
    if call is None or key is None or not call.waits_for(link, key):
        state.counts["unknown_replies"] += 1
        return
    state.tell("frame_too_large", f"{reason} (at byte {item.offset})", link)
    call.responses += 1
    fail(state, call, Code.FRAME_TOO_LARGE, reason, now)


def _control(state: State, link: Link, control: Control, now: int) -> None:
    word, argument = read_control(control.body)
    if word in (GOAWAY, BACK):
        _chosen(state, link.replica, leaving=word == GOAWAY)
    elif word == REFUSED:
        _refused(state, link, argument, now)
    elif word == LOST:
        _lost(state, link, argument, now)
    elif word == PING:
        state.write(link.conn, encode_control(PONG, argument))
    else:
        state.counts["passed_over_words"] += word != PONG


def _chosen(state: State, replica: Replica, *, leaving: bool) -> None:
    """Leave a replica out, or choose it again, as it asked; what it says twice is nothing new."""
    if replica.leaving is leaving:
        return
    replica.leaving = leaving
    replica.backend.refresh()
    state.room = True
    if leaving:
        state.tell("replica_leaving", "asked to be left out", replica)
    else:
        state.tell("replica_up", "asked to be chosen again", replica)


def _refused(state: State, link: Link, key: bytes, now: int) -> None:
    """Try elsewhere what the replica's sidecar could not give to its app."""
    call = _take(state, link, key)
    if call is None:
        return
    if not link.replica.leaving:
        mark(state, link.replica, "its sidecar could not reach the app", now)
    if call.frame is None:
        fail(state, call, Code.NO_ENDPOINTS, "the replica refused it and it is too large to be kept", now)
    else:
        not_run(state, call, "its sidecar could not reach the app", now)


def _lost(state: State, link: Link, key: bytes, now: int) -> None:
    """Go on with what the replica's app was lost under."""
    call = _take(state, link, key)
    if call is not None:
        broken(state, call, now)


def _take(state: State, link: Link, key: bytes) -> Call | None:
    """Take a call off the link on which it ended; None where nobody waits for it."""
    call = link.pending.pop(key, None)
    if call is None or not call.waits_for(link, key):
        state.counts["late_replies"] += 1
        return None
    leave(state, call)
    return call
