"""The connections to one endpoint: opened on demand, probed.

Used by `attempts`, `endpoint_health` and `upstream`; `picking` chooses one for each message. The pool's size is the
manifest's `connectionPool.size`. Without one, the pool begins with one connection and grows, up to `LARGEST_POOL`,
while its connections are congested, or all are busy and the endpoint is slow: more connections let an endpoint that is
several processes behind one address use them all. So it is with connections to a sidecar, which has such a pool towards
its app and gives each connection of another sidecar a place in it.
"""

from __future__ import annotations

from typing import Final

from tcpservice.exchange.outputs import Connect
from tcpservice.exchange.picking import slot_for
from tcpservice.exchange.records import Message, Reason, UpstreamConnection, UpstreamEndpoint
from tcpservice.exchange.state import State
from tcpservice.wire.frames import encode_frame
from tcpservice.wire.mesh import PING, encode_control

MOST_PROBES: Final = 64
"""Probes whose replies are remembered; an app that answers requests but no probe is sent many."""

_PROBE: Final = b'{"pattern":"tcpservice.dev/probe","data":null,"id":%b}'
"""A request that no app handles: NestJS answers it and logs nothing."""


def open_connection(state: State, endpoint: UpstreamEndpoint, slot: int, now: int) -> UpstreamConnection:
    """Begin to connect to an endpoint."""
    service = endpoint.upstream.service
    connection = UpstreamConnection(state.new_conn(), endpoint, slot, service.limits.max_frame_size, now)
    if connection.hop is not None:
        connection.hop.place = state.place + slot
    endpoint.pool[slot] = connection
    state.connections[connection.conn] = connection
    state.commands.append(Connect(connection.conn, service.key, endpoint.address))
    state.timers.set(connection, Reason.CONNECT, now + service.timeouts.connect)
    return connection


def connection_for(state: State, endpoint: UpstreamEndpoint, message: Message, now: int) -> UpstreamConnection:
    """Return the connection for a message; open it where there is none. Its caller keeps to it (`picking`)."""
    pool, slot = endpoint.pool, message.slot
    if message.slot_at is not endpoint:
        slot = slot_for(state, endpoint, message)
    while len(pool) <= slot:
        pool.append(None)
    if endpoint.slots.get(message.downstream, -1) != slot:
        endpoint.slots[message.downstream] = slot
    connection = pool[slot]
    return connection if connection is not None else open_connection(state, endpoint, slot, now)


def probe(state: State, connection: UpstreamConnection, now: int) -> None:
    """Ask an endpoint for a sign of life."""
    connection.probed = now
    if not connection.asked:
        connection.asked = now
    if connection.endpoint.mesh:
        state.write(connection, encode_control(PING, b"%d" % now))
    else:
        key = fresh_id(connection)
        connection.probes[key] = None
        if len(connection.probes) > MOST_PROBES:
            del connection.probes[next(iter(connection.probes))]
        body = _PROBE % key
        state.write(connection, encode_frame(body, len(body)))


def fresh_id(connection: UpstreamConnection) -> bytes:
    """Return an id that was never used on this connection."""
    while True:
        connection.serial += 1
        key = b'"tcps-%x"' % connection.serial
        if key not in connection.pending and key not in connection.probes:
            return key
