"""Choosing a replica for a message and sending it there.

Used by `intake` for new messages and by `retries` for further attempts.
"""

from __future__ import annotations

from enum import Enum

from tcpservice.exchange.links import open_link, put
from tcpservice.exchange.records import Backend, Call, Replica
from tcpservice.exchange.state import State


class Nowhere(Enum):
    """Why no replica can take a message now."""

    NONE = "there is no replica"
    YET = "every replica has as much as it may have, or none is known yet"


def choose(state: State, backend: Backend, tried: set[Replica] | None = None) -> Replica | Nowhere:
    """Choose a replica that has room, one that was not tried where there is such a one."""
    candidates = backend.candidates
    if not candidates:
        return Nowhere.YET if backend.service.awaited else Nowhere.NONE
    backlog = state.bounds.replica_backlog
    if not tried:
        replica = backend.balancer.choose(candidates, state.chance)
        if replica.has_room(backlog):
            return replica
    else:
        candidates = [replica for replica in candidates if replica not in tried] or candidates
    roomy = [replica for replica in candidates if replica.has_room(backlog)]
    return backend.balancer.choose(roomy, state.chance) if roomy else Nowhere.YET


def send(state: State, call: Call, replica: Replica, now: int) -> None:
    """Begin an attempt at a replica: on its connection, or in the queue of the one that is being opened."""
    link = replica.link or open_link(state, replica, now)
    call.link, call.replica = link, replica
    call.attempts += 1
    replica.in_flight += 1
    replica.bytes += call.size
    link.live += 1
    limit = call.policy.timeouts.backend_request
    call.attempt_due = now + limit if limit else 0
    if call.due or limit:
        set_timer(state, call)
    if link.up:
        put(state, link, call, now)
    else:
        link.queue[call] = None


def set_timer(state: State, call: Call) -> None:
    """Let the call come up at the earliest of the times that it waits for."""
    times = [due for due in (call.due, call.attempt_due, call.retry_at) if due]
    if times:
        state.wheel.set(call, min(times))
    else:
        state.wheel.cancel(call)
