"""From a message's pattern to the rules that hold for it.

Used by the `exchange` for every message. The most specific route wins: the exact pattern, then the longest prefix,
then the service's own values. Patterns seen are remembered by their bytes, so that a known one costs one dictionary
look-up; that memory is bounded, since callers choose the patterns.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from tcpservice import javascript
from tcpservice.pattern import PatternTooDeep, route_of
from tcpservice.snapshot import MatchType, Retry, Service, Timeouts

MAX_KNOWN: Final = 4096
LONGEST_KNOWN: Final = 1024


class Policy(Struct, frozen=True, kw_only=True):
    """The rules for one message; `route` is the manifest's name for them, None where the service's own apply."""

    route: str | None
    idempotent: bool
    timeouts: Timeouts
    retry: Retry


class Policies:
    """The routes of one service, by pattern."""

    def __init__(self, service: Service) -> None:
        self._default = Policy(route=None, idempotent=False, timeouts=service.timeouts, retry=service.retry)
        self._exact: dict[str, Policy] = {}
        prefixes: list[tuple[str, Policy]] = []
        for route in service.routes:
            policy = Policy(route=route.name, idempotent=route.idempotent, timeouts=route.timeouts, retry=route.retry)
            if route.match is MatchType.EXACT:
                self._exact[route.pattern] = policy
            else:
                prefixes.append((route.pattern, policy))
        self._prefixes = sorted(prefixes, key=lambda entry: len(entry[0]), reverse=True)
        every = (self._default, *self._exact.values(), *(policy for _, policy in prefixes))
        self.request_limits = sorted({policy.timeouts.request for policy in every} - {0})
        self.known: dict[bytes, Policy] = {}

    def find(self, pattern: bytes) -> Policy:
        """Return the rules for a pattern given as JSON text (empty: the message has none).

        Raises PatternTooDeep.
        """
        policy = self.known.get(pattern)
        if policy is not None:
            return policy
        policy = self._match(pattern)
        if pattern and len(pattern) <= LONGEST_KNOWN:
            if len(self.known) >= MAX_KNOWN:
                self.known.clear()
            self.known[pattern] = policy
        return policy

    def lists(self, route: str) -> bool:
        """Whether the manifest lists this very route."""
        return route in self._exact

    def _match(self, pattern: bytes) -> Policy:
        if not pattern:
            return self._default
        route = route_of(javascript.parse(pattern.decode()))
        if route is None:
            return self._default
        exact = self._exact.get(route)
        if exact is not None:
            return exact
        return next((policy for prefix, policy in self._prefixes if route.startswith(prefix)), self._default)


__all__ = ["PatternTooDeep", "Policies", "Policy"]
