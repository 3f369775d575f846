"""What the fields of one TcpService must be to each other, beyond what each is alone.

Used by `reading`. Each rule looks at the parts that are sound in themselves, so that one mistake does not hide another.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tcpservice.pattern import PatternTooDeep, exact_route
from tcpservice.snapshot import SECOND, Drain
from tcpservice.spec.checked import Checked
from tcpservice.spec.leaves import LARGEST_SIZE, SIZE_WORDS
from tcpservice.spec.problems import Finding, Path, expected, render
from tcpservice.spec.routes import Match
from tcpservice.spec.schema import CallerNamespaces
from tcpservice.spec.units import parse_duration, parse_quantity

_ROUTES: Final = ("spec", "routes")
_CALLERS: Final = ("spec", "allowedCallers", "namespaces")
_NEVER_NOTHING: Final = (
    ("spec", "timeouts", "connect"),
    ("spec", "retryConstraint", "budget", "interval"),
    ("spec", "retryConstraint", "minRetryRate", "interval"),
)


def check_rules(service: Checked) -> Iterator[Finding]:
    """Give everything in a TcpService that breaks a rule."""
    yield from _check_names(service)
    yield from _check_patterns(service)
    yield from _check_opaque(service)
    yield from _check_timeouts(service, ("spec", "timeouts"))
    for index in range(service.count(_ROUTES)):
        yield from _check_timeouts(service, (*_ROUTES, index, "timeouts"))
    yield from _check_callers(service)
    yield from _check_drain(service)
    yield from _check_nothing(service)
    yield from _check_size(service)


def _check_callers(service: Checked) -> Iterator[Finding]:
    namespaces = service.part(_CALLERS, CallerNamespaces)
    if namespaces is not None and (namespaces.from_ == "Selector") != (namespaces.selector is not None):
        wanted = "no selector" if namespaces.selector is not None else "a selector"
        yield Finding(_CALLERS, f"expected {wanted} with from: {namespaces.from_ or 'Same'}")


def _check_names(service: Checked) -> Iterator[Finding]:
    known: dict[str, int] = {}
    for index in range(service.count(_ROUTES)):
        path = (*_ROUTES, index, "name")
        name = service.part(path, str)
        if name is not None and known.setdefault(name, index) != index:
            yield Finding(path, f'expected a unique name, but {render((*_ROUTES, known[name]))} is also named "{name}"')


def _check_patterns(service: Checked) -> Iterator[Finding]:
    """Compare patterns by what NestJS makes of them, as two texts may be the same route."""
    known: dict[tuple[str, str], int] = {}
    for index in range(service.count(_ROUTES)):
        path = (*_ROUTES, index, "match", "pattern")
        match = service.part(path[:-1], Match)
        if match is None:
            continue
        route = _route(match)
        if route is None:
            yield expected(path, "a pattern that a message handler can have", match.pattern)
        elif known.setdefault((match.type, route), index) != index:
            first = render((*_ROUTES, known[match.type, route]))
            yield Finding(path, f"expected a unique pattern, but {first} has the same pattern")


def _route(match: Match) -> str | None:
    if match.type == "Prefix":
        return match.pattern
    try:
        return exact_route(match.pattern)
    except PatternTooDeep:
        return None


def _check_opaque(service: Checked) -> Iterator[Finding]:
    if service.part(("spec", "protocol"), str) == "Opaque" and service.count(_ROUTES):
        yield Finding(
            _ROUTES, "expected no routes with the protocol Opaque, because sidecars then do not read messages"
        )


def _check_timeouts(service: Checked, path: Path) -> Iterator[Finding]:
    request, attempt = (*path, "request"), (*path, "backendRequest")
    whole = _duration(service, request)
    if whole and (_duration(service, attempt) or 0) > whole:
        yield expected(attempt, f"at most timeouts.request, {service.part(request, str)}", service.part(attempt, str))


def _check_drain(service: Checked) -> Iterator[Finding]:
    path = ("spec", "drain", "streamTimeout")
    timeout, stream = _duration(service, ("spec", "drain", "timeout")), _duration(service, path)
    least = Drain().timeout if timeout is None else timeout
    if stream is not None and stream < least:
        words = service.part(("spec", "drain", "timeout"), str) or f"{least // SECOND}s"
        yield expected(path, f"at least drain.timeout, {words}", service.part(path, str))


def _check_nothing(service: Checked) -> Iterator[Finding]:
    for path in _NEVER_NOTHING:
        if _duration(service, path) == 0:
            yield expected(path, "a duration above 0s", service.part(path, str))


def _check_size(service: Checked) -> Iterator[Finding]:
    path = ("spec", "limits", "maxFrameSize")
    size = service.part(path, object)
    if isinstance(size, str) and not 1 <= parse_quantity(size) <= LARGEST_SIZE:
        yield expected(path, SIZE_WORDS, size)


def _duration(service: Checked, path: Path) -> int | None:
    text = service.part(path, str)
    return None if text is None else parse_duration(text)
