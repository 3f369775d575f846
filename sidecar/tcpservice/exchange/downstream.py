"""Connections of callers: accepted, read, watched and closed.

Used by the `exchange` for every event of such a connection. Frames are handled in their order, a bounded number each
turn, so that no connection keeps others waiting. A caller that breaks the protocol or half-closes gets the replies it
is still owed, and then the close. One that stalls in the middle of a frame, or reads none of its replies, is closed
after a time.
"""

from __future__ import annotations

from typing import Final

from tcpservice.errors import Code, ProtocolError
from tcpservice.exchange.admission import (
    count_buffered,
    count_unsent,
    may_connect,
    may_continue_frame,
    may_read,
    pause,
    resume,
    wait_for_admission,
)
from tcpservice.exchange.attempts import cancel, withdraw
from tcpservice.exchange.endings import close_downstream, forget_downstream
from tcpservice.exchange.endpoint_health import expect_connection
from tcpservice.exchange.message_path import oversized, take_message
from tcpservice.exchange.outputs import HandOver, Pause
from tcpservice.exchange.records import DownstreamConnection, Origin, Reason, Upstream
from tcpservice.exchange.state import State
from tcpservice.exchange.tracing import keep
from tcpservice.exchange.transitions import DownstreamEvent, DownstreamState
from tcpservice.snapshot import SECOND, Protocol
from tcpservice.unread import patience
from tcpservice.wire.frames import Control, Item, Malformed, Oversized
from tcpservice.wire.mesh import CANCEL, KEEP, OPAQUE, PING, PONG, encode_control, read_control
from tcpservice.wire.requests import Refused
from tcpservice.wire.scan import Frame

# CPython 3.11 looks up a member of an enum slowly; these names are as quick as any (docs/decisions.md).
_NO_ENDPOINTS: Final = Code.NO_ENDPOINTS
_AWAIT_PREFACE: Final = DownstreamState.AWAIT_PREFACE
_CLOSING: Final = DownstreamState.CLOSING
_ENDING: Final = DownstreamState.ENDING
_PAUSED: Final = DownstreamState.PAUSED
_READING: Final = DownstreamState.READING
_INBOUND: Final = Origin.INBOUND
_MESH: Final = Origin.MESH

FRAMES_PER_TURN: Final = 256
"""Frames of one connection that are handled before others get their turn."""

FRAMES_PER_BATCH: Final = 64
"""Frames that are parsed at once; what is parsed is kept when the connection has to be paused."""

SLOWEST_UPLOAD: Final = 16 * 1024
"""Bytes a second that a frame has to arrive with, once the time for a stall is over."""

LARGEST_UPLOAD: Final = 1 << 32
"""Bytes of a frame that count for this; a prefix can announce any number."""


# Accepted


def accept(
    state: State, upstream: Upstream | None, origin: Origin, limit: int, now: int
) -> DownstreamConnection | None:
    """Take a new connection; None where there are too many. A mesh connection names its service in its preface."""
    if not may_connect(state):
        return None
    downstream = DownstreamConnection(state.new_conn(), upstream, origin, limit, now)
    downstream.serial = downstream.conn
    state.connections[downstream.conn] = downstream
    state.downstreams[downstream] = None
    if origin is _MESH:
        state.timers.set(downstream, Reason.PREFACE, now + state.bounds.stall)
    else:
        assert upstream is not None
        upstream.callers += 1
        if may_be_closed(state, downstream):
            watch_idle(state, downstream)
        expect_connection(state, upstream, now)
    return downstream


# Read


def receive(state: State, downstream: DownstreamConnection, data: bytes, now: int) -> None:
    """Handle one read. An error in this sidecar's own code ends the connection that sent it, never another one."""
    try:
        _receive(state, downstream, data, now)
    except Exception as error:
        _failed(state, downstream, error, now)


def _receive(state: State, downstream: DownstreamConnection, data: bytes, now: int) -> None:
    if downstream.state >= _CLOSING:
        return
    downstream.heard = state.heard = now
    if downstream.state is _AWAIT_PREFACE:
        rest = _receive_preface(state, downstream, data, now)
        if rest is None:
            return
        data = rest
    if downstream.state is _READING:
        _read(state, downstream, data, now)
    else:
        downstream.reader.feed(data, 0)
        count_buffered(state, downstream)


def continue_reading(state: State, downstream: DownstreamConnection, now: int) -> None:
    """Go on with a connection that was paused: with what it had sent, then with what it sends."""
    if downstream.state not in (_PAUSED, _ENDING):
        return
    downstream.heard = now
    try:
        _read(state, downstream, b"", now)
    except Exception as error:
        _failed(state, downstream, error, now)


def _failed(state: State, downstream: DownstreamConnection, error: Exception, now: int) -> None:
    """Close a connection over an error in this sidecar's own code, which is logged once."""
    if state.strict:
        raise error
    state.counts["internal_errors"] += 1
    if state.counts["internal_errors"] == 1:
        text = f"{type(error).__name__}: {error}; please report this"
        state.report("internal_error", text, downstream)
    begin_close(state, downstream, now)


def _read(state: State, downstream: DownstreamConnection, data: bytes, now: int) -> None:
    """Handle the frames of one turn, as far as admission allows; then decide whether to read on."""
    reader, items = downstream.reader, downstream.items
    same_frame = downstream.buffered > 0 and not items
    if not items:
        items = _parse(downstream, data)
    handled = 0
    while items and may_read(state, downstream):
        handled += 1
        _handle(state, downstream, items.pop(), now)
        if downstream.state is not _READING and downstream.state >= _CLOSING:
            return
        if not items and handled < FRAMES_PER_TURN and reader.has_more:
            items = _parse(downstream, b"")
    count_buffered(state, downstream)
    if items or downstream.buffered or downstream.timers or downstream.state is not _READING:
        _decide(state, downstream, now, same_frame and not handled)
    elif not may_read(state, downstream):
        wait_for_admission(state, downstream, now)


def _parse(downstream: DownstreamConnection, data: bytes) -> list[Item]:
    """Parse what was read; return the items, the next one last."""
    items = downstream.items = downstream.reader.feed(data, FRAMES_PER_BATCH)
    items.reverse()
    return items


def _decide(state: State, downstream: DownstreamConnection, now: int, same_frame: bool) -> None:
    """Decide how reading goes on after a turn."""
    if not may_read(state, downstream):
        wait_for_admission(state, downstream, now)
    elif downstream.items or downstream.reader.has_more:
        pause(state, downstream)
        state.unparsed[downstream] = None
    elif downstream.state is _ENDING:
        begin_close(state, downstream, now)
    elif downstream.reader.partial and not may_continue_frame(state, downstream):
        pause(state, downstream)
    else:
        resume(state, downstream)
        _watch_frame(state, downstream, now, same_frame)


def _watch_frame(state: State, downstream: DownstreamConnection, now: int, same_frame: bool) -> None:
    """Give a frame that has begun the time to arrive: however slowly its bytes come, it has to come to its end."""
    timers = downstream.timers
    if not downstream.reader.partial:
        if timers:
            state.timers.cancel(downstream, Reason.FRAME)
    elif not same_frame or not timers or Reason.FRAME not in timers:
        upload = min(downstream.reader.wanted, LARGEST_UPLOAD) * SECOND // SLOWEST_UPLOAD
        state.timers.set(downstream, Reason.FRAME, now + state.bounds.stall + upload)


def _handle(state: State, downstream: DownstreamConnection, item: Item, now: int) -> None:
    """Handle one item."""
    try:
        if type(item) is Frame:
            take_message(state, downstream, item, now)
        elif type(item) is Control:
            _control(state, downstream, item, now)
        elif type(item) is Oversized:
            oversized(state, downstream, item)
        else:
            assert type(item) is Malformed
            malformed(state, downstream, item.reason, item.offset, now)
    except Refused as refused:
        malformed(state, downstream, str(refused), item.offset, now)


def end_of_stream(state: State, downstream: DownstreamConnection, now: int) -> None:
    """Handle that the caller has sent its last byte. What came before it is handled first."""
    if downstream.state is _PAUSED:
        state.move(downstream, DownstreamEvent.END_OF_STREAM)
    elif downstream.state <= _READING:
        begin_close(state, downstream, now)


def malformed(state: State, downstream: DownstreamConnection, reason: str, offset: int, now: int) -> None:
    """End a connection whose bytes cannot be read any further; it still gets the replies it is owed."""
    state.report("downstream_malformed", f"{reason} (at byte {offset})", downstream)
    begin_close(state, downstream, now)


# The mesh


def _receive_preface(state: State, downstream: DownstreamConnection, data: bytes, now: int) -> bytes | None:
    """Read another sidecar's preface and answer it; return what follows it, None where there is nothing to read."""
    hop = downstream.hop
    assert hop is not None
    try:
        rest = hop.receive(data)
    except ProtocolError as error:
        malformed(state, downstream, error.reason, error.offset, now)
        return None
    if rest is None:
        return None
    upstream = state.apps.get(hop.service)
    if upstream is None:
        known = ", ".join(state.apps) or "none"
        malformed(state, downstream, f"asked for {hop.service}, but the apps here are: {known}", 0, now)
        return None
    opaque = upstream.service.protocol is Protocol.OPAQUE
    if OPAQUE in hop.features and not opaque:
        malformed(state, downstream, f"asked for {hop.service} as Opaque, but its protocol is NestJS", 0, now)
        return None
    downstream.upstream = upstream
    downstream.serial = hop.place
    downstream.reader.limit = upstream.service.limits.max_frame_size
    state.timers.cancel(downstream, Reason.PREFACE)
    state.write(downstream, hop.answer())
    if OPAQUE in hop.features:
        forget_downstream(state, downstream, now)
        state.opaque.add(downstream.conn)
        state.commands.append(HandOver(downstream.conn, hop.service, rest))
        return None
    state.move(downstream, DownstreamEvent.PREFACE)
    if state.leaves or upstream.announced:
        state.write(downstream, hop.goaway(app_absent=not state.leaves))
    return rest


def _control(state: State, downstream: DownstreamConnection, control: Control, now: int) -> None:
    if not _within_rate(state, downstream, now):
        return
    word, argument = read_control(control.body)
    if word == CANCEL:
        message = next((each for each in downstream.messages if each.request.id == argument), None)
        if message is not None:
            cancel(state, message, now)
    elif word == KEEP:
        if state.tracing:
            keep(state, downstream, argument, now)
    elif word == PING:
        state.write(downstream, encode_control(PONG, argument))
    else:
        state.counts["ignored_control_frames"] += word != PONG


def _within_rate(state: State, downstream: DownstreamConnection, now: int) -> bool:
    """Count a control frame; False closes a connection that floods this sidecar with them."""
    second = now // SECOND
    if second != downstream.control_second:
        downstream.control_second, downstream.control_used = second, 0
    downstream.control_used += 1
    if downstream.control_used <= state.bounds.control_frames:
        return True
    most = state.bounds.control_frames
    state.report("downstream_malformed", f"sent more than {most} control frames a second", downstream)
    begin_close(state, downstream, now)
    return False


# Replies that it does not read


def unsent(state: State, downstream: DownstreamConnection, size: int, now: int) -> None:
    """Note how many bytes of replies a caller has not taken; close one that takes none of them for a time."""
    count_unsent(state, downstream, size, now)
    bounds = state.bounds
    short = state.unsent_bytes > bounds.unsent_bytes
    if size and now - downstream.progress >= patience(bounds.stall, bounds.pressure_stall, short=short):
        state.report("downstream_unread", f"reads none of {size} bytes of replies", downstream)
        close(state, downstream, now)


# Watched


def may_be_closed(state: State, downstream: DownstreamConnection) -> bool:
    """Whether an idle connection is closed: all are while the sidecar drains, those of other callers before."""
    origin = downstream.origin
    return origin is not _MESH and (state.draining or (origin is _INBOUND and state.withdrawn))


def watch_idle(state: State, downstream: DownstreamConnection) -> None:
    """Close a connection once it has been idle for a while."""
    state.timers.set(downstream, Reason.DRAIN, downstream.heard + state.bounds.drain_idle)


def on_timer(state: State, downstream: DownstreamConnection, reason: int, now: int) -> None:
    """Handle a timer of a connection."""
    if reason in (Reason.FRAME, Reason.PREFACE):
        state.report("downstream_stalled", "stopped in the middle of a message", downstream)
        begin_close(state, downstream, now)
    elif reason == Reason.CLOSE:
        close(state, downstream, now, abort=False)
    elif downstream.messages or now - downstream.heard < state.bounds.drain_idle or downstream.reader.partial:
        idle_since = now if downstream.messages or downstream.reader.partial else downstream.heard
        state.timers.set(downstream, Reason.DRAIN, idle_since + state.bounds.drain_idle)
    else:
        begin_close(state, downstream, now)


# Closed


def begin_close(state: State, downstream: DownstreamConnection, now: int) -> None:
    """Read no more from a connection, and close it once it has what it is owed."""
    if downstream.state >= _CLOSING:
        return
    if downstream.state in (_READING, _AWAIT_PREFACE):
        state.commands.append(Pause(downstream.conn))
    state.move(downstream, DownstreamEvent.FINISH)
    state.timers.cancel_all(downstream)
    downstream.items.clear()
    if downstream.messages:
        state.timers.set(downstream, Reason.CLOSE, now + state.bounds.closing_grace)
    else:
        close_downstream(state, downstream, now, abort=False)


def close(state: State, downstream: DownstreamConnection, now: int, *, abort: bool = True) -> None:
    """Close a connection now; what it had sent ends. `abort` drops the replies it has not read, too."""
    for message in list(downstream.messages):
        cancel(state, message, now)
    if downstream.conn in state.connections:
        close_downstream(state, downstream, now, abort=abort)


def unreachable(state: State, downstream: DownstreamConnection, now: int) -> None:
    """Close a connection to a service that cannot be reached, unless it still waits for replies of endpoints."""
    for message in list(downstream.messages):
        if message.attempt is None:
            text = f"no endpoint of {message.upstream.key} can be reached"
            withdraw(state, message, _NO_ENDPOINTS, text, now)
    if downstream.conn in state.connections and not downstream.messages:
        begin_close(state, downstream, now)
