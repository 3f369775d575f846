"""`tcpservice ps`, `logs`, `traces` and `restart` beside a running `up`; and manifests from stdin and kustomize."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.manifests import deployment, tcp_service, write
from local.running import COMMAND, MARK, SECONDS, Up, left_behind, runs, send, wait_until


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    assert left_behind() == []
    yield
    wait_until(lambda: not left_behind(), f"processes are left: {left_behind()}")


def ask(*words: str) -> tuple[int, str]:
    """Run a command beside `up`; return its exit status and what it printed."""
    done = subprocess.run(
        [COMMAND, *words],
        env={**os.environ, "TMPDIR": runs(), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def shown(*words: str) -> Any:
    """Run a command with `-o json`; return what it printed."""
    code, text = ask(*words, "-o", "json")
    assert code == 0, text
    return json.loads(text)


def manifests(path: Path, name: str = "orders", port: int = 4661, replicas: int = 2) -> Path:
    return write(path, tcp_service(name, port), deployment(name, replicas=replicas))


@pytest.mark.parametrize("command", [["ps"], ["logs"], ["traces"], ["restart", "orders-1"]])
def test_without_a_run_the_message_says_how_to_start_one(command: list[str]) -> None:
    assert ask(*command) == (1, "tcpservice: no `tcpservice up` is running; start one with: tcpservice up -f FOLDER\n")


def test_what_runs_its_logs_and_its_traces(tmp_path: Path) -> None:
    with Up("-f", str(manifests(tmp_path / "a.yaml"))) as up:
        pids = up.await_ready("orders-1", "orders-2")
        code, text = ask("ps")
        assert code == 0
        assert text.splitlines()[:2] == ["SERVICE   ADDRESS", "orders    127.0.0.1:4661"]
        assert text.splitlines()[4].split()[:4] == ["orders-1", "ready", str(pids["orders-1"]), "0"]
        assert [each["workload"] for each in shown("ps")[0]["replicas"]] == ["orders", "orders"]

        assert ask("logs", "orders-1", "--grep", "listens") == (0, "orders-1 | orders-1 listens\n")
        assert sorted(ask("logs", "orders", "--grep", "listens$")[1].splitlines()) == [
            "orders-1 | orders-1 listens",
            "orders-2 | orders-2 listens",
        ]
        assert ask("logs", "--tail", "1")[1].count("\n") == 1
        code, text = ask("logs", "stock")
        assert (code, text) == (
            1,
            'tcpservice: there is no replica or Deployment "stock"; there is: orders, orders-1, orders-2\n',
        )

        assert send("orders", "count", "2") == (0, [0, 1])
        assert send("orders", "fail", '{"id": 7}')[0] == 1
        wait_until(lambda: len(shown("traces")) == 2, "both messages are traced")
        wait_until(lambda: len(shown("traces", "--failed")) == 1, "one failed")
        (trace,) = shown("traces", "--failed")
        wait_until(lambda: len(shown("traces", trace["trace_id"])[0]["spans"]) > 1, "all spans are there")
        code, text = ask("traces", trace["trace_id"][:8])
        assert code == 0
        assert '  data      {"id": 7}\n  error     {"status": "error", "message": "as asked"}\n' in text
        assert ask("traces", "--failed")[1].splitlines()[1].endswith("rpc_exception: as asked")
        assert ask("traces", "ffff")[1].startswith("tcpservice: no trace begins with 'ffff'")

        manifests(tmp_path / "a.yaml", replicas=1)
        wait_until(lambda: len(shown("ps")[0]["replicas"]) == 1, "one replica has ended")
        assert ask("logs", "orders-2", "--grep", "listens") == (0, "orders-2 | orders-2 listens\n")


def test_a_deployment_is_restarted_one_replica_after_the_other(tmp_path: Path) -> None:
    with Up("-f", str(manifests(tmp_path / "a.yaml"))) as up:
        pids = up.await_ready("orders-1", "orders-2")
        code, text = ask("restart", "orders")
        assert code == 0, text
        assert [line.split()[0] for line in text.splitlines()] == ["orders-1", "orders-2"]
        now = {each["name"]: each["pid"] for each in shown("ps")[0]["replicas"]}
        assert now.keys() == pids.keys()
        assert all(now[name] != pid for name, pid in pids.items())
        code, text = ask("restart", "orders-2")
        assert (code, text.count("\n")) == (0, 1)
        assert ask("restart", "orders-3")[1].startswith('tcpservice: there is no replica or Deployment "orders-3"')


def test_logs_are_followed_until_the_run_ends(tmp_path: Path) -> None:
    with Up("-f", str(manifests(tmp_path / "a.yaml", replicas=1))) as up:
        up.await_ready("orders-1")
        variables = {**os.environ, MARK: str(os.getpid()), "TMPDIR": runs()}
        command = [COMMAND, "logs", "-f", "orders"]
        with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True) as following:
            assert following.stdout is not None
            assert following.stdout.readline() == "orders-1 | orders-1 listens\n"
            up.child.signal(signal.SIGINT)
            rest = following.stdout.read()
        assert following.returncode == 0
        assert "orders-1 | orders-1 leaves" in rest


def test_a_run_that_is_killed_ends_those_who_follow_its_logs_with_a_message(tmp_path: Path) -> None:
    with Up("-f", str(manifests(tmp_path / "a.yaml", replicas=1))) as up:
        up.await_ready("orders-1")
        variables = {**os.environ, MARK: str(os.getpid()), "TMPDIR": runs()}
        with subprocess.Popen(
            [COMMAND, "logs", "-f"], env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as following:
            assert following.stdout is not None
            following.stdout.readline()
            up.child.signal(signal.SIGKILL)
            _, error = following.communicate(timeout=SECONDS)
        assert following.returncode == 1
        assert error.startswith(f"tcpservice: tcpservice up (process {up.child.pid}) has ended")


def test_two_runs_side_by_side(tmp_path: Path) -> None:
    first, second = manifests(tmp_path / "a.yaml", replicas=1), manifests(tmp_path / "b.yaml", "stock", 4662, 1)
    with Up("-f", str(first)) as one, Up("-f", str(second)) as other:
        one.await_ready("orders-1")
        other.await_ready("stock-1")
        assert {name["name"] for run in shown("ps") for name in run["replicas"]} == {"orders-1", "stock-1"}
        assert ask("logs", "stock-1", "--grep", "listens") == (0, "stock-1 | stock-1 listens\n")
        assert ask("restart", "orders-1")[0] == 0
        assert "there are several runs of tcpservice up (processes " in ask("logs")[1]


def test_manifests_come_from_stdin(tmp_path: Path) -> None:
    path = manifests(tmp_path / "a.yaml", replicas=1)
    script = f'cat "{path}" | exec {COMMAND} up -f -'
    variables = {**os.environ, MARK: str(os.getpid()), "TMPDIR": runs()}
    command = ["sh", "-c", script]
    with subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, start_new_session=True) as running:
        wait_until(lambda: send("orders", "whoami") == (0, ["orders-1"]), "it runs")
        for line in ask("ps")[1].splitlines():
            assert not line.startswith("orders-2")
        os.killpg(running.pid, signal.SIGTERM)


def test_ctrl_c_does_not_wait_for_a_build_of_kustomize(tmp_path: Path) -> None:
    """kubectl is replaced by a script: the first build is quick, and the second one takes longer than people wait."""
    folder = tmp_path / "k8s"
    folder.mkdir()
    manifests(tmp_path / "built.yaml", replicas=1)
    (folder / "kustomization.yaml").write_text("resources: []\n")
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f"#!/bin/sh\ncat {tmp_path / 'built.yaml'}\nmkdir {tmp_path / 'built'} || exec sleep 50\n")
    kubectl.chmod(0o755)
    with Up("-k", str(folder), env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}) as up:
        up.await_ready("orders-1")
        (folder / "kustomization.yaml").write_text("resources: [another]\n")
        wait_until(lambda: any(line.startswith("sleep 50") for line in left_behind()), "the second build runs")
        began = time.monotonic()
        up.child.signal(signal.SIGINT)
        assert up.child.wait() == 0
        assert time.monotonic() - began < 40, "it did not wait for the build, which takes 50 s"


@pytest.mark.skipif(not (shutil.which("kubectl") or shutil.which("kustomize")), reason="needs kubectl or kustomize")
def test_kustomize_builds_the_manifests_again_as_they_change(tmp_path: Path) -> None:
    base, overlay = tmp_path / "base", tmp_path / "overlays" / "dev"
    base.mkdir()
    overlay.mkdir(parents=True)
    manifests(base / "orders.yaml", replicas=1)
    (base / "kustomization.yaml").write_text("resources: [orders.yaml]\n")
    (overlay / "kustomization.yaml").write_text("resources: [../../base]\nreplicas:\n- {name: orders, count: 2}\n")
    with Up("-k", str(overlay)) as up:
        up.await_ready("orders-1", "orders-2")
        manifests(base / "orders.yaml", "stock", 4662, replicas=2)
        (overlay / "kustomization.yaml").write_text("resources: [../../base]\n")
        up.await_ready("stock-1", "stock-2")
        (base / "orders.yaml").write_text("kind: [")
        up.await_text("the last good state goes on")


def test_the_control_socket_is_for_its_user_alone(tmp_path: Path) -> None:
    with Up("-f", str(manifests(tmp_path / "a.yaml", replicas=1))) as up:
        up.await_ready("orders-1")
        (folder,) = Path(runs()).glob("tcpservice-up-*")
        assert folder.stat().st_mode & 0o077 == 0
        assert (folder / "control.sock").is_socket()
    assert sys.platform == "win32" or not folder.exists()
