"""The operator's metrics, by Prometheus' client library: each is defined here, and counted where it happens.

Used by `main`, which makes one set for a process and gives it to the parts that count, and by `http.servers`, which
exposes it. `examples/monitoring` has a dashboard and alerts made of these metrics.
"""

from __future__ import annotations

import time
from collections import Counter as Count
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

_PREFIX: Final = "tcpservice_operator_"
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class OperatorMetrics:
    """The metrics of one process. Gauges that are computed when they are read get their function from `main`.

    `conditions` returns the type and the status of each condition of each TcpService.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self.registry)
        self.conditions: Callable[[], Iterable[tuple[str, str]]] = tuple
        self.registry.register(_Conditions(self))
        self.leading = self._gauge("leading", "1 if this replica of the operator is the leader, else 0.")
        self.services = self._gauge("services", "Number of TcpServices that the operator works with.")
        self.streams = self._gauge("streams", "Number of open discovery streams of sidecars.")
        self.queue = self._gauge("reconcile_queue", "Number of TcpServices that wait to be reconciled.")
        self.cache_age = Gauge(
            f"{_PREFIX}cache_age_seconds",
            "Seconds since the API server last sent an event or a bookmark for a kind of objects.",
            ["kind", "namespace"], registry=self.registry,
        )  # fmt: skip
        self.reconciles = self._histogram(
            "reconcile_duration_seconds",
            "Duration of a reconcile of one TcpService, in seconds; outcome: ok or failed.",
        )
        self.reviews = self._histogram(
            "review_duration_seconds",
            "Duration of an admission review, in seconds; outcome: injected, left_alone (no sidecar is needed or "
            "possible), dropped (too large, too slow or too many) or failed.",
        )
        self.writes = Counter(f"{_PREFIX}writes", "Number of writes to the API server.", registry=self.registry)
        self._heard: dict[tuple[str, str], float] = {}

    def hear(self, kind: str, namespace: str) -> None:
        """Note that the API server sent something of a kind of objects in a namespace, or in all ("")."""
        watched = kind, namespace
        if watched not in self._heard:
            self.cache_age.labels(*watched).set_function(lambda: time.monotonic() - self._heard[watched])
        self._heard[watched] = time.monotonic()

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def names(self) -> Iterable[str]:
        """Yield the names of the operator's own metrics, as Prometheus has them."""
        for family in self.registry.collect():
            if family.name.startswith(_PREFIX):
                yield family.name + "_total" * (family.type == "counter")

    def _gauge(self, name: str, description: str) -> Gauge:
        return Gauge(_PREFIX + name, description, registry=self.registry)

    def _histogram(self, name: str, description: str) -> Histogram:
        return Histogram(_PREFIX + name, description, ["outcome"], registry=self.registry, buckets=_SECONDS)


class _Conditions(Collector):
    """Counts the TcpServices by the status of each condition when Prometheus asks: a bounded number of series."""

    def __init__(self, metrics: OperatorMetrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """Give the counts."""
        description = "Number of TcpServices that have a condition with this status: True, False or Unknown."
        family = GaugeMetricFamily(f"{_PREFIX}conditions", description, labels=["type", "status"])
        for labels, count in sorted(Count(self._metrics.conditions()).items()):
            family.add_metric(labels, count)
        yield family
