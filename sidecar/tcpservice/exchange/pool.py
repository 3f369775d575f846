"""The connections to one endpoint: opened on demand, chosen for each caller, probed.

Used by `attempts`, `endpoint_health` and `upstream`. A caller's connection keeps to one connection of the pool, so that
the order of its messages holds. The pool's size is the manifest's `connectionPool.size`. Without one, the pool begins
with one connection and grows, up to `LARGEST_POOL`, while all its connections are busy and the endpoint is slow: more
connections let an endpoint that is several processes behind one address use them all. So it is with connections to a
sidecar, which has such a pool towards its app and gives each connection of another sidecar a place in it.
"""

from __future__ import annotations

from typing import Final

from tcpservice.exchange.outputs import Connect
from tcpservice.exchange.records import (
    LARGEST_POOL,
    DownstreamConnection,
    Origin,
    Reason,
    UpstreamConnection,
    UpstreamEndpoint,
)
from tcpservice.exchange.state import State
from tcpservice.snapshot import MILLISECOND
from tcpservice.wire.frames import encode_frame
from tcpservice.wire.mesh import PING, encode_control

BUSY: Final = 8
"""Attempts on a connection from which on it counts as busy."""

SLOW: Final = 50 * MILLISECOND
"""Average time to a reply from which on an endpoint counts as slow."""

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


def connection_for(
    state: State, endpoint: UpstreamEndpoint, downstream: DownstreamConnection, now: int
) -> UpstreamConnection:
    """Return the connection for the messages of one caller; open it where there is none."""
    slot = _slot(endpoint, downstream)
    return endpoint.pool[slot] or open_connection(state, endpoint, slot, now)


def _slot(endpoint: UpstreamEndpoint, downstream: DownstreamConnection) -> int:
    """Return the slot for a caller's next message. It changes only when all earlier messages have been read there.

    That is unknown while another request is in flight, and where something is `unread`. The place of another sidecar's
    connection decides, as something that came by its last one may be unread, too.
    """
    size, pool = endpoint.upstream.pool_size, endpoint.pool
    if size:
        while len(pool) < size:
            pool.append(None)
        return downstream.serial % size
    if len(downstream.messages) > 1 or downstream in endpoint.unread:
        return endpoint.slots.get(downstream, 0)
    if len(pool) < LARGEST_POOL and _should_grow(endpoint):
        pool.append(None)
    if len(pool) == 1:
        return 0
    slot = downstream.serial % len(pool) if downstream.origin is Origin.MESH else _least_used(pool)
    endpoint.slots[downstream] = slot
    return slot


def _should_grow(endpoint: UpstreamEndpoint) -> bool:
    if endpoint.latency < SLOW:
        return False
    return all([_load(each) >= BUSY for each in endpoint.pool])  # noqa: C419 - a generator does not compile as well


def _least_used(pool: list[UpstreamConnection | None]) -> int:
    loads = [_load(each) for each in pool]
    return loads.index(min(loads))


def _load(connection: UpstreamConnection | None) -> int:
    return 0 if connection is None else connection.live


def probe(state: State, connection: UpstreamConnection, now: int) -> None:
    """Ask an endpoint for a sign of life."""
    connection.probed = now
    if not connection.asked:
        connection.asked = now
    if connection.endpoint.mesh:
        state.write(connection.conn, encode_control(PING, b"%d" % now))
    else:
        key = fresh_id(connection)
        connection.probes[key] = None
        if len(connection.probes) > MOST_PROBES:
            del connection.probes[next(iter(connection.probes))]
        body = _PROBE % key
        state.write(connection.conn, encode_frame(body, len(body)))


def fresh_id(connection: UpstreamConnection) -> bytes:
    """Return an id that was never used on this connection."""
    while True:
        connection.serial += 1
        key = b'"tcps-%x"' % connection.serial
        if key not in connection.pending and key not in connection.probes:
            return key
