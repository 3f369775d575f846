"""Downstream connections: accepted, watched, closed.

Used by `intake` and the `exchange`. A caller that breaks the protocol or half-closes gets the replies it is still
owed, within a grace, and then the close. One that stalls in the middle of a frame, or does not read its replies, is
closed after a limit. Nobody else notices any of it.
"""

from __future__ import annotations

from tcpservice.errors import Code
from tcpservice.exchange.endings import close_caller, drop, finish
from tcpservice.exchange.outputs import Pause, Resume
from tcpservice.exchange.records import Backend, Caller
from tcpservice.exchange.state import State
from tcpservice.wire.mesh import GOAWAY, encode_control


def accept(state: State, backend: Backend | None, *, mesh: bool, limit: int, now: int) -> Caller:
    """Take a new connection in, which is to be watched; one without a backend names its service in its preface."""
    caller = Caller(state.new_conn(), backend, mesh=mesh, limit=limit, now=now)
    state.peers[caller.conn] = caller
    state.callers[caller] = None
    return caller


def gone(state: State, caller: Caller, now: int, *, abort: bool = True) -> None:
    """Forget a caller; what it had in flight is for nobody. `abort` drops what it has not read, too."""
    caller.closing = False
    for call in list(caller.calls):
        drop(state, call)
        finish(state, call, Code.CANCELLED, now)
    caller.held.clear()
    close_caller(state, caller, abort=abort)


def begin_close(state: State, caller: Caller, now: int) -> None:
    """Read no more from a caller, and close it when it has what it is owed."""
    if caller.closing:
        return
    caller.closing = True
    caller.until = now + state.bounds.closing_grace
    pause(state, caller)
    if caller.calls:
        state.wheel.set(caller, caller.until)
    else:
        close_caller(state, caller, abort=False)


def pause(state: State, caller: Caller) -> None:
    """Stop reading from a caller."""
    if not caller.paused:
        caller.paused = True
        state.commands.append(Pause(caller.conn))


def resume(state: State, caller: Caller, now: int) -> None:
    """Read from a caller again; the time that it was not read does not count as its silence."""
    caller.heard = now
    if caller.paused and not caller.closing:
        caller.paused = False
        state.commands.append(Resume(caller.conn))


def watch(state: State, caller: Caller) -> None:
    """Set the time at which the caller must have said more, or may be let go."""
    bounds = state.bounds
    if caller.closing:
        state.wheel.set(caller, caller.until)
    elif caller.greeting is not None or caller.reader.partial:
        state.wheel.set(caller, caller.heard + bounds.stall)
    elif may_be_let_go(state, caller):
        state.wheel.set(caller, caller.heard + bounds.drain_idle)
    else:
        state.wheel.cancel(caller)


def may_be_let_go(state: State, caller: Caller) -> bool:
    """Whether a caller's connection is closed once idle: all are when the sidecar leaves, those of others before."""
    return not caller.mesh and (state.draining or (caller.front and state.withdrawn))


def caller_due(state: State, caller: Caller, now: int) -> None:
    """Handle that a time has come for which the caller waited."""
    bounds = state.bounds
    unfinished = caller.greeting is not None or caller.reader.partial
    if caller.closing:
        gone(state, caller, now, abort=False)
    elif unfinished and now - caller.heard >= bounds.stall:
        state.tell("caller_stalled", "stopped in the middle of a message", caller)
        begin_close(state, caller, now)
    elif unfinished or now - caller.heard < bounds.drain_idle:
        watch(state, caller)
    elif caller.calls:
        state.wheel.set(caller, now + bounds.drain_idle)
    else:
        begin_close(state, caller, now)


def backlog(state: State, caller: Caller, size: int, now: int) -> None:
    """Note how many bytes of replies a caller has not read; close the one that has too many or reads none of them."""
    bounds = state.bounds
    if size < caller.backlog or not caller.backlog:
        caller.progress = now
    state.unread += size - caller.backlog
    caller.backlog = size
    if size > bounds.unread_bytes:
        state.tell("caller_unread", f"has {size} bytes of replies unread", caller)
        gone(state, caller, now)
    elif size and now - caller.progress >= bounds.stall:
        state.tell("caller_unread", "reads none of its replies", caller)
        gone(state, caller, now)
    elif state.unread > bounds.unread_total:
        worst = max(state.callers, key=lambda one: one.backlog)
        state.tell("caller_unread", f"has the most of {state.unread} bytes of replies unread", worst)
        gone(state, worst, now)


def say_goodbye(state: State) -> None:
    """Tell other sidecars to choose other replicas, and let plain callers go that may be, when they are idle."""
    for caller in state.callers:
        if not caller.mesh:
            if caller.bucket is None and may_be_let_go(state, caller):
                watch(state, caller)
        elif caller.greeting is None:
            state.write(caller.conn, encode_control(GOAWAY))
