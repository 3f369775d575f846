"""The exporters of OpenTelemetry, one for each signal and protocol.

Used by `pipeline`. They read their standard variables themselves; gRPC is imported only where it is asked for, as it
takes more memory than all the rest of the sidecar's telemetry. The exporters of spans are given spans that `spans` has
encoded: what encodes them in the exporters' modules is replaced, since the exporters have no parameter for it.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Protocol

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics.export import MetricExporter
from opentelemetry.sdk.trace.export import SpanExportResult

from tcpservice_sidecar.telemetry.spans import Batch
from tcpservice_sidecar.telemetry.variables import GRPC, Export

# gRPC's own code writes to stderr past the log, and waits where nobody reads that.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")


class BatchExporter(Protocol):
    """What sends encoded spans."""

    def export(self, batch: Batch, /) -> SpanExportResult:
        """Send a batch."""

    def shutdown(self) -> None:
        """Send nothing any more."""


def span_exporter(export: Export) -> BatchExporter:
    """Make the exporter of spans."""
    module: ModuleType
    if export.protocol == GRPC:
        from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as module
    else:
        from opentelemetry.exporter.otlp.proto.http import trace_exporter as module
    assert hasattr(module, "encode_spans")
    setattr(module, "encode_spans", _encoded)  # noqa: B010 - the type of a module has no such attribute
    exporter: BatchExporter = module.OTLPSpanExporter()
    return exporter


def _encoded(batch: Batch) -> ExportTraceServiceRequest:
    return batch.request


def metric_exporter(export: Export) -> MetricExporter:
    """Make the exporter of metrics."""
    if export.protocol == GRPC:
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcExporter

        return GrpcExporter()
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpExporter

    return HttpExporter()
