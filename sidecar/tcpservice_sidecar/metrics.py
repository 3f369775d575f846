"""Prometheus metrics: sums over the rows of finished messages, and gauges read when somebody asks.

Used by `app` (rows in) and `admin` (text out).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from tcpservice.exchange import Exchange, Finished

Key = tuple[str, str, str, str]


class Metrics(Collector):
    """What one sidecar has done and is doing."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._messages: Counter[Key] = Counter()
        self._seconds: Counter[Key] = Counter()
        self._retries: Counter[str] = Counter()
        self._swapped = time.monotonic()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def add(self, rows: Iterable[Finished]) -> None:
        """Count finished messages."""
        for row in rows:
            key = (row.service, row.route or "", row.kind, row.code.value)
            self._messages[key] += 1
            self._seconds[key] += row.ended - row.started
            if row.attempts > 1:
                self._retries[row.service] += row.attempts - 1

    def swapped(self) -> None:
        """Note that a snapshot was taken in."""
        self._swapped = time.monotonic()

    def text(self) -> bytes:
        """Write all metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Give the metrics, as prometheus_client asks for them."""
        labels = ["service", "route", "kind", "code"]
        messages = CounterMetricFamily("tcpservice_messages", "Messages that ended, by outcome.", labels=labels)
        seconds = CounterMetricFamily("tcpservice_message_seconds", "Time from arrival to end, summed.", labels=labels)
        for key, count in self._messages.items():
            messages.add_metric(key, count)
            seconds.add_metric(key, self._seconds[key] / 1e9)
        yield messages
        yield seconds
        retries = CounterMetricFamily("tcpservice_retries", "Attempts after the first.", labels=["service"])
        for service, count in self._retries.items():
            retries.add_metric([service], count)
        yield retries
        yield from self._gauges()

    def _gauges(self) -> Iterator[Metric]:
        exchange = self._exchange
        dropped = CounterMetricFamily("tcpservice_dropped", "Frames passed to nobody, by reason.", labels=["reason"])
        for reason, count in exchange.counts().items():
            dropped.add_metric([reason], count)
        yield dropped
        yield GaugeMetricFamily("tcpservice_in_flight", "Messages on their way.", value=exchange.in_flight())
        yield GaugeMetricFamily("tcpservice_callers", "Connections of callers.", value=exchange.connections())
        age = time.monotonic() - self._swapped
        yield GaugeMetricFamily("tcpservice_snapshot_age_seconds", "Time since the last change.", value=age)
        replicas = GaugeMetricFamily("tcpservice_replicas", "Replicas by state.", labels=["service", "state"])
        for service in exchange.services():
            for state, count in Counter(replica.state for replica in service.replicas).items():
                replicas.add_metric([service.service, state], count)
        yield replicas
