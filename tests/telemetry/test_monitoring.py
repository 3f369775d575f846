"""The dashboard and the alerts are made of metrics that sidecar and operator have, all of them."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from interop.rawpeer import RawReplica
from shell.running import ask, balancing
from tcpservice_operator.api.operator_metrics import OperatorMetrics
from tcpservice_sidecar.metrics import CATALOGUE, HISTOGRAM, SILENCE

MONITORING = Path(__file__).parents[2] / "examples" / "monitoring"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", MONITORING / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_files_are_those_that_are_made(generate: ModuleType) -> None:
    for name, text in generate.files().items():
        assert (MONITORING / name).read_text() == text, f"run {MONITORING / 'generate.py'}"


def test_each_metric_stands_on_the_dashboard_and_no_other(generate: ModuleType) -> None:
    named = set(re.findall(r"\b(?:rpc|tcpservice)_[a-z_]+", str(generate.panels()) + str(generate.alerts())))
    operator = set(OperatorMetrics().names())
    parts = {f"{each.prometheus}{part}" for each in CATALOGUE for part in _parts(each.kind)}
    parts |= {f"{name}{part}" for name in operator for part in ("", "_bucket", "_count")}
    assert named <= parts
    whole = {re.sub("_(bucket|count)$", "", name) for name in named}
    assert {each.prometheus for each in CATALOGUE} | operator == whole


def _parts(kind: str) -> tuple[str, ...]:
    return ("_bucket", "_count", "_sum") if kind == HISTOGRAM else ("",)


def test_an_idle_sidecar_shows_its_gauges() -> None:
    with RawReplica() as replica:
        mesh = ("--mesh", "127.0.0.1:0", "--app", f"orders=127.0.0.1:{replica.port}")
        with balancing(replica, flags=mesh) as sidecar:
            text = ask(sidecar, "/metrics").text
    shown = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    everywhere = {each.prometheus for each in CATALOGUE if each.kind == "gauge" and each is not SILENCE}
    assert shown >= everywhere
    assert re.search(r'tcpservice_build_info{implementation="(compiled|python)",version="[0-9.]+"} 1.0', text)
