"""Wrong commands: one line says what is wrong and what to give; the exit status is 2, or 1 if no `up` is running."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cli.wrong_manifests import DEPLOYMENT, TCP_SERVICE
from tcpservice_cli.command_line import main

COMMANDS = ("up", "send", "ps", "logs", "traces", "restart", "validate", "explain", "inject", "check")
WRONG = {
    "tcpservice": "give a command: up, send, ps, logs, traces, restart, validate, explain, inject, check",
    "tcpservice upp -f orders.yaml": 'there is no command "upp", did you mean up?',
    "tcpservice up": "give manifests: -f PATH, or -k FOLDER",
    "tcpservice up orders.yaml": (
        'unexpected argument "orders.yaml"; give manifests with -f: tcpservice up -f orders.yaml'
    ),
    "tcpservice up -f none.yaml": '-f/--file: there is no file or folder "none.yaml"',
    "tcpservice up -f empty": (
        '-f/--file: no .yaml, .yml or .json file is in the folder "empty"; folders in it are not '
        "searched, give -f empty/base"
    ),
    "tcpservice up -f kustomized": (
        '-f/--file: no .yaml, .yml or .json file is in the folder "kustomized"; build its '
        "kustomization with -k kustomized"
    ),
    "tcpservice up -k empty": '-k/--kustomize: no kustomization.yaml is in the folder "empty"; use -f for manifests',
    "tcpservice up -f orders.yaml --plian": "there is no option --plian, did you mean --plain?",
    "tcpservice up -f orders.yaml --replicas orders": (
        '--replicas: expected NAME=N such as orders=3, with N from 0 to 1000, got "orders"'
    ),
    "tcpservice up -f orders.yaml --replicas order=2": (
        '--replicas: the manifests have no Deployment "order"; they have orders'
    ),
    "tcpservice up -f orders.yaml --port orders=0": (
        '--port: expected NAME=PORT such as orders=3001, with a port from 1 to 65535, got "orders=0"'
    ),
    "tcpservice up -f orders.yaml --for 30": '--for: expected a duration such as 30s or 5m, got "30"',
    "tcpservice up -f orders.yaml --inspect web": (
        '--inspect: the manifests have no Deployment "web"; they have orders'
    ),
    "tcpservice validate -f": "-f/--file: expected PATH after it",
    "tcpservice validate -f empty": (
        '-f/--file: no .yaml, .yml or .json file is in the folder "empty"; folders in it are not '
        "searched, give -f empty/base"
    ),
    "tcpservice validate -f orders.yaml --strict": "there is no option --strict",
    "tcpservice explain spec.timeout": 'a TcpService has no field "spec.timeout"; did you mean spec.timeouts?',
    "tcpservice explain timeouts.requst": (
        'a TcpService has no field "timeouts.requst"; did you mean spec.timeouts.request?'
    ),
    "tcpservice explain orders": 'a TcpService has no field "orders"; tcpservice explain --recursive lists all',
    "tcpservice explain interval": (
        'there are several fields "interval"; give one of these: '
        "spec.retryConstraint.budget.interval, spec.retryConstraint.minRetryRate.interval"
    ),
    "tcpservice send": "give HOST:PORT|NAME and PATTERN",
    "tcpservice send orders": "give PATTERN",
    "tcpservice send http://localhost:3001 ping": (
        'HOST:PORT|NAME: expected HOST:PORT without http://, such as localhost:3001, got "http://localhost:3001"'
    ),
    "tcpservice send 127.0.0.1:3001 {cmd:sum}": (
        "PATTERN: begins as JSON, but is not JSON: Expecting property name enclosed in double "
        "quotes: line 1 column 2 (char 1); in a shell, write JSON in single quotes, such as "
        '\'{"cmd":"sum"}\''
    ),
    "tcpservice send 127.0.0.1:3001 sum hello": (
        "DATA: not JSON: Expecting value: line 1 column 1 (char 0); for the text hello, write '\"hello\"'"
    ),
    "tcpservice send 127.0.0.1:3001 sum @none.json": 'DATA: there is no file "none.json"',
    "tcpservice send 127.0.0.1:3001 sum 1 --timeout 5": '--timeout: expected a duration such as 5s or 250ms, got "5"',
    "TCPSERVICE_TIMEOUT=5 tcpservice send 127.0.0.1:3001 sum": (
        'the variable TCPSERVICE_TIMEOUT: expected a duration such as 5s or 250ms, got "5"'
    ),
    "tcpservice ps -o yaml": '-o/--output: expected text or json, got "yaml"',
    "tcpservice ps orders": 'unexpected argument "orders"',
    "tcpservice logs --grep '('": (
        '--grep: "(" is not a regular expression: missing ), unterminated subpattern at position 0'
    ),
    "tcpservice logs --tail many": '--tail: expected a whole number above 0, got "many"',
    "tcpservice traces --limit 0": '--limit: expected a whole number above 0, got "0"',
    "tcpservice restart": "give NAME",
    "tcpservice inject": "give manifests: -f PATH, or -k FOLDER",
    "tcpservice inject -f orders.yaml --sidecar-cpu many": (
        '--sidecar-cpu: expected a quantity such as 100m or 64Mi, got "many"'
    ),
    "tcpservice inject -f orders.yaml --operator operator": (
        '--operator: expected HOST:PORT such as 127.0.0.1:3001, got "operator"'
    ),
    "tcpservice check": "the variable KUBECONFIG names HERE/no-kubeconfig, which does not exist",
    "tcpservice check --kubeconfig none": "there is no option --kubeconfig",
}
"""Commands, and the line that they print, between the name of the command and the words "(see COMMAND --help)"."""

NONE_RUNNING = {
    "tcpservice send orders ping": (
        '{"message": "no service \\"orders\\" in a running `tcpservice up` (none is running, start one with: '
        'tcpservice up -f FOLDER); or give HOST:PORT", "code": "unreachable"}'
    ),
    "tcpservice send localhost ping --event": (
        '{"message": "no service \\"localhost\\" in a running `tcpservice up` (none is running, start one '
        'with: tcpservice up -f FOLDER); or give HOST:PORT", "code": "unreachable"}'
    ),
    "tcpservice ps": "tcpservice: no `tcpservice up` is running; start one with: tcpservice up -f FOLDER",
    "tcpservice logs orders": "tcpservice: no `tcpservice up` is running; start one with: tcpservice up -f FOLDER",
    "tcpservice traces": "tcpservice: no `tcpservice up` is running; start one with: tcpservice up -f FOLDER",
    "tcpservice restart orders": "tcpservice: no `tcpservice up` is running; start one with: tcpservice up -f FOLDER",
}
"""Commands that need a running `tcpservice up`."""

PROGRAMS = {
    "tcpservice-sidecar": "give either --file PATH (manifests) or --upstream NAME=HOST:PORT,... (no manifests)",
    "tcpservice-sidecar --file none --listen orders=127.0.0.1:0": "--file: none: No such file or directory",
    "tcpservice-sidecar --lisen orders=127.0.0.1:3001": "unrecognized arguments: --lisen orders=127.0.0.1:3001",
    "tcpservice-sidecar --upstream orders=127.0.0.1:3001": (
        "nothing to do: give --listen NAME=HOST:PORT, or --mesh and --app"
    ),
    "tcpservice-sidecar --upstream orders --listen orders=127.0.0.1:0": (
        '--upstream: expected NAME=HOST:PORT such as orders=127.0.0.1:3001, got "orders"'
    ),
    "tcpservice-sidecar --upstream orders=127.0.0.1:3001 --listen order=127.0.0.1:0": (
        "--listen order: no TcpService has that name; there are: default/orders"
    ),
    "tcpservice-sidecar --upstream orders=127.0.0.1:3001 --listen 3001": (
        '--listen: expected NAME=HOST:PORT such as orders=127.0.0.1:3001, got "3001"'
    ),
    "tcpservice-sidecar --upstream orders=127.0.0.1:3001 --listen orders=127.0.0.1:0 --stall 5": (
        "--stall: expected a duration such as 250ms, got '5'"
    ),
    "tcpservice-sidecar orders.yaml": "unrecognized arguments: orders.yaml",
    "tcpservice-operator --listen 15810": '--listen: expected HOST:PORT such as 127.0.0.1:3001, got "15810"',
    "tcpservice-operator --heartbeat 10": "--heartbeat: expected a duration such as 250ms, got '10'",
    "tcpservice-operator --watch-namespace shop extra": "unrecognized arguments: --watch-namespace shop extra",
    "tcpservice-operator --roles webhooks": (
        '--roles: expected a comma-separated list of reconcile, webhook, discovery, ca, got "webhooks"'
    ),
}
"""Wrong commands of the sidecar and the operator."""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder with manifests, where no `up` is running and no cluster is known."""
    (tmp_path / "orders.yaml").write_text(f"{TCP_SERVICE}---\n{DEPLOYMENT}")
    (tmp_path / "empty" / "base").mkdir(parents=True)
    (tmp_path / "empty" / "base" / "orders.yaml").write_text(TCP_SERVICE)
    (tmp_path / "kustomized").mkdir()
    (tmp_path / "kustomized" / "kustomization.yaml").write_text("resources: []\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def run(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    """Run a command of `tcpservice`, with variables before it; return the exit status, stdout and stderr."""
    words = shlex.split(command)
    while words[0] != "tcpservice":
        name, _, value = words.pop(0).partition("=")
        monkeypatch.setenv(name, value)
    status = main(words[1:])
    return status, *capsys.readouterr()


def usage(command: str, message: str) -> str:
    """Return the whole of a line on a wrong call, which names its command and the help of that."""
    words = [word for word in shlex.split(command) if not word.startswith("TCPSERVICE_")]
    known = words[0] == "tcpservice" and words[1:] and words[1] in COMMANDS
    program = " ".join(words[:2]) if known else words[0]
    return f"{program}: {message.replace('HERE', os.getcwd())} (see {program} --help)\n"


@pytest.mark.parametrize("command", WRONG)
def test_a_wrong_command_is_one_line(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(command, capsys, monkeypatch) == (2, "", usage(command, WRONG[command]))


@pytest.mark.parametrize("command", NONE_RUNNING)
def test_where_no_up_is_running(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(command, capsys, monkeypatch) == (1, "", f"{NONE_RUNNING[command]}\n")


@pytest.mark.parametrize("command", PROGRAMS)
def test_a_wrong_command_of_the_sidecar_or_the_operator(command: str) -> None:
    program, *words = shlex.split(command)
    whole = [str(Path(sys.executable).with_name(program)), *words]
    done = subprocess.run(whole, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", usage(command, PROGRAMS[command]))


def test_the_operator_without_a_cluster() -> None:
    program = str(Path(sys.executable).with_name("tcpservice-operator"))
    done = subprocess.run([program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("tcpservice-operator: no cluster is configured: ")
    assert done.stderr.endswith("; set KUBECONFIG, or create ~/.kube/config\n")
