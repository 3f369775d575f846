"""The `OTEL_*` variables: what is exported where, and one line for what makes no sense."""

from __future__ import annotations

import pytest

from tcpservice_flags import SettingsError
from tcpservice_sidecar.settings import read_settings
from tcpservice_sidecar.telemetry.variables import Export, Telemetry, read_telemetry

FLAGS = ["--upstream", "orders=127.0.0.1:1", "--listen", "orders=127.0.0.1:0"]
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
BOTH = Export(variable="OTEL_EXPORTER_OTLP_ENDPOINT", endpoint="http://collector:4318", protocol="http/protobuf")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, Telemetry()),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, Telemetry()),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, Telemetry()),
        (ENDPOINT, Telemetry(traces=BOTH, metrics=BOTH)),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "TRUE"}, Telemetry()),
        (ENDPOINT | {"OTEL_METRICS_EXPORTER": "none"}, Telemetry(traces=BOTH)),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, Telemetry(metrics=BOTH)),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "collector:4317", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"},
            Telemetry(
                traces=Export(variable="OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint="collector:4317", protocol="grpc")
            ),
        ),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4317"},
            Telemetry(
                traces=Export(
                    variable="OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint="http://collector:4317", protocol="grpc"
                )
            ),
        ),
        (
            ENDPOINT
            | {
                "OTEL_BSP_MAX_QUEUE_SIZE": "10",
                "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "5",
                "OTEL_BSP_SCHEDULE_DELAY": "250",
                "OTEL_METRIC_EXPORT_INTERVAL": "1500",
            },
            Telemetry(traces=BOTH, metrics=BOTH, queue=10, batch=5, spans_every=0.25, metrics_every=1.5),
        ),
    ],
)
def test_what_is_exported(variables: dict[str, str], expected: Telemetry) -> None:
    assert read_telemetry(variables) == expected
    assert read_settings(FLAGS, variables).telemetry == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("OTEL_SDK_DISABLED", "maybe", "true or false"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "otlp or none"),
        ("OTEL_METRICS_EXPORTER", "statsd", "otlp or none or prometheus"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://collector", "a URL such as http://collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://", "a URL such as http://collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:port", "a URL such as http://collector:4318"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://a b", "a URL such as http://collector:4318"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "grpc or http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "udp", "grpc or http/protobuf"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "token", "key=value pairs separated by commas"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=b,c", "key=value pairs separated by commas"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "a number of seconds"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip", "gzip or deflate or none"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/none/ca.pem", "the path of a file that is there"),
        ("OTEL_BSP_SCHEDULE_DELAY", "soon", "a whole number above 0"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "a whole number above 0"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "-1", "a whole number above 0"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1.5", "a whole number above 0"),
    ],
)
def test_nonsense_is_one_line_that_names_the_variable(name: str, value: str, expected: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read_settings(FLAGS, {name: value})
    assert str(raised.value) == f"{name}: expected {expected}, got {value!r}"
