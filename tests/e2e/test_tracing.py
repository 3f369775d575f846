"""One trace over two sidecars and the app, in a collector that runs in a pod."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import yaml

from e2e.cluster import TAG, Cluster, wait_for
from e2e.load import Load
from e2e.manifests import caller, replicas, service, tcp_service

CONFIG = {
    "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": "0.0.0.0:4317"}, "http": {"endpoint": "0.0.0.0:4318"}}}},
    "exporters": {"file": {"path": "/out/traces.json", "flush_interval": "50ms"}},
    "service": {
        "telemetry": {"metrics": {"level": "none"}},
        "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["file"]}},
    },
}


def collector(namespace: str) -> list[dict[str, Any]]:
    """Make a collector that writes what it gets into a file."""
    labels, metadata = {"app": "collector"}, {"name": "collector", "namespace": namespace}
    container = {
        "name": "collector", "image": f"collector:{TAG}", "args": ["--config=/etc/collector/config.yaml"],
        "readinessProbe": {"tcpSocket": {"port": 4317}, "periodSeconds": 1},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/collector"}, {"name": "out", "mountPath": "/out"}],
    }  # fmt: skip
    volumes = [{"name": "config", "configMap": {"name": "collector"}}, {"name": "out", "emptyDir": {}}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], "volumes": volumes}}
    ports = [{"name": "grpc", "port": 4317}, {"name": "http", "port": 4318}]
    config = {"config.yaml": yaml.safe_dump(CONFIG)}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": config},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": labels, "ports": ports}},
        {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        },
    ]  # fmt: skip


def traces(text: str) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """Return the spans of each trace, each with the name of its service."""
    found: dict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
    for line in text.splitlines():
        for resource in json.loads(line)["resourceSpans"]:
            attributes = {each["key"]: each["value"] for each in resource["resource"]["attributes"]}
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    found[span["traceId"]].append((attributes["service.name"]["stringValue"], span))
    return found


def test_one_trace_over_both_sidecars_and_the_app(cluster: Cluster) -> None:
    with cluster.namespace("e2e-traces") as there:
        cluster.apply(*collector(there))
        cluster.rolled_out(there, "collector")
        cluster.install(f"otlpEndpoint=http://collector.{there}:4318")
        try:
            environment = [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": f"http://collector.{there}:4318"}]
            traced = tcp_service(there, tracing={"samplingPercent": "100"})
            cluster.apply(service(there), traced, replicas(there, env=environment), caller(there))
            cluster.rolled_out(there, "orders", "web")
            with Load(there, total=30, window=3, mix={"traced": 1}) as load:
                report = load.report()
            assert not report.failed, report

            def written() -> list[list[tuple[str, dict[str, Any]]]]:
                text = cluster.kubectl("exec", "-n", there, "deployment/collector", "--", "cat", "/out/traces.json")
                names = {"web", "orders", "orders-app"}
                return [spans for spans in traces(text).values() if {name for name, _ in spans} == names]

            (spans, *_) = wait_for("traces are written", written)
            for name, span in spans:
                print(name, span["name"], span["kind"], span["spanId"], "in", span.get("parentSpanId", ""))
            by_id = {span["spanId"]: (name, span) for name, span in spans}
            (app,) = [span for name, span in spans if name == "orders-app"]
            chain, at = [], app
            while at.get("parentSpanId"):
                name, at = by_id[at["parentSpanId"]]
                chain.append(name)
            assert chain == ["orders", "web"], "the app's span, in its sidecar's, in the caller's sidecar's"
            assert len(by_id) == len(spans) == 3
        finally:
            cluster.install()
