"""A real OpenTelemetry Collector that writes what it gets into a file, which the tests read back.

It is built from its Go modules by the project's own builder, once, into `build/collector`.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from interop.processes import Child

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build" / "collector"
BUILDER = "go.opentelemetry.io/collector/cmd/builder@v0.120.0"
SECONDS = 20.0

CONFIG = """\
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: "127.0.0.1:{grpc}"}}
      http: {{endpoint: "127.0.0.1:{http}"}}
exporters:
  file/traces: {{path: "{folder}/traces.json", flush_interval: 50ms}}
  file/metrics: {{path: "{folder}/metrics.json", flush_interval: 50ms}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [file/traces]}}
    metrics: {{receivers: [otlp], exporters: [file/metrics]}}
"""


def program() -> Path:
    """Return the collector's program, built if need be; skip where there is no Go."""
    path = BUILD / "otelcol"
    if path.exists():
        return path
    if shutil.which("go") is None:
        pytest.skip("go is not installed: the OpenTelemetry Collector of these tests is built with it")
    BUILD.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "builder.yaml", BUILD)
    _run("go", "install", BUILDER)
    _run(str(BUILD / "bin" / "builder"), "--config=builder.yaml", "--skip-strict-versioning")
    return path


def _run(*command: str) -> None:
    environment = {**os.environ, "GOBIN": str(BUILD / "bin"), "CGO_ENABLED": "0"}
    done = subprocess.run(command, cwd=BUILD, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


class Recorded(NamedTuple):
    """One span as the collector wrote it."""

    trace: str
    span: str
    parent: str
    name: str
    kind: str
    error: str | None
    attributes: dict[str, Any]
    events: tuple[dict[str, Any], ...]
    resource: dict[str, Any]
    nanoseconds: int


class Collector:
    """The running collector."""

    def __init__(self, folder: Path, grpc: int, http: int) -> None:
        self._folder = folder
        self.grpc = f"http://127.0.0.1:{grpc}"
        self.http = f"http://127.0.0.1:{http}"

    def environment(self, protocol: str = "http/protobuf", **more: str) -> dict[str, str]:
        """Return the variables that send a sidecar's telemetry here, soon."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.grpc if protocol == "grpc" else self.http,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "OTEL_METRIC_EXPORT_INTERVAL": "200",
            **more,
        }

    def spans(self) -> list[Recorded]:
        """Return all spans that it has written."""
        return [
            _recorded(span, _values(resource["resource"]["attributes"]))
            for line in self._lines("traces.json")
            for resource in line["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]

    def metrics(self) -> dict[str, list[tuple[dict[str, Any], Any]]]:
        """Return the last points of each metric, with their attributes."""
        found: dict[str, list[tuple[dict[str, Any], Any]]] = {}
        for line in self._lines("metrics.json"):
            for resource in line["resourceMetrics"]:
                for metric in resource["scopeMetrics"][0]["metrics"]:
                    data = metric.get("histogram") or metric.get("sum") or metric.get("gauge")
                    found[metric["name"]] = [(_values(p.get("attributes", [])), p) for p in data["dataPoints"]]
        return found

    def wait_for(self, count: int) -> list[Recorded]:
        """Wait until so many spans were written, and make sure that no more follow."""
        wait_until(lambda: len(self.spans()) >= count, f"{count} spans, got {self.spans()}")
        time.sleep(0.3)
        spans = self.spans()
        assert len(spans) == count, spans
        return spans

    def _lines(self, name: str) -> list[dict[str, Any]]:
        path = self._folder / name
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]


@contextmanager
def collecting(folder: Path) -> Iterator[Collector]:
    """Run a collector that writes into the folder."""
    with ExitStack() as stack:
        yield _started(folder, stack)


def _started(folder: Path, stack: ExitStack) -> Collector:
    """Start a collector; again at other ports if another process took one of them just now."""
    config = folder / "collector.yaml"
    while True:
        grpc, http = _free_ports()
        config.write_text(CONFIG.format(grpc=grpc, http=http, folder=folder))
        child = stack.enter_context(Child([str(program()), f"--config={config}"]))
        if _has_begun(child, http):
            return Collector(folder, grpc, http)
        assert "address already in use" in child.stderr, child.stderr


def _has_begun(child: Child, port: int) -> bool:
    """Wait until a collector listens, or has ended; return whether it listens."""
    wait_until(lambda: not child.alive or _listens(port), "the collector listens")
    return child.alive


def wait_until(holds: Callable[[], object], what: str) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not within {SECONDS:g} s: {what}"
        time.sleep(0.05)


def _free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _values(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    return {each["key"]: next(iter(each["value"].values())) for each in attributes}


def _recorded(span: dict[str, Any], resource: dict[str, Any]) -> Recorded:
    kinds = {2: "server", 3: "client"}
    return Recorded(
        trace=span["traceId"],
        span=span["spanId"],
        parent=span.get("parentSpanId", ""),
        name=span["name"],
        kind=kinds[span["kind"]],
        error=span.get("status", {}).get("message"),
        attributes=_values(span.get("attributes", [])),
        events=tuple({"name": e["name"], **_values(e["attributes"])} for e in span.get("events", [])),
        resource=resource,
        nanoseconds=int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"]),
    )
