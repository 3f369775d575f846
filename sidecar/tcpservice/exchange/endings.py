"""How a message ends: its answer to the caller, its row, and the places that it gives back.

Used by every part of the exchange that can end a message. Each call ends exactly once; what comes for it afterwards is
dropped and counted.
"""

from __future__ import annotations

from json import dumps

from tcpservice.errors import Code
from tcpservice.exchange.outputs import Close, Finished
from tcpservice.exchange.records import Call, Caller, Link
from tcpservice.exchange.state import State
from tcpservice.exchange.tracing import ended
from tcpservice.wire.frames import encode_frame
from tcpservice.wire.mesh import CANCEL, LOST, REFUSED, encode_control
from tcpservice.wire.scan import units

CONNECTION_CLOSED = "Connection closed"
"""NestJS's own words for a connection lost under a request; apps match on them."""


def error_frame(id_text: bytes, code: Code, message: str) -> bytes:
    """Encode an error in NestJS's shape, with the stable code beside its message."""
    error = dumps({"status": "error", "message": message, "code": code.value}, separators=(",", ":")).encode()
    body = b'{"err":%b,"isDisposed":true,"id":%b}' % (error, id_text)
    return encode_frame(body, units(body))


def finish(state: State, call: Call, code: Code, now: int) -> None:
    """End a call for good: no timer, no place taken, one row. The caller has been told, or needs not be."""
    state.wheel.cancel(call)
    caller = call.caller
    del caller.calls[call]
    caller.heard = now
    caller.bytes -= call.size
    state.bytes -= call.size
    state.room = True
    replica = call.replica.endpoint.name if call.replica else None
    state.rows.append(
        Finished(
            call.backend.service.key, call.policy.route, "event" if call.request.id is None else "request", code,
            replica, call.attempts, call.responses, call.started, now, caller.mesh,
        )
    )  # fmt: skip
    if state.tracing:
        ended(state, call, code, now)
    call.frame = None
    if caller.closing and not caller.calls:
        close_caller(state, caller, abort=False)


def fail(state: State, call: Call, code: Code, message: str, now: int) -> None:
    """End a call with an error of the sidecar's own."""
    if call.request.id is not None and call.caller.conn in state.peers:
        state.write(call.caller.conn, _last_word(call, call.request.id, code, message))
    drop(state, call)
    finish(state, call, code, now)


def _last_word(call: Call, id_text: bytes, code: Code, message: str) -> bytes:
    """Encode how a call failed: another sidecar is told what it may do about it, an app gets an error."""
    if call.caller.mesh and not call.left and not call.responses:
        return encode_control(REFUSED, id_text)
    if call.caller.mesh and code is Code.CONNECTION_CLOSED:
        return encode_control(LOST, id_text)
    return error_frame(id_text, code, message)


def drop(state: State, call: Call) -> None:
    """Wait no more for the replica that has the call; its id stays known there until it is answered."""
    link = call.link
    if link is None:
        return
    queued = call in link.queue
    if queued:
        del link.queue[call]
    elif link.replica.endpoint.mesh and call.request.id is not None:
        state.write(link.conn, encode_control(CANCEL, call.key))
    leave(state, call)
    if link.forgotten > state.bounds.forgotten and link.replica.link is link:
        retire(state, link)


def leave(state: State, call: Call) -> None:
    """Give back the place that a call holds at its replica."""
    link, replica = call.link, call.replica
    assert link is not None
    assert replica is not None
    call.link = None
    replica.in_flight -= 1
    replica.bytes -= call.size
    link.live -= 1
    if link.retiring and not link.live:
        close_link(state, link)


def retire(state: State, link: Link) -> None:
    """Give a link no new messages: the replica gets another when needed, and this one closes with its last call."""
    link.retiring = True
    link.replica.link = None
    if not link.live:
        close_link(state, link)


def close_link(state: State, link: Link) -> None:
    """Close a link that nobody waits for."""
    state.wheel.cancel(link)
    state.peers.pop(link.conn, None)
    if link.replica.link is link:
        link.replica.link = None
    state.commands.append(Close(link.conn, abort=False))


def close_caller(state: State, caller: Caller, *, abort: bool) -> None:
    """Close a caller's connection and forget it; its calls must have ended."""
    forget(state, caller)
    if abort:
        state.writes.pop(caller.conn, None)
    state.commands.append(Close(caller.conn, abort=abort))


def forget(state: State, caller: Caller) -> None:
    """Take a caller out of all tables."""
    state.wheel.cancel(caller)
    del state.peers[caller.conn]
    del state.callers[caller]
    state.unread -= caller.backlog
    if caller.backend is not None:
        caller.backend.waiting.pop(caller, None)
