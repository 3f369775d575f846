"""What an app says, as the frames that NestJS's client would send: ids, routes of events, trace context, envelopes.

Used by `client`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final, NamedTuple

from tcpservice.pattern import PatternTooDeep, route_of
from tcpservice_transport.errors import PatternError
from tcpservice_transport.packets import Packet, encode, event, request
from tcpservice_transport.tracing import outgoing

_ID_BITS: Final = 84
_ID_MASK: Final = (1 << _ID_BITS) - 1
_ROUTES_KEPT: Final = 1024

Serializer = Callable[[Packet], object]


class Question(NamedTuple):
    """A request as it is sent, however often."""

    id: str
    frame: bytes


class Messages:
    """Makes the frames of one client; its ids are NestJS's 21 hex digits, counted from a random number."""

    def __init__(self, serializer: Serializer | None) -> None:
        self._serializer = serializer
        self._last_id = secrets.randbits(_ID_BITS)
        self._routes: dict[str, str] = {}

    def request(self, pattern: object, data: object, metadata: object) -> Question:
        """Make a request. Raises NotJson, PatternError."""
        if pattern is None:
            raise PatternError("expected a pattern, got None")
        self._last_id = (self._last_id + 1) & _ID_MASK
        request_id = f"{self._last_id:021x}"
        return Question(request_id, self._encode(request(pattern, data, outgoing(metadata), request_id)))

    def event(self, pattern: object, data: object, metadata: object) -> bytes:
        """Make an event. Raises NotJson, PatternError."""
        return self._encode(event(self._route(pattern), data, outgoing(metadata)))

    def _encode(self, packet: Packet) -> bytes:
        return encode(packet if self._serializer is None else self._serializer(packet))

    def _route(self, pattern: object) -> str:
        """Return the route of an event's pattern; those of texts are remembered."""
        route = self._routes.get(pattern) if isinstance(pattern, str) else None
        if route is None:
            route = _route(pattern)
            if isinstance(pattern, str):
                if len(self._routes) >= _ROUTES_KEPT:
                    self._routes.clear()
                self._routes[pattern] = route
        return route


def _route(pattern: object) -> str:
    try:
        route = route_of(pattern)
    except PatternTooDeep as error:
        raise PatternError(str(error)) from None
    if route is None:
        raise PatternError(f"no message can have the pattern {pattern!r}")
    return route
