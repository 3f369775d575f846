"""A second count of what the exchange counts, and which transitions of its tables were taken.

Used by `sidecar_model` and the command. This is the only module beside `sidecar_model` that knows the core's interface,
and the only one that reads its private state.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from tcpservice.exchange import Bounds, Exchange
from tcpservice.exchange.bounds import MESSAGE_OVERHEAD
from tcpservice.exchange.records import UpstreamConnection
from tcpservice.exchange.transitions import TABLES

Transition = tuple[str, str, str]

MOST_WAITING: Final = 200_000


class Recount:
    """One exchange, counted again from its records."""

    def __init__(self, exchange: Exchange) -> None:
        self._state: Any = exchange._state

    @property
    def connections(self) -> int:
        """How many connections the exchange knows."""
        return len(self._state.connections)

    def differences(self) -> Iterator[str]:
        """Yield each counter that is wrong."""
        state = self._state
        messages = [message for each in state.downstreams for message in each.messages]
        for each in state.downstreams:
            name = f"downstream connection {each.conn}"
            yield from _differ(f"{name}: bytes", each.bytes, sum(m.held for m in each.messages))
            yield from _differ(f"{name}: places", each.waiting_first, sum(m.holds_place for m in each.messages))
        held = sum(message.held + MESSAGE_OVERHEAD for message in messages)
        yield from _differ("bytes of messages", state.request_bytes, held)
        yield from _differ(
            "bytes of unfinished frames", state.partial_bytes, sum(d.buffered for d in state.downstreams)
        )
        yield from _differ("unsent bytes", state.unsent_bytes, sum(each.unsent for each in state.downstreams))
        yield from _differ("slow readers", state.slow_readers, sum(bool(each.unsent) for each in state.downstreams))
        yield from _differ("places", state.pending.count, sum(message.holds_place for message in messages))
        yield from self._endpoint_differences([message for message in messages if message.attempt is not None])

    def _endpoint_differences(self, messages: list[Any]) -> Iterator[str]:
        requests: Counter[int] = Counter()
        places: Counter[int] = Counter()
        live: Counter[int] = Counter()
        held: Counter[int] = Counter()
        for message in messages:
            requests[id(message.attempt.endpoint)] += 1
            places[id(message.attempt.endpoint)] += message.holds_place
            live[id(message.attempt.connection)] += 1
            held[id(message.attempt.connection)] += message.size + message.expected
        for upstream in (*self._state.upstreams.values(), *self._state.apps.values()):
            for endpoint in upstream.endpoints.values():
                name = endpoint.address.name
                yield from _differ(f"{name}: requests", endpoint.in_flight, requests[id(endpoint)])
                yield from _differ(f"{name}: places", endpoint.load, places[id(endpoint)])
                if not endpoint.in_flight:
                    yield from _differ(f"{name}: bytes without a request", endpoint.bytes, 0)
        for each in self._state.connections.values():
            if isinstance(each, UpstreamConnection):
                yield from _differ(f"upstream connection {each.conn}: requests", each.live, live[id(each)])
                yield from _differ(f"upstream connection {each.conn}: bytes", each.bytes, held[id(each)])

    def excess(self, bounds: Bounds) -> Iterator[str]:
        """Yield each table that is larger than it may be."""
        for upstream in (*self._state.upstreams.values(), *self._state.apps.values()):
            if upstream.waiting.count > MOST_WAITING:
                yield f"{upstream.waiting.count} messages wait for an endpoint of {upstream.service.key}"
        for each in self._state.connections.values():
            if (
                isinstance(each, UpstreamConnection)
                and each.state.name == "READY"
                and each.unanswered > bounds.unanswered + 1
            ):
                yield f"upstream connection {each.conn} owes {each.unanswered} replies that nobody waits for"


def _differ(what: str, counted: int, found: int) -> Iterator[str]:
    if counted != found:
        yield f"{what}: counted {counted}, found {found}"


def transitions_taken(exchange: Exchange) -> set[Transition]:
    """Return the transitions that an exchange has taken: kind of state, state, event."""
    taken: set[tuple[str, Any, Any]] = exchange._state.taken
    return {(type(old).__name__, old.name, event.name) for _, old, event in taken}


def transitions_allowed() -> set[Transition]:
    """Return all transitions that the tables allow."""
    return {(type(old).__name__, old.name, event.name) for table in TABLES.values() for old, event in table}
