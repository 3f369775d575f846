"""Draining: how a sidecar stops without losing what it has accepted.

Used by the `exchange`; the shell's `leaving` and `gate` decide when. There are two steps. *Withdrawn*: the pod ends,
other sidecars are asked to pick other endpoints, everything that arrives is still served, and the own app may still
send. *Draining*: the sidecar itself stops. Near the end of the time that is left, reading stops, so that under steady
traffic the last messages still get their replies.
"""

from __future__ import annotations

from tcpservice.errors import Code
from tcpservice.exchange.attempts import withdraw
from tcpservice.exchange.downstream import begin_close, may_be_closed, watch_idle
from tcpservice.exchange.records import DownstreamConnection, Origin
from tcpservice.exchange.state import State
from tcpservice.exchange.transitions import DownstreamState


def announce(state: State) -> None:
    """Ask other sidecars to pick other endpoints, and close connections of other callers when they are idle."""
    for downstream in state.downstreams:
        hop = downstream.hop
        if hop is not None:
            if downstream.state in (DownstreamState.READING, DownstreamState.PAUSED):
                state.write(downstream, hop.goaway(app_absent=False))
        elif downstream.state <= DownstreamState.ENDING and may_be_closed(state, downstream):
            watch_idle(state, downstream)


def stop_reading(state: State, now: int) -> None:
    """Read no more messages: connections close once they have the replies they are owed."""
    for downstream in list(state.downstreams):
        if downstream.state is not DownstreamState.AWAIT_PREFACE:
            begin_close(state, downstream, now)


def end_messages(state: State, now: int, *, streams: bool) -> None:
    """End what has not ended. `streams` false spares requests that have had a response."""
    for downstream in list(state.downstreams):
        for message in list(downstream.messages):
            if message in downstream.messages and (streams or not message.responses):
                withdraw(state, message, Code.DRAINING, "the sidecar is stopping", now)


def others(state: State) -> list[DownstreamConnection]:
    """Return the connections that do not come from the pod's own app."""
    return [each for each in state.downstreams if each.origin is not Origin.LOCAL]


def holds_nothing(state: State) -> bool:
    """Whether every message has ended, and every byte for callers has been taken."""
    return not state.unsent_bytes and not any(
        each.messages or each.items or each.reader.has_more for each in state.downstreams
    )


def is_quiet(state: State, since: int, now: int) -> bool:
    """Whether other callers wait for nothing, and nothing came from or went to them for a while after `since`."""
    connections = others(state)
    if any(each.messages for each in connections):
        return False
    heard = max((each.heard for each in connections), default=since)
    return not connections or now - max(since, heard) >= state.bounds.drain_quiet
