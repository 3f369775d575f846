"""From a message's pattern to the rules that hold for it.

Used by the `exchange` for every message. The most specific route wins: the exact pattern, then the longest prefix,
then the service's own values. Routes are compared as the app compares them, whose NestJS may be of either dialect.
Patterns seen are remembered by their bytes, so that a known one costs one dictionary look-up, and the last one a
comparison; that memory is bounded, since callers choose the patterns.
"""

from __future__ import annotations

from typing import Final

from tcpservice.pattern import Dialect, PatternTooDeep, read_routes, route_in
from tcpservice.snapshot import MatchType, Retry, Service, Timeouts

MAX_KNOWN: Final = 4096
LONGEST_KNOWN: Final = 1024

_V12: Final = Dialect.V12


class Policy:
    """The rules for one message; `route` is the manifest's name for them, None where the service's own apply.

    `request_timeout`, `attempt_timeout` and `stream_timeout` are those of a request, of one attempt, and between the
    responses of a stream, in ns, 0 for none.
    """

    __slots__ = ("attempt_timeout", "idempotent", "request_timeout", "retry", "route", "stream_timeout")

    def __init__(self, route: str | None, timeouts: Timeouts, retry: Retry, *, idempotent: bool) -> None:
        self.route = route
        self.idempotent = idempotent
        self.request_timeout = timeouts.request
        self.attempt_timeout = timeouts.backend_request
        self.stream_timeout = timeouts.stream_idle
        self.retry = retry


class Policies:
    """The routes of one service, by pattern."""

    def __init__(self, service: Service) -> None:
        self._default = Policy(None, service.timeouts, service.retry, idempotent=False)
        self._exact: dict[str, Policy] = {}
        self._exact_v10: dict[str, Policy] = {}
        prefixes: list[tuple[str, Policy]] = []
        for route in service.routes:
            policy = Policy(route.name, route.timeouts, route.retry, idempotent=route.idempotent)
            if route.match is MatchType.EXACT:
                self._exact[route.pattern] = policy
                self._exact_v10[route_in(route.pattern, Dialect.V10)] = policy
            else:
                prefixes.append((route.pattern, policy))
        self._prefixes = sorted(prefixes, key=lambda entry: len(entry[0]), reverse=True)
        every = (self._default, *self._exact.values(), *(policy for _, policy in prefixes))
        self.request_limits = sorted({policy.request_timeout for policy in every} - {0})
        self._last_pattern = b""
        self._last = self._default
        self.known: dict[bytes, Policy] = {}
        self.known_v10: dict[bytes, Policy] = {}

    def find(self, pattern: bytes, dialect: Dialect = _V12) -> Policy:
        """Return the rules for a pattern given as JSON text (empty: the message has none).

        `dialect` is that of the app. Raises PatternTooDeep.
        """
        if dialect is not _V12:
            return self._find(pattern, dialect, self.known_v10)
        if pattern != self._last_pattern:
            policy = self._find(pattern, dialect, self.known)
            if len(pattern) > LONGEST_KNOWN:
                return policy
            self._last, self._last_pattern = policy, pattern
        return self._last

    def _find(self, pattern: bytes, dialect: Dialect, known: dict[bytes, Policy]) -> Policy:
        policy = known.get(pattern)
        if policy is not None:
            return policy
        policy = self._match(pattern, dialect)
        if pattern and len(pattern) <= LONGEST_KNOWN:
            if len(known) >= MAX_KNOWN:
                known.clear()
            known[pattern] = policy
        return policy

    def lists(self, route: str) -> bool:
        """Whether the manifest lists this very route."""
        return route in self._exact

    def _match(self, pattern: bytes, dialect: Dialect) -> Policy:
        if not pattern:
            return self._default
        route = read_routes(pattern).of(dialect)
        if route is None:
            return self._default
        exact = (self._exact if dialect is _V12 else self._exact_v10).get(route)
        if exact is not None:
            return exact
        return next((policy for prefix, policy in self._prefixes if route.startswith(prefix)), self._default)


__all__ = ["PatternTooDeep", "Policies", "Policy"]
