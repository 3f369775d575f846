"""The standard `OTEL_*` variables: which signals are exported, and whether what they say makes sense.

Used by `settings`. OpenTelemetry's own code reads them again, but takes nonsense silently or fails deep inside; here
each wrong one is one line that names it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

GRPC: Final = "grpc"
HTTP: Final = "http/protobuf"
_GRPC_PORT: Final = 4317

_URL: Final = "a URL such as http://collector:4318"
_PAIRS: Final = "key=value pairs separated by commas"
_PAIR = re.compile(r"\s*[^\s=,]+\s*=[^,]*")


class WrongVariable(ValueError):
    """A variable that makes no sense; the text names it and says what is expected."""

    def __init__(self, name: str, expected: str, value: str) -> None:
        super().__init__(f"{name}: expected {expected}, got {value!r}")
        self.name = name


class Export(Struct, frozen=True, kw_only=True):
    """Where one signal goes: the variable that named the collector, its address, and the protocol to speak."""

    variable: str
    endpoint: str
    protocol: str


class Telemetry(Struct, frozen=True, kw_only=True):
    """What is exported; None is nothing. Times in seconds, `queue` and `batch` in spans.

    `ignored` names the variables that were wrong: OpenTelemetry's own code must not see them either.
    """

    traces: Export | None = None
    metrics: Export | None = None
    queue: int = 2048
    batch: int = 512
    spans_every: float = 5.0
    metrics_every: float = 60.0
    ignored: tuple[str, ...] = ()


def read_telemetry(variables: Mapping[str, str]) -> Telemetry:
    """Read the variables. Raises WrongVariable."""
    given = {name: value.strip() for name, value in variables.items() if name.startswith("OTEL_") and value.strip()}
    for name, value in given.items():
        check = _CHECKS.get(name)
        expected = check(value) if check else None
        if expected is not None:
            raise WrongVariable(name, expected, value)
    if given.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return Telemetry()
    return Telemetry(
        traces=_export(given, "TRACES"),
        metrics=_export(given, "METRICS"),
        queue=int(given.get("OTEL_BSP_MAX_QUEUE_SIZE", 2048)),
        batch=int(given.get("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512)),
        spans_every=int(given.get("OTEL_BSP_SCHEDULE_DELAY", 5000)) / 1000,
        metrics_every=int(given.get("OTEL_METRIC_EXPORT_INTERVAL", 60_000)) / 1000,
    )


def _export(given: Mapping[str, str], signal: str) -> Export | None:
    if given.get(f"OTEL_{signal}_EXPORTER", "otlp") != "otlp":
        return None
    for variable in (f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        if variable in given:
            common = given.get("OTEL_EXPORTER_OTLP_PROTOCOL") or _protocol_at(given[variable])
            protocol = given.get(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", common)
            return Export(variable=variable, endpoint=given[variable], protocol=protocol)
    return None


def _protocol_at(endpoint: str) -> str:
    """Return the protocol of an endpoint where none is given: gRPC at its own port, where nothing else is spoken."""
    port = urlsplit(endpoint if "//" in endpoint else f"http://{endpoint}").port
    return GRPC if port == _GRPC_PORT else HTTP


def _one_of(*allowed: str) -> Callable[[str], str | None]:
    return lambda value: None if value.lower() in allowed else " or ".join(allowed)


def _url(value: str) -> str | None:
    try:
        parts = urlsplit(value if "//" in value else f"http://{value}")
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    return None if sound and not re.search(r"\s", value) else _URL


def _whole(value: str) -> str | None:
    return None if value.isdecimal() and int(value) > 0 else "a whole number above 0"


def _number(value: str) -> str | None:
    return None if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value) else "a number of seconds"


def _pairs(value: str) -> str | None:
    return None if all(_PAIR.fullmatch(pair) for pair in value.split(",") if pair.strip()) else _PAIRS


def _readable(value: str) -> str | None:
    return None if Path(value).is_file() else "the path of a file that is there"


_SIGNALS: Final = ("", "TRACES_", "METRICS_")
_CHECKS: Final[dict[str, Callable[[str], str | None]]] = {
    "OTEL_SDK_DISABLED": _one_of("true", "false"),
    "OTEL_TRACES_EXPORTER": _one_of("otlp", "none"),
    "OTEL_METRICS_EXPORTER": _one_of("otlp", "none", "prometheus"),
    "OTEL_RESOURCE_ATTRIBUTES": _pairs,
    "OTEL_BSP_MAX_QUEUE_SIZE": _whole,
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": _whole,
    "OTEL_BSP_SCHEDULE_DELAY": _whole,
    "OTEL_METRIC_EXPORT_INTERVAL": _whole,
    **{f"OTEL_EXPORTER_OTLP_{signal}ENDPOINT": _url for signal in _SIGNALS},
    **{f"OTEL_EXPORTER_OTLP_{signal}PROTOCOL": _one_of(GRPC, HTTP) for signal in _SIGNALS},
    **{f"OTEL_EXPORTER_OTLP_{signal}HEADERS": _pairs for signal in _SIGNALS},
    **{f"OTEL_EXPORTER_OTLP_{signal}TIMEOUT": _number for signal in _SIGNALS},
    **{f"OTEL_EXPORTER_OTLP_{signal}COMPRESSION": _one_of("gzip", "deflate", "none") for signal in _SIGNALS},
    **{f"OTEL_EXPORTER_OTLP_{signal}CERTIFICATE": _readable for signal in _SIGNALS},
    **{f"OTEL_EXPORTER_OTLP_{signal}CLIENT_CERTIFICATE": _readable for signal in _SIGNALS},
    **{f"OTEL_EXPORTER_OTLP_{signal}CLIENT_KEY": _readable for signal in _SIGNALS},
}
