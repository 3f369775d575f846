"""Replicas that fail: connections refused, lost, silent or full of garbage, and how such a replica comes back.

Used by the `exchange` and by `answers`. A replica that failed is marked and not chosen while others are there; after a
pause that grows with each failure it is dialled again, and chosen again once it is connected (one that had fallen
silent or sent garbage: once it answers a probe).
"""

from __future__ import annotations

from tcpservice.exchange.apps import announce, went_on
from tcpservice.exchange.endings import close_link, leave
from tcpservice.exchange.links import open_link, probe, put
from tcpservice.exchange.outputs import Close
from tcpservice.exchange.records import Link, Replica
from tcpservice.exchange.retries import broken, not_run
from tcpservice.exchange.state import State
from tcpservice.health import backoff
from tcpservice.wire.mesh import Preface, encode_preface


def connected(state: State, link: Link, now: int) -> None:
    """Handle that the shell has connected a link: a sidecar is greeted first, an app gets what is queued."""
    if link.greeting is not None:
        state.write(link.conn, encode_preface(Preface(link.replica.backend.service.key)))
        return
    established(state, link, now)


def established(state: State, link: Link, now: int) -> None:
    """Send what was queued on a link, and let its replica be chosen again."""
    replica = link.replica
    link.up = True
    link.heard = now
    if replica.suspect:
        probe(state, link, now)
        state.wheel.set(link, now + state.bounds.probe_timeout)
    else:
        recovered(state, replica)
        state.wheel.set(link, now + min(state.bounds.probe_after, state.bounds.link_idle))
    queue, link.queue = link.queue, {}
    for call in queue:
        put(state, link, call, now)


def recovered(state: State, replica: Replica) -> None:
    """Let a replica be chosen again."""
    replica.suspect = False
    if replica.down:
        replica.down = False
        replica.failures = 0
        state.tell("replica_up", "takes messages", replica)
        replica.backend.refresh()
        announce(state, replica.backend)
        state.room = True


def mark(state: State, replica: Replica, reason: str, now: int) -> None:
    """Leave a replica alone for a while; one that is removed is of no more interest."""
    if replica.removed:
        return
    replica.failures += 1
    if replica.failures == 1:
        replica.down = True
        state.tell("replica_down", reason, replica)
        replica.backend.refresh()
    replica.backend.stopping = False
    announce(state, replica.backend)
    state.wheel.set(replica, now + backoff(replica.failures, state.chance))


def lose(state: State, link: Link, reason: str, now: int) -> None:
    """Give up a link: what had not left goes elsewhere, what may have run ends or is repeated."""
    del state.peers[link.conn]
    state.wheel.cancel(link)
    state.commands.append(Close(link.conn, abort=True))
    state.writes.pop(link.conn, None)
    replica = link.replica
    if replica.link is link:
        replica.link = None
        mark(state, replica, reason, now)
    queue, pending = list(link.queue), [call for key, call in link.pending.items() if call.waits_for(link, key)]
    link.queue, link.pending, link.retiring = {}, {}, False
    for call in queue + pending:
        leave(state, call)
    for call in pending:
        broken(state, call, now)
    for call in queue:
        not_run(state, call, reason, now)


def distrust(state: State, link: Link, reason: str, now: int) -> None:
    """Give up a link whose replica lives but does not behave: it must answer a probe before it is chosen again."""
    link.replica.suspect = True
    lose(state, link, reason, now)


def link_due(state: State, link: Link, now: int) -> None:
    """Handle that a time has come for the link: to be connected, to be heard from, or to be closed for want of use."""
    bounds = state.bounds
    if not link.up:
        lose(state, link, "connect timed out", now)
    elif link.probed and link.heard <= link.probed:
        distrust(state, link, "silent, and a probe was not answered", now)
    elif link.live and now - link.heard >= bounds.probe_after:
        probe(state, link, now)
        state.wheel.set(link, now + bounds.probe_timeout)
    elif not link.live and now - link.heard >= bounds.link_idle:
        close_link(state, link)
    else:
        link.probed = 0
        state.wheel.set(
            link, max(link.heard, now - bounds.probe_after // 2) + min(bounds.probe_after, bounds.link_idle)
        )


def replica_due(state: State, replica: Replica, now: int) -> None:
    """Handle that the pause after a failure is over: dial again, or trust a connection that stands."""
    if not replica.down:
        went_on(state, replica.backend)
    elif replica.link is None:
        open_link(state, replica, now)
    elif replica.link.up and not replica.suspect:
        recovered(state, replica)
