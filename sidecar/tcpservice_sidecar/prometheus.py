"""Metrics in Prometheus' text format.

Used by `admin` for `/metrics`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, groupby

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from tcpservice_sidecar.metrics import COUNTER, HISTOGRAM, SECONDS, Instrument, Point

_BOUNDS = [*(str(bound) for bound in SECONDS), "+Inf"]


class Exposition(Collector):
    """Writes what `points` gives; the points of one instrument must stand together."""

    def __init__(self, points: Callable[[], Iterable[Point]]) -> None:
        self._points = points
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """Write all metrics."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Give the metrics, as prometheus_client asks for them."""
        for instrument, points in groupby(self._points(), key=lambda point: point.instrument):
            yield _family(instrument, points)


def _family(instrument: Instrument, points: Iterable[Point]) -> Metric:
    name = instrument.prometheus
    if instrument.kind == HISTOGRAM:
        histogram = HistogramMetricFamily(name, instrument.help, labels=instrument.labels)
        for point in points:
            buckets = list(zip(_BOUNDS, accumulate(point.buckets), strict=True))
            histogram.add_metric(point.labels, buckets, sum_value=point.value)
        return histogram
    make = CounterMetricFamily if instrument.kind == COUNTER else GaugeMetricFamily
    family = make(name, instrument.help, labels=instrument.labels)
    for point in points:
        family.add_metric(point.labels, point.value)
    return family
