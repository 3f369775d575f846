"""OpenTelemetry: finished spans and metrics, sent to a collector over OTLP.

Used by `app`, and the only place that imports `opentelemetry`, which it does only when a collector is named: without
one, a sidecar pays neither the time nor the memory. Standard `OTEL_*` variables say where and how (`variables`). What
leaves is plain data first (`tcpservice.exchange.Span`, `metrics.Point`), so that all of it can be tested without a
collector.
"""
