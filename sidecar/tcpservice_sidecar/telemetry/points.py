"""From the sidecar's metrics to OpenTelemetry's, as its exporters take them.

Used by `pipeline`. The sums are kept by `metrics`, since recording each message with OpenTelemetry's own instruments
would cost as much as balancing it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Final, cast

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource

from tcpservice_sidecar.metrics import COUNTER, HISTOGRAM, SECONDS, Instrument, Point
from tcpservice_sidecar.telemetry.spans import SCHEMA, SCOPE, SYSTEM

_CUMULATIVE: Final = AggregationTemporality.CUMULATIVE
_NAMES: Final = {"code": "error.type", "route": "rpc.method"}
_UNNAMED: Final = {"error.type": "ok", "rpc.method": ""}


def to_otel(points: Iterable[Point], started: int, now: int, resource: Resource) -> MetricsData:
    """Make OpenTelemetry's metrics; times in nanoseconds since 1970."""
    metrics = [
        _metric(instrument, list(group), started, now)
        for instrument, group in groupby(points, key=lambda point: point.instrument)
    ]
    return MetricsData([ResourceMetrics(resource, [ScopeMetrics(SCOPE, metrics, SCHEMA)], SCHEMA)])


def _metric(instrument: Instrument, points: list[Point], started: int, now: int) -> Metric:
    if instrument.kind == HISTOGRAM:
        data: Histogram | Sum | Gauge = Histogram([_durations(point, started, now) for point in points], _CUMULATIVE)
    else:
        numbers = [NumberDataPoint(_labels(point), started, now, point.value) for point in points]
        data = Sum(numbers, _CUMULATIVE, True) if instrument.kind == COUNTER else Gauge(numbers)
    return Metric(instrument.name, instrument.help, instrument.unit, data)


def _durations(point: Point, started: int, now: int) -> HistogramDataPoint:
    attributes = {"rpc.system.name": SYSTEM, **_labels(point)}
    count = sum(point.buckets)
    no_extreme = cast("float", None)  # the protocol's min and max are optional, only the type is not
    return HistogramDataPoint(
        attributes, started, now, count, point.value, point.buckets, SECONDS, no_extreme, no_extreme
    )


def _labels(point: Point) -> dict[str, str]:
    """Give the labels under the names of the semantic conventions where there are such; what is not there is left out.

    A message that ended well has no `error.type`, one of no route in the manifest no `rpc.method`.
    """
    named = {_NAMES.get(name, f"tcpservice.{name}"): value for name, value in zip(
        point.instrument.labels, point.labels, strict=True
    )}  # fmt: skip
    return {name: value for name, value in named.items() if _UNNAMED.get(name) != value}
