"""What callers say: admission, policy, and the way to a replica.

Used by the `exchange` for every read from a caller. Messages are taken in their order. One that finds no place (its
caller, all callers or all replicas have as much in flight as they may) is held together with all behind it, and its
caller is not read until places come free; replies are always read, so they do.
"""

from __future__ import annotations

from itertools import islice

from tcpservice.errors import Code, ProtocolError
from tcpservice.exchange.callers import begin_close, pause, resume, watch
from tcpservice.exchange.dispatch import Nowhere, choose, send
from tcpservice.exchange.endings import drop, error_frame, fail, finish, forget
from tcpservice.exchange.outputs import HandOver
from tcpservice.exchange.records import END_OF_STREAM, Backend, Call, Caller, EndOfStream
from tcpservice.exchange.state import State
from tcpservice.exchange.tracing import begin, keep
from tcpservice.pattern import PatternTooDeep
from tcpservice.snapshot import Protocol
from tcpservice.wire.frames import Control, Frame, Item, Malformed, Oversized
from tcpservice.wire.mesh import (
    CANCEL,
    GOAWAY,
    KEEP,
    OPAQUE,
    PING,
    PONG,
    Preface,
    encode_control,
    encode_preface,
    read_control,
    read_preface,
)
from tcpservice.wire.requests import Refused, oversized_id, read_request


def receive(state: State, caller: Caller, data: bytes, now: int) -> None:
    """Take one read from a caller."""
    if caller.closing:
        return
    caller.heard = state.heard = now
    if caller.greeting is not None:
        data = _greet(state, caller, data, now)
    items: list[Item | EndOfStream] = [*caller.reader.feed(data)]
    if caller.held:
        caller.held.extend(items)
    else:
        _take(state, caller, items, now)
        if caller.held or caller.conn not in state.peers:
            return
        if caller.bucket is not None or caller.reader.partial:
            watch(state, caller)


def end_of_stream(state: State, caller: Caller, now: int) -> None:
    """Handle that the caller will send no more."""
    if caller.held:
        caller.held.append(END_OF_STREAM)
    else:
        begin_close(state, caller, now)


def go_on(state: State, caller: Caller, now: int) -> None:
    """Take what is held of a caller as far as there are places, and read on when nothing is held any more."""
    assert caller.backend is not None
    caller.backend.waiting.pop(caller, None)
    held = list(caller.held)
    caller.held.clear()
    _take(state, caller, held, now)
    if not caller.held and caller.conn in state.peers:
        caller.held_since = 0
        resume(state, caller, now)
        watch(state, caller)


def held_due(state: State, caller: Caller, now: int) -> None:
    """Answer what a caller's messages have waited too long for: those whose own time is over, in the end all."""
    backend, waited = caller.backend, now - caller.held_since
    assert backend is not None
    over = waited >= state.bounds.place_wait
    code, text = _why_over(backend) if over else (Code.TIMEOUT, "no replica had room for it in time (timeouts.request)")
    if over:
        state.tell(code, f"messages waited too long: {text}", caller)
    held = list(caller.held)
    caller.held.clear()
    for item in held:
        if caller.closing:
            return
        if type(item) is not Frame or not (over or _is_over(backend, item, waited)):
            caller.held.append(item)
        elif (call := _read(state, caller, item, now)) is not None:
            fail(state, call, code, text, now)
    if any(type(item) is Frame for item in caller.held):
        _watch_held(state, caller, now)
    else:
        go_on(state, caller, now)


def _why_over(backend: Backend) -> tuple[Code, str]:
    if backend.candidates:
        return Code.OVERLOADED, "no replica had room for it in time"
    return Code.NO_ENDPOINTS, f"nobody told in time which replicas {backend.service.key} has"


def _is_over(backend: Backend, frame: Frame, waited: int) -> bool:
    try:
        limit = backend.policies.find(read_request(frame).pattern).timeouts.request
    except (Refused, PatternTooDeep):
        return False
    return 0 < limit <= waited


def _watch_held(state: State, caller: Caller, now: int) -> None:
    """Come back when the next of the limits is over that what is held may have."""
    assert caller.backend is not None
    waited = now - caller.held_since
    limits = (*caller.backend.policies.request_limits, state.bounds.place_wait)
    state.wheel.set(caller, caller.held_since + min(limit for limit in limits if limit > waited))


def admit_waiting(state: State, now: int) -> None:
    """Let callers go on that wait for places, in turn, as long as there are any."""
    state.room = False
    for backend in list(state.crowded):
        for caller in list(backend.waiting):
            if state.bytes >= state.bounds.total_bytes or not backend.has_room(state.bounds.replica_backlog):
                break
            go_on(state, caller, now)
        if not backend.waiting:
            del state.crowded[backend]


def _take(state: State, caller: Caller, items: list[Item | EndOfStream], now: int) -> None:
    for place, item in enumerate(items):
        if caller.closing:
            return
        if type(item) is Frame:
            if not _contained(state, caller, item, now):
                _hold(state, caller, islice(items, place, None), now)
                return
        elif type(item) is Control:
            _control(state, caller, item, now)
        elif type(item) is Oversized:
            _oversized(state, caller, item)
        elif type(item) is Malformed:
            _malformed(state, caller, item.reason, item.offset, now)
        else:
            begin_close(state, caller, now)


def _contained(state: State, caller: Caller, frame: Frame, now: int) -> bool:
    """Do what `_message` does. An error in the sidecar's own code ends this connection, never another one's."""
    try:
        return _message(state, caller, frame, now)
    except Exception as error:
        state.counts["internal_errors"] += 1
        state.tell("internal_error", f"{type(error).__name__}: {error} (at byte {frame.offset})", caller)
        begin_close(state, caller, now)
        return True


def _message(state: State, caller: Caller, frame: Frame, now: int) -> bool:
    """Send one message on its way; False where it finds no place."""
    backend = caller.backend
    assert backend is not None
    if not _may_enter(state, caller):
        return False
    replica = choose(state, backend)
    if replica is Nowhere.YET:
        return False
    call = _read(state, caller, frame, now)
    if call is None:
        return True
    if isinstance(replica, Nowhere):
        fail(state, call, Code.NO_ENDPOINTS, f"{backend.service.key} has no replica", now)
    else:
        send(state, call, replica, now)
    return True


def _read(state: State, caller: Caller, frame: Frame, now: int) -> Call | None:
    """Read one message and count it in; None where it cannot be read, which ends its caller's connection."""
    backend = caller.backend
    assert backend is not None
    try:
        request = read_request(frame)
        policy = backend.policies.find(request.pattern)
    except (Refused, PatternTooDeep) as refused:
        _malformed(state, caller, str(refused), frame.offset, now)
        return None
    call = Call(caller, backend, frame, request, policy, now)
    caller.calls[call] = None
    caller.bytes += call.size
    state.bytes += call.size
    backend.budget.count_request(now)
    if state.tracing:
        begin(state, call)
    return call


def _may_enter(state: State, caller: Caller) -> bool:
    bounds = state.bounds
    if caller.mesh:
        return state.bytes < bounds.total_bytes
    return (
        len(caller.calls) < bounds.caller_requests
        and caller.bytes < bounds.caller_bytes
        and state.bytes < bounds.total_bytes
    )


def _hold(state: State, caller: Caller, items: islice[Item | EndOfStream], now: int) -> None:
    caller.held.extend(items)
    pause(state, caller)
    if not caller.held_since:
        caller.held_since = now
        _watch_held(state, caller, now)
    assert caller.backend is not None
    caller.backend.waiting[caller] = None
    state.crowded[caller.backend] = None


def _malformed(state: State, caller: Caller, reason: str, offset: int, now: int) -> None:
    state.tell("caller_malformed", f"{reason} (at byte {offset})", caller)
    begin_close(state, caller, now)


def _oversized(state: State, caller: Caller, item: Oversized) -> None:
    """Answer a frame above the limit, of which the id is all that was kept."""
    assert caller.backend is not None
    limit = caller.backend.service.limits.max_frame_size
    state.tell(
        "frame_too_large",
        f"a frame above limits.maxFrameSize ({limit} bytes) was skipped (at byte {item.offset})",
        caller,
    )
    state.counts["oversized_frames"] += 1
    found = oversized_id(item)
    if found is not None:
        text = f"the message is larger than limits.maxFrameSize ({limit} bytes)"
        state.write(caller.conn, error_frame(found, Code.FRAME_TOO_LARGE, text))


def _greet(state: State, caller: Caller, data: bytes, now: int) -> bytes:
    """Read another sidecar's opening line and answer it; return what follows it."""
    assert caller.greeting is not None
    caller.greeting += data
    try:
        answer = read_preface(caller.greeting)
    except ProtocolError as error:
        _malformed(state, caller, error.reason, error.offset, now)
        return b""
    if answer is None:
        return b""
    preface, rest = answer
    backend = state.apps.get(preface.service)
    if backend is None:
        known = ", ".join(state.apps) or "none"
        _malformed(state, caller, f"asked for {preface.service}, but the apps here are: {known}", 0, now)
        return b""
    if OPAQUE in preface.features and backend.service.protocol is not Protocol.OPAQUE:
        _malformed(state, caller, f"asked for {preface.service} as Opaque, but its protocol is NestJS", 0, now)
        return b""
    _welcome(state, caller, backend, preface)
    if OPAQUE in preface.features:
        forget(state, caller)
        state.commands.append(HandOver(caller.conn, preface.service, rest))
        return b""
    if state.leaves or backend.away:
        state.write(caller.conn, encode_control(GOAWAY))
    return rest


def _welcome(state: State, caller: Caller, backend: Backend, preface: Preface) -> None:
    caller.greeting = None
    caller.backend = backend
    caller.reader.limit = backend.service.limits.max_frame_size
    state.wheel.cancel(caller)
    state.write(caller.conn, encode_preface(Preface(preface.service)))


def _control(state: State, caller: Caller, control: Control, now: int) -> None:
    word, argument = read_control(control.body)
    if word == CANCEL:
        _cancel(state, caller, argument, now)
    elif word == KEEP:
        if state.tracing:
            keep(state, caller, argument, now)
    elif word == PING:
        state.write(caller.conn, encode_control(PONG, argument))
    else:
        state.counts["passed_over_words"] += word != PONG


def _cancel(state: State, caller: Caller, key: bytes, now: int) -> None:
    call = next((call for call in caller.calls if call.request.id == key), None)
    if call is not None:
        drop(state, call)
        finish(state, call, Code.CANCELLED, now)
