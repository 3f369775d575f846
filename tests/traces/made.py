"""Spans and traces as the tests write them: who, what, and from when to when in milliseconds."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from tcpservice_traces import FailedAttempt, Span, Trace

if TYPE_CHECKING:
    from tcpservice_traces.span import Kind

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
BEGAN = 1_700_000_000_000_000_000
CREATE, RESERVE, PRICE = '{"cmd":"create"}', '{"cmd":"reserve"}', '{"cmd":"price"}'

_ids = itertools.count(1)


def at(milliseconds: float) -> int:
    """Return a moment of the trace."""
    return BEGAN + int(milliseconds * 1_000_000)


def span(replica: str, kind: Kind, name: str, times: tuple[float, float], **more: Any) -> Span:
    """Make a span; the service is the replica's name without its number."""
    above: Span | None = more.pop("above", None)
    fields: dict[str, Any] = {
        "trace_id": TRACE,
        "span_id": f"{next(_ids):016x}",
        "parent_id": above.span_id if above is not None else "",
        "service": replica.rpartition("-")[0] or replica,
    }
    start, end = times
    return Span(replica=replica, kind=kind, name=name, start_ns=at(start), end_ns=at(end), **{**fields, **more})


def lost(replica: str, milliseconds: float, reason: str = "Connection closed") -> FailedAttempt:
    """Make an attempt that failed."""
    return FailedAttempt(replica, reason, at(milliseconds))


def trace(*spans: Span, dropped: int = 0) -> Trace:
    """Make a trace."""
    return Trace(trace_id=spans[0].trace_id, spans=spans, dropped=dropped, since=0.0, updated=0.0)


def to(replica: str) -> dict[str, str | int | float | bool]:
    """Return the attributes of a call that a replica took."""
    return {"tcpservice.service": f"shop/{replica.rpartition('-')[0]}", "tcpservice.endpoint": replica}


def usual() -> Trace:
    """Return a message from web to orders, which asks stock (which asks prices) and prices, in vain."""
    web = span("web-1", "client", CREATE, (0, 12.4), attributes=to("orders-2"))
    orders = span("orders-2", "server", CREATE, (0.7, 11.7), above=web)
    reserve = span("orders-2", "client", RESERVE, (1.0, 5.1), above=orders, attributes=to("stock-1"))
    stock = span("stock-1", "server", RESERVE, (1.3, 5.0), above=reserve)
    ask = span("stock-1", "client", PRICE, (2.4, 3.9), above=stock, attributes=to("prices-1"))
    prices = span("prices-1", "server", PRICE, (2.6, 3.8), above=ask)
    vain = span("orders-2", "client", PRICE, (6.0, 6.9), above=orders, attributes=to("prices-2"), error="timeout")
    return trace(vain, prices, ask, stock, reserve, orders, web)


def tried_again() -> Trace:
    """Return a message of which two attempts fail: one at a replica that tells of it, one at a replica that cannot."""
    failed = (lost("stock-2", 8), lost("stock-3", 9, "connection refused"))
    orders = span("orders-1", "server", CREATE, (0, 30))
    client = span("orders-1", "client", RESERVE, (5, 28), above=orders, attributes=to("stock-1"), failed=failed)
    first = span("stock-2", "server", RESERVE, (5.2, 8), above=client, error="connection_closed")
    last = span("stock-1", "server", RESERVE, (11, 27.6), above=client)
    return trace(orders, client, last, first)
