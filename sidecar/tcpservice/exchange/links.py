"""Upstream connections: opening one, and putting messages on it.

Used by `dispatch` and `losses`. A replica has one link at a time, shared by all callers, opened on demand. While it is
being opened, messages queue on it; their bytes have not left, so nothing is lost when it cannot be opened.
"""

from __future__ import annotations

from typing import Final

from tcpservice.errors import Code
from tcpservice.exchange.endings import finish, leave
from tcpservice.exchange.outputs import Connect
from tcpservice.exchange.records import Call, Link, Replica
from tcpservice.exchange.state import State
from tcpservice.wire.frames import encode_frame
from tcpservice.wire.ids import with_id
from tcpservice.wire.mesh import PING, encode_control

_PROBE: Final = b'{"pattern":"tcpservice.dev/probe","data":null,"id":%b}'
"""A request that no app handles: NestJS answers it and logs nothing."""


def open_link(state: State, replica: Replica, now: int) -> Link:
    """Begin to connect to a replica."""
    service = replica.backend.service
    link = Link(state.new_conn(), replica, service.limits.max_frame_size, now)
    replica.link = link
    state.peers[link.conn] = link
    state.commands.append(Connect(link.conn, service.key, replica.endpoint))
    state.wheel.set(link, now + service.timeouts.connect)
    return link


def put(state: State, link: Link, call: Call, now: int) -> None:
    """Write a message to a replica that is connected."""
    frame, request = call.frame, call.request
    assert frame is not None
    call.left = True
    call.conn = link.conn
    if request.id is None:
        state.write(link.conn, frame.raw)
        leave(state, call)
        finish(state, call, Code.OK, now)
        return
    if link.live == 1:
        link.heard = now
    key = request.id if request.stable and request.id not in link.pending else fresh_id(link)
    call.key = key
    link.pending[key] = call
    if key is request.id:
        state.write(link.conn, frame.raw)
    else:
        state.write(link.conn, with_id(frame, request.id_at, request.id_end, key))
    if call.size > state.bounds.retry_bytes:
        call.frame = None


def probe(state: State, link: Link, now: int) -> None:
    """Ask a replica for a sign of life."""
    link.probed = now
    if link.replica.endpoint.mesh:
        state.write(link.conn, encode_control(PING, b"%d" % now))
    else:
        body = _PROBE % fresh_id(link)
        state.write(link.conn, encode_frame(body, len(body)))


def fresh_id(link: Link) -> bytes:
    """Make an id that is in flight nowhere on this link."""
    while True:
        link.serial += 1
        key = b'"tcps-%x"' % link.serial
        if key not in link.pending:
            return key
