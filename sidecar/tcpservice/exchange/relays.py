"""Connections of Opaque services: a replica is chosen once, when the connection is made.

Used by the `exchange`. The bytes are the shell's to move; the exchange only balances, and learns who refused.
"""

from __future__ import annotations

from tcpservice.exchange.records import Backend, Relay
from tcpservice.exchange.state import State
from tcpservice.snapshot import Endpoint


def choose(state: State, backend: Backend, tried: frozenset[Endpoint]) -> tuple[int, Endpoint] | None:
    """Choose a replica that was not tried; None where there is none left."""
    candidates = [replica for replica in backend.candidates if replica.endpoint not in tried]
    if not candidates:
        return None
    replica = backend.balancer.choose(candidates, state.chance)
    relay = Relay(state.new_conn(), replica)
    replica.in_flight += 1
    state.peers[relay.conn] = relay
    return relay.conn, replica.endpoint


def ended(state: State, relay: Relay) -> None:
    """Give the connection's place back."""
    del state.peers[relay.conn]
    relay.replica.in_flight -= 1
