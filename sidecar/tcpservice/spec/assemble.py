"""From checked documents to the snapshot that the sidecar runs by.

Used by `reading` once nothing is wrong. Durations become nanoseconds, sizes bytes, exact patterns NestJS routes; what a
route leaves out its service fills, and what that leaves out the defaults of `tcpservice.snapshot`.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from tcpservice import snapshot
from tcpservice.pattern import exact_route
from tcpservice.snapshot import Endpoint, MatchType
from tcpservice.spec import policies, routes
from tcpservice.spec.documents import DEFAULT_NAMESPACE
from tcpservice.spec.schema import TcpService
from tcpservice.spec.units import parse_duration, parse_quantity

T = TypeVar("T", bound=Struct)


def assemble(service: TcpService, endpoints: tuple[Endpoint, ...]) -> snapshot.Service:
    """Make the service that a sidecar runs by."""
    spec = service.spec
    balancing = spec.load_balancing or policies.LoadBalancing()
    timeouts = _service_timeouts(spec.timeouts or policies.ServiceTimeouts())
    retry = _retry(snapshot.Retry(), spec.retry)
    return snapshot.Service(
        namespace=service.metadata.namespace or DEFAULT_NAMESPACE,
        name=service.metadata.name,
        port=spec.port,
        app_port=spec.target_port if isinstance(spec.target_port, int) else None,
        protocol=snapshot.Protocol(spec.protocol or snapshot.Protocol.NESTJS),
        algorithm=snapshot.Algorithm(balancing.algorithm or snapshot.Algorithm.LEAST_REQUEST),
        timeouts=timeouts,
        retry=retry,
        retry_constraint=_retry_constraint(spec.retry_constraint or policies.RetryConstraint()),
        limits=_limits(spec.limits or policies.Limits()),
        pool_size=(spec.connection_pool or policies.ConnectionPool()).size or 0,
        drain=_drain(spec.drain or policies.Drain()),
        tracing=_tracing(spec.tracing or policies.Tracing()),
        routes=tuple(_route(route, timeouts, retry) for route in spec.routes or ()),
        endpoints=endpoints,
    )


def _route(route: routes.Route, timeouts: snapshot.Timeouts, retry: snapshot.Retry) -> snapshot.Route:
    match = MatchType(route.match.type)
    pattern = exact_route(route.match.pattern) if match is MatchType.EXACT else route.match.pattern
    assert pattern is not None
    return snapshot.Route(
        name=route.name,
        match=match,
        pattern=pattern,
        idempotent=route.idempotent is True,
        timeouts=_timeouts(timeouts, route.timeouts or policies.Timeouts()),
        retry=_retry(retry, route.retry),
    )


def _service_timeouts(given: policies.ServiceTimeouts) -> snapshot.Timeouts:
    return _timeouts(_filled(snapshot.Timeouts(), connect=_ns(given.connect)), given)


def _timeouts(base: snapshot.Timeouts, given: policies.Timeouts) -> snapshot.Timeouts:
    return _filled(
        base,
        request=_ns(given.request),
        backend_request=_ns(given.backend_request),
        stream_idle=_ns(given.stream_idle),
    )


def _retry(base: snapshot.Retry, given: policies.Retry | None) -> snapshot.Retry:
    given = given or policies.Retry()
    return _filled(base, attempts=given.attempts, backoff=_ns(given.backoff))


def _retry_constraint(given: policies.RetryConstraint) -> snapshot.RetryConstraint:
    budget = given.budget or policies.RetryBudget()
    rate = given.min_retry_rate or policies.RequestRate()
    return _filled(
        snapshot.RetryConstraint(),
        percent=budget.percent,
        interval=_ns(budget.interval),
        min_count=rate.count,
        min_interval=_ns(rate.interval),
    )


def _limits(given: policies.Limits) -> snapshot.Limits:
    size = given.max_frame_size
    return _filled(
        snapshot.Limits(),
        max_frame_size=parse_quantity(size) if isinstance(size, str) else size,
        max_requests_per_replica=given.max_requests_per_replica,
    )


def _drain(given: policies.Drain) -> snapshot.Drain:
    """Fill the times; a longer `timeout` alone draws `streamTimeout` along, which is never the shorter one."""
    drain = _filled(snapshot.Drain(), timeout=_ns(given.timeout), stream_timeout=_ns(given.stream_timeout))
    return _filled(drain, stream_timeout=max(drain.timeout, drain.stream_timeout))


def _tracing(given: policies.Tracing) -> snapshot.Tracing:
    percent = given.sampling_percent
    return _filled(
        snapshot.Tracing(),
        sampled_per_billion=int(Fraction(percent) * 10_000_000) if percent is not None else None,
        slow_threshold=_ns(given.slow_threshold),
    )


def _filled(base: T, **given: int | None) -> T:
    """Take what is given instead of what `base` has."""
    return replace(base, **{name: value for name, value in given.items() if value is not None})


def _ns(text: str | None) -> int | None:
    return None if text is None else parse_duration(text)
