"""The exporters of OpenTelemetry, one for each signal and protocol.

Used by `pipeline`. They read their standard variables themselves; gRPC is imported only where it is asked for, as it
takes more memory than all the rest of the sidecar's telemetry.
"""

from __future__ import annotations

import os

from opentelemetry.sdk.metrics.export import MetricExporter
from opentelemetry.sdk.trace.export import SpanExporter

from tcpservice_sidecar.telemetry.variables import GRPC, Export

# gRPC's own code writes to stderr past the log, and waits where nobody reads that.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def span_exporter(export: Export) -> SpanExporter:
    """Make the exporter of spans."""
    if export.protocol == GRPC:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        return GrpcExporter()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

    return HttpExporter()


def metric_exporter(export: Export) -> MetricExporter:
    """Make the exporter of metrics."""
    if export.protocol == GRPC:
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcExporter

        return GrpcExporter()
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpExporter

    return HttpExporter()
