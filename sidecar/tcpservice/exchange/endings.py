"""Where messages and connections end: each in one function.

Used by every part of the exchange. `finish` ends a message: exactly once, with one row for the metrics; a reply that
comes later is dropped and counted. `close_downstream` and `close_upstream` end a connection: it is removed from
all tables, and the shell gets a command to close the socket. Attempts end in `attempts.end`.
"""

from __future__ import annotations

from json import dumps
from typing import Final

from tcpservice.errors import Code
from tcpservice.exchange.admission import release, unthrottle
from tcpservice.exchange.outputs import Close, Finished
from tcpservice.exchange.records import DownstreamConnection, Message, Origin, UpstreamConnection
from tcpservice.exchange.state import State
from tcpservice.exchange.tracing import ended, keep_error
from tcpservice.exchange.transitions import ConnectionEvent, DownstreamEvent, DownstreamState
from tcpservice.wire.frames import encode_frame
from tcpservice.wire.mesh import LOST, REFUSED, encode_control
from tcpservice.wire.scan import units

# CPython 3.11 looks up a member of an enum slowly; these names are as quick as any (docs/decisions.md).
_CONNECTION_CLOSED: Final = Code.CONNECTION_CLOSED
_CLOSING: Final = DownstreamState.CLOSING
_MESH: Final = Origin.MESH

CONNECTION_CLOSED = "Connection closed"
"""NestJS's own words for a connection that was lost under a request; apps match on them."""


def error_frame(id_text: bytes, code: Code, message: str) -> bytes:
    """Encode an error in NestJS's shape, with the stable code beside its message."""
    error = dumps({"status": "error", "message": message, "code": code.value}, separators=(",", ":")).encode()
    body = b'{"err":%b,"isDisposed":true,"id":%b}' % (error, id_text)
    return encode_frame(body, units(body))


def finish(state: State, message: Message, code: Code, now: int) -> None:
    """End a message whose attempts have ended: no timer, nothing counted, one row, one trace.

    The caller has been answered, or does not need to be.
    """
    if message.timers:
        state.timers.cancel_all(message)
    downstream, upstream = message.downstream, message.upstream
    if upstream.waiting.count and upstream.waiting.remove(message):
        state.pump[upstream] = None
    downstream.heard = now
    release(state, message)
    row = Finished.__new__(Finished)
    row.service = upstream.key
    row.route = message.policy.route
    row.kind = "event" if message.request.id is None else "request"
    row.code = code
    row.endpoint = message.last.endpoint.name if message.last else None
    row.attempts = message.attempts + message.rounds
    row.responses = message.responses
    row.started = message.arrived
    row.ended = now
    row.mesh = downstream.origin is _MESH
    state.rows.append(row)
    if state.tracing:
        ended(state, message, code, now)
    message.frame = None
    if downstream.state is _CLOSING and not downstream.messages:
        close_downstream(state, downstream, now, abort=False)


def fail(state: State, message: Message, code: Code, text: str, now: int) -> None:
    """End a message, whose attempts have ended, with an error of the sidecar's own."""
    if message.request.id is not None and message.downstream.conn in state.connections:
        state.write(message.downstream, _error(message, message.request.id, code, text))
    if state.traced_payload:
        keep_error(message, code, text)
    finish(state, message, code, now)


def _error(message: Message, id_text: bytes, code: Code, text: str) -> bytes:
    """Encode how a request failed: another sidecar learns whether it may send it elsewhere, an app gets an error."""
    if message.downstream.origin is _MESH:
        if not message.may_have_run and not message.responses:
            return encode_control(REFUSED, id_text)
        if code is _CONNECTION_CLOSED:
            return encode_control(LOST, id_text)
    return error_frame(id_text, code, text)


def close_downstream(state: State, downstream: DownstreamConnection, now: int, *, abort: bool) -> None:
    """Close a caller's connection, whose messages have ended. `abort` drops the replies it has not read."""
    forget_downstream(state, downstream, now)
    if abort:
        downstream.outgoing = []
    state.commands.append(Close(downstream.conn, abort=abort))


def forget_downstream(state: State, downstream: DownstreamConnection, now: int) -> None:
    """Take a caller's connection out of all tables."""
    state.move(downstream, DownstreamEvent.CLOSE)
    state.timers.cancel_all(downstream)
    del state.connections[downstream.conn]
    del state.downstreams[downstream]
    state.paused.pop(downstream, None)
    state.large.pop(downstream, None)
    state.unparsed.pop(downstream, None)
    state.partial_bytes -= downstream.buffered
    state.unsent_bytes -= downstream.unsent
    state.slow_readers -= bool(downstream.unsent)
    downstream.buffered = downstream.unsent = 0
    downstream.items.clear()
    if downstream.upstream is not None:
        downstream.upstream.callers -= downstream.origin is not _MESH
        for endpoint in downstream.upstream.endpoints.values():
            endpoint.slots.pop(downstream, None)
            endpoint.unread.pop(downstream, None)
    if downstream.throttled:
        unthrottle(state, downstream, now)
    if state.paused or state.large:
        state.freed = True


def close_upstream(state: State, connection: UpstreamConnection, *, abort: bool) -> None:
    """Close a connection to an endpoint, whose attempts have ended or were moved. `abort` closes it at once."""
    state.move(connection, ConnectionEvent.CLOSE)
    state.timers.cancel_all(connection)
    state.connections.pop(connection.conn, None)
    state.unparsed.pop(connection, None)
    leave_pool(connection)
    for downstream in connection.throttling:
        assert downstream.throttled is not None
        del downstream.throttled[connection]
    if connection.throttling and state.paused:
        state.freed = True
    connection.throttling.clear()
    if abort:
        connection.outgoing = []
    state.commands.append(Close(connection.conn, abort=abort))


def leave_pool(connection: UpstreamConnection) -> None:
    """Take a connection out of its endpoint's pool, so that it gets no new message."""
    pool = connection.endpoint.pool
    if pool[connection.slot] is connection:
        pool[connection.slot] = None
