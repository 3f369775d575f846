"""What a row of the tree says in words: who, which route, and what is worth a note.

Used by `lines` and `summary`. A mark before a name says what a row is: nothing for a replica that was reached, `→` for
a call as its caller saw it, `·` for work inside the replica above, `✗` for an attempt of which only its caller knows.
Outcomes are words, so that nothing is lost where there is no colour.
"""

from __future__ import annotations

import json
import re
from typing import Final, NamedTuple

from tcpservice_traces.cells import cut, cut_start, safe
from tcpservice_traces.durations import duration
from tcpservice_traces.span import RESPONSE, Span
from tcpservice_traces.tree import Row, route_of, same_place

CALLS: Final = "→"
WITHIN: Final = "·"
LOST: Final = "✗"

_CALLING: Final = ("client", "producer")
_RANDOM: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
_WORTH_SAYING: Final = 10
"""A tenth of a call: from there on, the time on the way is worth a note."""


class Note(NamedTuple):
    """Something beside a row: its text, and the name of its style."""

    text: str
    style: str


def who(row: Row) -> str:
    """Return whose row it is, with its mark."""
    if row.lost is not None:
        return f"{LOST} {safe(row.lost.replica)}"
    away = row.above is None or not same_place(row.above, row.span)
    name = name_of(row.span) if away else ""
    if row.span.kind in _CALLING and (row.leaf or not away):
        target = (_replica(row.span) if row.leaf else "") or callee(row.span)
        return " ".join(part for part in (name, CALLS, target) if part)
    return name or WITHIN


def name_of(span: Span) -> str:
    """Return the replica that made a span, else its service; a random instance id is told by its beginning."""
    replica, service = safe(span.replica), safe(span.service)
    if _RANDOM.fullmatch(replica):
        return f"{service} {replica[:8]}"
    return replica or service


def callee(span: Span) -> str:
    """Return the service that a client span calls; '' where it does not say."""
    attributes = span.attributes
    service = str(attributes.get("tcpservice.service", "")).rpartition("/")[2]
    return safe(service or str(attributes.get("peer.service") or attributes.get("server.address") or ""))


def route(row: Row) -> str:
    """Return the route, or the name of the work."""
    return safe(route_of(row.span))


def short_route(text: str, width: int) -> str:
    """Return a route in at most `width` columns; what tells two patterns that are objects apart is at their end."""
    return cut_start(text, width) if text.startswith("{") else cut(text, width)


def notes(row: Row) -> list[Note]:
    """Return what is worth a note, the most important first."""
    if row.lost is not None:
        return [Note(safe(row.lost.reason), "error")]
    outer, found = row.outer, []
    if row.span.error:
        found.append(Note(error_text(row.span), "error"))
    count = len(outer.failed)
    if outer.kind == "client" and (count > 1 or (count and not outer.error)):
        found.append(Note("1 failed attempt" if count == 1 else f"{count} failed attempts", "retry"))
    if row.above is None or row.above.kind != "client":  # else the row above has said so
        found += [Note(text, "note") for text in _manners(outer)]
    wire = on_the_way(row)
    if wire * _WORTH_SAYING > outer.end_ns - outer.start_ns:
        found.append(Note(f"wire {duration(wire)}", "wire"))
    return found


def error_text(span: Span) -> str:
    """Return why a span failed: its code, and the message of the error where the span has the response."""
    try:
        error = json.loads(str(span.attributes.get(RESPONSE, ""))).get("err")
    except (ValueError, AttributeError, RecursionError):
        error = None
    message = error.get("message") if isinstance(error, dict) else error
    return safe(f"{span.error}: {message}" if span.error and isinstance(message, str) else span.error)


def on_the_way(row: Row) -> int:
    """Return the nanoseconds of a folded call that its replica did not have it, by either's own clock; 0 if unknown."""
    if row.caller is None:
        return 0
    return max(0, (row.caller.end_ns - row.caller.start_ns) - (row.span.end_ns - row.span.start_ns))


def _replica(span: Span) -> str:
    return safe(str(span.attributes.get("tcpservice.endpoint", "")))


def _manners(span: Span) -> list[str]:
    """Return what is unusual about a message."""
    found = []
    if span.attributes.get("tcpservice.kept") == "slow":
        found.append("slow")
    if span.attributes.get("tcpservice.message") == "event":
        found.append("event")
    responses = span.attributes.get("tcpservice.responses")
    if isinstance(responses, int) and responses > 1:
        found.append(f"{responses} responses")
    return found
