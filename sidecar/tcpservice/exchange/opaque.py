"""Connections of Opaque services: an endpoint is picked once, when the connection is made.

Used by the `exchange`. The shell moves the bytes; the exchange limits the connections of callers, balances those to
endpoints, and learns which endpoint refused one.
"""

from __future__ import annotations

from tcpservice.exchange.admission import may_connect
from tcpservice.exchange.records import OpaqueConnection, Upstream
from tcpservice.exchange.state import State
from tcpservice.snapshot import Endpoint


def accept(state: State) -> int | None:
    """Take a caller's connection to an Opaque service; return its number, None where there are too many."""
    if not may_connect(state):
        return None
    conn = state.new_conn()
    state.opaque.add(conn)
    return conn


def pick(state: State, upstream: Upstream, tried: frozenset[Endpoint]) -> tuple[int, Endpoint] | None:
    """Pick an endpoint that was not tried; return the connection's number and where to dial, None without one."""
    candidates = [each for each in upstream.candidates or upstream.endpoints.values() if each.address not in tried]
    if not candidates:
        return None
    endpoint = upstream.balancer.choose(candidates, state.rng)
    connection = OpaqueConnection(state.new_conn(), endpoint)
    endpoint.in_flight += 1
    endpoint.load += 1
    state.connections[connection.conn] = connection
    return connection.conn, endpoint.address


def ended(state: State, connection: OpaqueConnection) -> None:
    """Count a connection no more."""
    del state.connections[connection.conn]
    connection.endpoint.in_flight -= 1
    connection.endpoint.load -= 1
