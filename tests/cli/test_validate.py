"""`tcpservice validate` and `explain`: without a cluster, and in words that help."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tcpservice_operator.api.fields import fields

ROOT = Path(__file__).parents[2]
SHOP = ROOT / "examples" / "orders"


def run(*words: str, text: str = "") -> tuple[int, str, str]:
    command = [str(Path(sys.executable).with_name("tcpservice")), *words]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def test_good_manifests_are_counted() -> None:
    code, out, error = run("validate", "-f", str(SHOP))
    assert (code, error) == (0, "")
    assert out.startswith("valid: 3 TcpServices, 4 Deployments, 3 Services, 1 ConfigMap\n")


def test_each_problem_is_a_line_with_its_place(tmp_path: Path) -> None:
    text = (SHOP / "orders.yaml").read_text().replace("port: 3001", "port: 0")
    path = tmp_path / "orders.yaml"
    path.write_text(text)
    code, out, error = run("validate", "-f", str(path))
    assert (code, out) == (1, "")
    assert error.startswith(f"{path}:7: TcpService shop/orders: spec.port: expected a port")
    assert error.endswith("\n2 problems\n")
    assert run("validate", "-f", "-", text=text)[2].startswith("stdin:7: TcpService shop/orders: spec.port:")


def test_what_is_not_checked_is_named() -> None:
    code, out, _ = run("validate", "-f", "-", text="apiVersion: batch/v1\nkind: Job\nmetadata: {name: a}\n")
    assert (code, out) == (0, "no TcpService, Deployment, Service or ConfigMap in -\nnot checked: stdin: Job a\n")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["validate"], "tcpservice validate: give manifests: -f PATH, or -k FOLDER (see tcpservice validate --help)\n"),
        (["validate", "-f", "none"], 'there is no file or folder "none"'),
        (["explain", "slowTreshold"], 'has no field "slowTreshold"; did you mean spec.tracing.slowThreshold?'),
        (["explain", "interval"], 'several fields "interval"; give one of these: spec.retryConstraint.budget.interval'),
        (["explain", "xyzzy"], "tcpservice explain --recursive lists all"),
    ],
)
def test_a_wrong_call_is_one_line(words: list[str], error: str) -> None:
    code, out, found = run(*words)
    assert (code, out) == (2, "")
    assert error in found
    assert found.count("\n") == 1


@pytest.mark.parametrize("name", ["spec.timeouts.request", "tcpservice.spec.timeouts.request", "slowThreshold", "spec"])
def test_a_field_is_explained(name: str) -> None:
    code, out, _ = run("explain", name)
    assert code == 0
    assert out.splitlines()[0].startswith(f"spec{'.' if name != 'spec' else ' '}")
    assert len(out.splitlines()[1].strip()) > 10


def test_every_field_has_a_meaning_and_is_listed() -> None:
    every = fields()
    assert all(field.description for field in every)
    _, out, _ = run("explain", "--recursive")
    assert all(f"{field.name} <{field.type}>" in out for field in every[2:])
