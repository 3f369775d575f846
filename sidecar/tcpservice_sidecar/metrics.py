"""Metrics: sums over the rows of finished messages, and gauges read when somebody asks.

Used by `app` (rows in), `admin` (Prometheus) and `telemetry` (OTLP): one catalogue of what there is, from which the
dashboard and the alerts in `examples/monitoring` are made, too. `Durations` of the core counts each
message.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from tcpservice import __version__, implementation
from tcpservice.exchange import Durations, Exchange
from tcpservice.exchange.views import REMOVED

SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The upper bounds of the histograms' buckets; the last bucket has none."""

_NANOSECONDS: Final = tuple(int(bound * 1e9) for bound in SECONDS)

HISTOGRAM: Final = "histogram"
COUNTER: Final = "counter"
GAUGE: Final = "gauge"


class Instrument(NamedTuple):
    """One metric: its name as OpenTelemetry writes it, what it counts, in which unit, and by which labels."""

    name: str
    kind: str
    unit: str
    help: str
    labels: tuple[str, ...] = ()

    @property
    def prometheus(self) -> str:
        """The name as Prometheus writes it."""
        base = self.name.replace(".", "_") + ("_seconds" if self.unit == "s" else "")
        return base + ("_total" if self.kind == COUNTER else "")


_REACHABLE: Final = "reachable"
_MESSAGE: Final = ("service", "route", "kind", "code")

CLIENT_DURATION: Final = Instrument(
    "rpc.client.call.duration", HISTOGRAM, "s", "Messages of callers, from arrival to end.", _MESSAGE
)
SERVER_DURATION: Final = Instrument(
    "rpc.server.call.duration", HISTOGRAM, "s", "Messages that other sidecars sent to the app here.", _MESSAGE
)
RETRIES: Final = Instrument("tcpservice.retries", COUNTER, "1", "Attempts after the first.", ("service",))
DROPPED: Final = Instrument("tcpservice.dropped", COUNTER, "1", "What was dropped or could not be used.", ("reason",))
SPANS: Final = Instrument("tcpservice.spans", COUNTER, "1", "Spans, by outcome.", ("outcome",))
IN_FLIGHT: Final = Instrument("tcpservice.in_flight", GAUGE, "1", "Messages that endpoints have.", ("service",))
AT_APP: Final = Instrument("tcpservice.app_in_flight", GAUGE, "1", "Messages that the pod's app has.", ("service",))
QUEUED: Final = Instrument(
    "tcpservice.queued_messages", GAUGE, "1", "Messages that wait for an endpoint that can take them.", ("service",)
)
REACHABLE: Final = Instrument(
    "tcpservice.reachable", GAUGE, "1", "1 if an endpoint of the service can be reached, else 0.", ("service",)
)
ENDPOINTS: Final = Instrument("tcpservice.endpoints", GAUGE, "1", "Endpoints by state.", ("service", "state"))
CONNECTIONS: Final = Instrument(
    "tcpservice.upstream_connections", GAUGE, "1", "Established connections to endpoints.", ("service",)
)
DOWNSTREAM: Final = Instrument("tcpservice.downstream_connections", GAUGE, "1", "Connections of callers.")
SNAPSHOT_AGE: Final = Instrument("tcpservice.snapshot_age", GAUGE, "s", "Time since services or endpoints changed.")
SILENCE: Final = Instrument(
    "tcpservice.discovery_silence", GAUGE, "s", "Time since the operator sent something; only in a cluster."
)
BUILD: Final = Instrument("tcpservice.build_info", GAUGE, "1", "Always 1.", ("version", "implementation"))

CATALOGUE: Final = (
    CLIENT_DURATION, SERVER_DURATION, RETRIES, DROPPED, SPANS, IN_FLIGHT, AT_APP, QUEUED, REACHABLE, ENDPOINTS,
    CONNECTIONS, DOWNSTREAM, SNAPSHOT_AGE, SILENCE, BUILD,
)  # fmt: skip


class Point(NamedTuple):
    """One value of an instrument, by its labels' values; of a histogram, the counts of its buckets and the sum."""

    instrument: Instrument
    labels: tuple[str, ...]
    value: float
    buckets: tuple[int, ...] = ()


class Metrics:
    """What one sidecar has done and is doing."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._durations = Durations(_NANOSECONDS)
        self.add = self._durations.add
        self.spans: Counter[str] = Counter()
        self.started = time.time_ns()
        self._swapped = time.monotonic()
        self.silence: Callable[[], float] | None = None

    def swapped(self) -> None:
        """Note that a snapshot was taken in."""
        self._swapped = time.monotonic()

    def points(self) -> Iterator[Point]:
        """Give every value there is now, instrument by instrument."""
        for mesh, instrument in ((False, CLIENT_DURATION), (True, SERVER_DURATION)):
            for (at_app, service, route, kind, code), series in self._durations.series.items():
                if at_app is mesh:
                    labels = (service, route or "", kind, str(code))
                    yield Point(instrument, labels, series.total / 1e9, tuple(series.counts))
        for service, count in self._durations.retries.items():
            yield Point(RETRIES, (service,), count)
        counts = self._exchange.counts()
        over = counts.pop("spans_over_limit", 0)
        for reason, count in counts.items():
            yield Point(DROPPED, (reason,), count)
        for outcome, count in {**self.spans, "over_limit": over}.items():
            yield Point(SPANS, (outcome,), count)
        yield from self._gauges()

    def _gauges(self) -> Iterator[Point]:
        exchange = self._exchange
        services = exchange.services()
        for seen in services:
            yield Point(IN_FLIGHT, (seen.service,), sum(endpoint.in_flight for endpoint in seen.endpoints))
        for seen in exchange.apps():
            yield Point(AT_APP, (seen.service,), sum(endpoint.in_flight for endpoint in seen.endpoints))
        for seen in services:
            yield Point(QUEUED, (seen.service,), seen.waiting)
        for seen in services:
            if seen.state != REMOVED:
                yield Point(REACHABLE, (seen.service,), int(seen.state == _REACHABLE))
        for seen in services:
            for state, count in Counter(endpoint.state for endpoint in seen.endpoints).items():
                yield Point(ENDPOINTS, (seen.service, state), count)
        for seen in services:
            yield Point(CONNECTIONS, (seen.service,), sum(endpoint.connected for endpoint in seen.endpoints))
        yield Point(DOWNSTREAM, (), exchange.connections())
        yield Point(SNAPSHOT_AGE, (), time.monotonic() - self._swapped)
        if self.silence is not None:
            yield Point(SILENCE, (), self.silence())
        yield Point(BUILD, (__version__, implementation.running()), 1)
