"""A second count of what the exchange counts, and which transitions of its tables were taken.

Used by `sidecar_model` and the command. This is the only module beside `sidecar_model` that knows the core's interface,
and the only one that reads its private state. It knows two cores: the present one, and the one before states became
tables, on which the simulation was proved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from typing import Any, Final

from tcpservice.exchange import Bounds, Exchange

Transition = tuple[str, str, str]

MOST_WAITING: Final = 200_000


class Recount:
    """One exchange, counted again from its records."""

    def __init__(self, exchange: Exchange) -> None:
        self._state: Any = exchange._state
        self._has_tables = hasattr(self._state, "downstreams")

    @property
    def connections(self) -> int:
        """How many connections the exchange knows."""
        return len(self._state.connections if self._has_tables else self._state.peers)

    def differences(self) -> Iterator[str]:
        """Yield each counter that is wrong."""
        return self._differences() if self._has_tables else self._old_differences()

    def excess(self, bounds: Bounds) -> Iterator[str]:
        """Yield each table that is larger than it may be."""
        return self._excess(bounds) if self._has_tables else self._old_excess(bounds)

    # The present core

    def _differences(self) -> Iterator[str]:
        state = self._state
        messages = [message for each in state.downstreams for message in each.messages]
        for each in state.downstreams:
            name = f"downstream connection {each.conn}"
            yield from _differ(f"{name}: bytes", each.bytes, sum(m.held for m in each.messages))
            yield from _differ(f"{name}: places", each.waiting_first, sum(m.holds_place for m in each.messages))
        overhead = import_module("tcpservice.exchange.bounds").MESSAGE_OVERHEAD
        yield from _differ("bytes of messages", state.request_bytes, sum(m.held + overhead for m in messages))
        yield from _differ(
            "bytes of unfinished frames", state.partial_bytes, sum(d.buffered for d in state.downstreams)
        )
        yield from _differ("unsent bytes", state.unsent_bytes, sum(each.unsent for each in state.downstreams))
        yield from _differ("slow readers", state.slow_readers, sum(bool(each.unsent) for each in state.downstreams))
        yield from _differ("places", len(state.pending), sum(message.holds_place for message in messages))
        yield from self._endpoint_differences([message for message in messages if message.attempt is not None])

    def _endpoint_differences(self, messages: list[Any]) -> Iterator[str]:
        requests: Counter[int] = Counter()
        places: Counter[int] = Counter()
        live: Counter[int] = Counter()
        for message in messages:
            requests[id(message.attempt.endpoint)] += 1
            places[id(message.attempt.endpoint)] += message.holds_place
            live[id(message.attempt.connection)] += 1
        for upstream in (*self._state.upstreams.values(), *self._state.apps.values()):
            for endpoint in upstream.endpoints.values():
                name = endpoint.address.name
                yield from _differ(f"{name}: requests", endpoint.in_flight, requests[id(endpoint)])
                yield from _differ(f"{name}: places", endpoint.load, places[id(endpoint)])
                if not endpoint.in_flight:
                    yield from _differ(f"{name}: bytes without a request", endpoint.bytes, 0)
        for each in self._state.connections.values():
            if hasattr(each, "live"):
                yield from _differ(f"upstream connection {each.conn}: requests", each.live, live[id(each)])

    def _excess(self, bounds: Any) -> Iterator[str]:
        for upstream in (*self._state.upstreams.values(), *self._state.apps.values()):
            if len(upstream.waiting) > MOST_WAITING:
                yield f"{len(upstream.waiting)} messages wait for an endpoint of {upstream.service.key}"
        for each in self._state.connections.values():
            if hasattr(each, "live") and each.state.name == "READY" and each.unanswered > bounds.unanswered + 1:
                yield f"upstream connection {each.conn} owes {each.unanswered} replies that nobody waits for"

    # The core before

    def _old_differences(self) -> Iterator[str]:
        state = self._state
        calls = [call for caller in state.callers for call in caller.calls]
        for caller in state.callers:
            yield from _differ(f"connection {caller.conn}: bytes", caller.bytes, sum(c.size for c in caller.calls))
        yield from _differ("bytes in flight", state.bytes, sum(call.size for call in calls))
        yield from _differ("unread bytes", state.unread, sum(caller.backlog for caller in state.callers))
        calls = [call for call in calls if call.link is not None]
        by_replica = Counter(id(call.replica) for call in calls)
        by_link = Counter(id(call.link) for call in calls)
        for backend in (*state.backends.values(), *state.apps.values()):
            for replica in backend.replicas.values():
                yield from _differ(f"{replica.endpoint.name}: requests", replica.in_flight, by_replica[id(replica)])
        for peer in state.peers.values():
            if hasattr(peer, "live"):
                yield from _differ(f"upstream connection {peer.conn}: requests", peer.live, by_link[id(peer)])

    def _old_excess(self, bounds: Any) -> Iterator[str]:
        for peer in self._state.peers.values():
            if hasattr(peer, "forgotten") and not peer.retiring and peer.forgotten > bounds.forgotten + 1:
                yield f"upstream connection {peer.conn} owes {peer.forgotten} replies that nobody waits for"


def _differ(what: str, counted: int, found: int) -> Iterator[str]:
    if counted != found:
        yield f"{what}: counted {counted}, found {found}"


def transitions_taken(exchange: Exchange) -> set[Transition]:
    """Return the transitions that an exchange has taken: record, state, event. Empty for a core without tables."""
    taken: set[tuple[str, Any, Any]] = getattr(exchange._state, "taken", set())
    return {(record, old.name, event.name) for record, old, event in taken}


def transitions_allowed() -> set[Transition]:
    """Return all transitions that the tables allow; empty for a core without tables."""
    tables: dict[type, dict[tuple[Any, Any], Any]] = getattr(import_module("tcpservice.exchange.state"), "_TABLES", {})
    return {(record.__name__, old.name, event.name) for record, table in tables.items() for old, event in table}
