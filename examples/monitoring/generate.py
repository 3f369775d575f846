"""Writes `dashboard.json` (Grafana) and `alerts.yaml` (Prometheus rules) beside itself, from all metrics there are.

Run it after a metric was added or renamed; a test fails while the files do not match.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tcpservice_sidecar import metrics
from tcpservice_sidecar.metrics import Instrument

HERE = Path(__file__).parent
FAILED = 'code!~"ok|cancelled"'
OVERSIZED = 'reason="oversized_frames"'
LOST = 'outcome=~"dropped|failed"'
OPERATOR = "tcpservice_operator_"
REVIEWS = f"{OPERATOR}review_duration_seconds_count"
SERVICE = 'service=~"$service"'


def rate(instrument: Instrument, selector: str = "", *, part: str = "", window: str = "$__rate_interval") -> str:
    """Write the rate of a counter, or of a part of a histogram."""
    chosen = f"{{{selector}}}" if selector else ""
    return f"rate({instrument.prometheus}{part}{chosen}[{window}])"


def quantile(instrument: Instrument, share: float, by: str) -> str:
    """Write a quantile of a histogram by some labels."""
    buckets = rate(instrument, SERVICE, part="_bucket")
    return f"histogram_quantile({share}, sum by (le, {by}) ({buckets}))"


def panels() -> list[dict[str, Any]]:
    """Make the panels: what callers see first, then the replicas, then the sidecars themselves."""
    client, server = metrics.CLIENT_DURATION, metrics.SERVER_DURATION
    count = rate(client, SERVICE, part="_count")
    failed = rate(client, f"{SERVICE}, {FAILED}", part="_count")
    specs: list[tuple[str, str, dict[str, str]]] = [
        ("Messages by route", "ops", {"{{service}} {{route}}": f"sum by (service, route) ({count})"}),
        ("Failures by code", "ops", {"{{service}} {{code}}": f"sum by (service, code) ({failed})"}),
        (
            "Duration, callers' side",
            "s",
            {
                f"p{share * 100:g} {{{{service}}}} {{{{route}}}}": quantile(client, share, "service, route")
                for share in (0.5, 0.99)
            },
        ),
        ("Duration, replicas' side", "s", {"p99 {{service}}": quantile(server, 0.99, "service")}),
        ("Messages at endpoints", "short", {"{{service}}": f"sum by (service) ({metrics.IN_FLIGHT.prometheus})"}),
        ("Messages at the app of each pod", "short", {"{{service}} {{instance}}": metrics.AT_APP.prometheus}),
        (
            "Messages that wait for an endpoint",
            "short",
            {"{{service}}": f"sum by (service) ({metrics.QUEUED.prometheus})"},
        ),
        (
            "Services that can be reached, as sidecars see them",
            "short",
            {"{{service}}": f"min by (service) ({metrics.REACHABLE.prometheus})"},
        ),
        (
            "Endpoints by state, as sidecars see them",
            "short",
            {"{{service}} {{state}}": f"sum by (service, state) ({metrics.ENDPOINTS.prometheus})"},
        ),
        ("Retries", "ops", {"{{service}}": f"sum by (service) ({rate(metrics.RETRIES, SERVICE)})"}),
        ("Dropped", "ops", {"{{reason}}": f"sum by (reason) ({rate(metrics.DROPPED)})"}),
        ("Spans", "ops", {"{{outcome}}": f"sum by (outcome) ({rate(metrics.SPANS)})"}),
        (
            "Connections",
            "short",
            {
                "from callers": f"sum ({metrics.DOWNSTREAM.prometheus})",
                "to endpoints": f"sum ({metrics.CONNECTIONS.prometheus})",
            },
        ),
        ("Age of the oldest state in force", "s", {"oldest": f"max ({metrics.SNAPSHOT_AGE.prometheus})"}),
        ("Silence of the operator", "s", {"longest": f"max ({metrics.SILENCE.prometheus})"}),
        (
            "Operator: TcpServices and streams",
            "short",
            {name: f"max ({OPERATOR}{name})" for name in ("services", "streams")},
        ),
        (
            "Operator: leaders, and TcpServices that wait",
            "short",
            {"leading": f"sum ({OPERATOR}leading)", "waiting": f"sum ({OPERATOR}reconcile_queue)"},
        ),
        ("Operator: duration of a reconcile", "s", {"p99 {{outcome}}": _p99("reconcile_duration_seconds")}),
        ("Operator: duration of an admission review", "s", {"p99 {{outcome}}": _p99("review_duration_seconds")}),
        (
            "Operator: reviews, writes to the API server",
            "ops",
            {
                "reviews {{outcome}}": f"sum by (outcome) (rate({REVIEWS}[$__rate_interval]))",
                "writes": f"sum (rate({OPERATOR}writes_total[$__rate_interval]))",
            },
        ),
        (
            "Operator: TcpServices by condition",
            "short",
            {"{{type}} {{status}}": f"max by (type, status) ({OPERATOR}conditions)"},
        ),
        ("Operator: age of its cache", "s", {"{{kind}}": f"max by (kind) ({OPERATOR}cache_age_seconds)"}),
        (
            "Sidecars by version and implementation",
            "short",
            {"{{version}} {{implementation}}": f"sum by (version, implementation) ({metrics.BUILD.prometheus})"},
        ),
    ]
    return [_panel(place, *spec) for place, spec in enumerate(specs)]


def _p99(histogram: str) -> str:
    """Write the 99th percentile of a histogram of the operator, by outcome."""
    buckets = f"rate({OPERATOR}{histogram}_bucket[$__rate_interval])"
    return f"histogram_quantile(0.99, sum by (le, outcome) ({buckets}))"


def _panel(place: int, title: str, unit: str, queries: dict[str, str]) -> dict[str, Any]:
    return {
        "id": place + 1,
        "type": "timeseries",
        "title": title,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "gridPos": {"x": 12 * (place % 2), "y": 8 * (place // 2), "w": 12, "h": 8},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + number), "expr": query, "legendFormat": legend}
            for number, (legend, query) in enumerate(queries.items())
        ],
    }


def dashboard() -> dict[str, Any]:
    """Make the dashboard, as Grafana imports it."""
    names = f"label_values({metrics.ENDPOINTS.prometheus}, service)"
    variables = [
        {"name": "datasource", "type": "datasource", "query": "prometheus"},
        {
            "name": "service", "type": "query", "query": names, "multi": True, "includeAll": True,
            "datasource": {"type": "prometheus", "uid": "${datasource}"}, "refresh": 2,
        },
    ]  # fmt: skip
    return {
        "uid": "tcpservice",
        "title": "TcpService",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": variables},
        "panels": panels(),
    }


def alerts() -> dict[str, Any]:
    """Make the rules: what should wake somebody, or wait for the morning."""
    client = metrics.CLIENT_DURATION
    failed = rate(client, FAILED, part="_count", window="5m")
    count = rate(client, part="_count", window="5m")
    share = f"sum by (service) ({failed}) / sum by (service) ({count})"
    reachable = metrics.REACHABLE.prometheus
    not_true = f'max (sum by (instance, type) ({OPERATOR}conditions{{type="%s", status="False"}})) > 0'
    rules = [
        _alert("TcpServiceFailing", f"{share} > 0.05", "5m", "critical", "More than 5 % of the messages fail."),
        _alert(
            "TcpServiceWithoutReplica",
            f"max by (service) ({reachable}) == 0",
            "1m",
            "critical",
            "No sidecar can reach an endpoint of the service {{ $labels.service }}. Callers are refused.",
        ),
        _alert(
            "TcpServicePartlyUnreachable",
            f"min by (service) ({reachable}) == 0 and max by (service) ({reachable}) == 1",
            "5m",
            "warning",
            "Some sidecars can reach no endpoint of the service {{ $labels.service }}.",
        ),
        _alert(
            "TcpServiceNotReady",
            not_true % "Ready",
            "5m",
            "critical",
            "{{ $value }} TcpServices have the condition Ready with the status False: kubectl get tcpservices -A",
        ),
        _alert(
            "TcpServiceNotInjected",
            not_true % "Injected",
            "30m",
            "warning",
            "{{ $value }} TcpServices have pods without a sidecar: kubectl get tcpservices -A",
        ),
        _alert(
            "TcpServiceSidecarsBypassed",
            f'sum by (service) ({metrics.ENDPOINTS.prometheus}{{state="fallback"}}) > 0',
            "5m",
            "warning",
            "No sidecar of a service can be reached, so messages go to its apps. Policies must allow port 15801.",
        ),
        _alert(
            "TcpServiceWaiting",
            f"sum by (service) ({metrics.QUEUED.prometheus}) > 0",
            "5m",
            "warning",
            "Messages wait for an endpoint that may receive more: there are too few, or they are too slow.",
        ),
        _alert(
            "TcpServiceRetrying",
            f"sum by (service) ({rate(metrics.RETRIES, window='5m')}) / sum by (service) ({count}) > 0.1",
            "10m",
            "warning",
            "More than 10 % of the messages need a further attempt.",
        ),
        _alert(
            "TcpServiceOversized",
            f"sum ({rate(metrics.DROPPED, OVERSIZED, window='5m')}) > 0",
            "10m",
            "warning",
            "Messages above limits.maxFrameSize are refused.",
        ),
        _alert(
            "TcpServiceOperatorSilent",
            f"max ({metrics.SILENCE.prometheus}) > 60",
            "10m",
            "warning",
            "A sidecar has received nothing from the operator, and resolves replicas by DNS.",
        ),
        _alert(
            "TcpServiceOperatorWithoutLeader",
            f"sum ({OPERATOR}leading) < 1 or absent({OPERATOR}leading)",
            "2m",
            "critical",
            "No replica of the operator is the leader: nothing is written, and certificates are not renewed.",
        ),
        _alert(
            "TcpServiceOperatorCacheOld",
            f"max by (kind) ({OPERATOR}cache_age_seconds) > 180",
            "5m",
            "warning",
            "The operator's watch of {{ $labels.kind }} has received nothing for 3 minutes.",
        ),
        _alert(
            "TcpServiceReconcilesFailing",
            f'sum (rate({OPERATOR}reconcile_duration_seconds_count{{outcome="failed"}}[5m])) > 0',
            "10m",
            "warning",
            "The API server refuses writes of the operator; its log and the status of the TcpServices have the errors.",
        ),
        _alert(
            "TcpServiceReviewsDropped",
            f'sum (rate({OPERATOR}review_duration_seconds_count{{outcome=~"dropped|failed"}}[5m])) > 0',
            "10m",
            "warning",
            "Admission reviews get no response, so pods may start without a sidecar: see the operator's log.",
        ),
        _alert(
            "TcpServiceSpansLost",
            f"sum ({rate(metrics.SPANS, LOST, window='5m')}) > 0",
            "15m",
            "warning",
            "Spans are lost: the collector is too slow, or cannot be reached.",
        ),
    ]
    return {"groups": [{"name": "tcpservice", "rules": rules}]}


def _alert(name: str, expression: str, lasting: str, severity: str, summary: str) -> dict[str, Any]:
    return {
        "alert": name,
        "expr": expression,
        "for": lasting,
        "labels": {"severity": severity},
        "annotations": {"summary": summary},
    }


def files() -> dict[str, str]:
    """Give the text of each file by its name."""
    return {
        "dashboard.json": json.dumps(dashboard(), indent=2) + "\n",
        "alerts.yaml": "# Made by generate.py.\n" + yaml.safe_dump(alerts(), sort_keys=False, width=120),
    }


if __name__ == "__main__":
    for file_name, text in files().items():
        (HERE / file_name).write_text(text)
