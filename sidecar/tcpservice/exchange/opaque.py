"""Connections of Opaque services: an endpoint is picked once, when the connection is made.

Used by the `exchange`. The shell moves the bytes; the exchange balances the connections, and learns who refused one.
"""

from __future__ import annotations

from tcpservice.exchange.records import OpaqueConnection, Upstream
from tcpservice.exchange.state import State
from tcpservice.snapshot import Endpoint


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
