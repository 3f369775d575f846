"""Broken TcpServices given to `tcpservice validate` and to kubectl: build/messages.md has the messages side by side."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cli.wrong_manifests import TCP_SERVICES, VALID
from cluster.apiserver import ApiServer
from cluster.found import folder
from tcpservice_cli.command_line import main

TABLE = Path(__file__).parents[2] / "build" / "messages.md"
AT_ONCE = 6
ONLY_BY_VALIDATE = {
    "a field given twice", "no line of hyphens between two documents", "two TcpServices of one name",
    "two routes of one pattern",
}  # fmt: skip
"""What kubectl accepts: of two values or documents it takes the last, and the CRD cannot compare patterns."""

Answer = tuple[int, str]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The file of each case, in a folder of its own."""
    cases = {name: text for name, (text, *_) in TCP_SERVICES.items()} | VALID
    paths = {name: tmp_path_factory.mktemp("case") / "orders.yaml" for name in cases}
    for name, path in paths.items():
        path.write_bytes(cases[name].encode())
    return paths


@pytest.fixture(scope="module")
def by_kubectl(api: ApiServer, files: Mapping[str, Path]) -> dict[str, Answer]:
    """The exit status and the message of kubectl for each case."""
    kubectl = [str(folder() / "kubectl"), "--kubeconfig", str(api.kubeconfig), "apply", "--dry-run=server", "-f"]

    def apply(path: Path) -> Answer:
        done = subprocess.run(
            [*kubectl, path.name], cwd=path.parent, capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, done.stderr or done.stdout

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(files, pool.map(apply, files.values()), strict=True))


@pytest.fixture
def by_validate(
    files: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> dict[str, Answer]:
    """The exit status and the message of `tcpservice validate` for each case."""
    answers = {}
    for name, path in files.items():
        monkeypatch.chdir(path.parent)
        status = main(["validate", "-f", path.name])
        out, error = capsys.readouterr()
        answers[name] = status, "\n".join(error.splitlines()[:-1]) or out
    return answers


def test_validate_refuses_what_kubectl_refuses(
    by_kubectl: Mapping[str, Answer], by_validate: Mapping[str, Answer]
) -> None:
    refused, refused_by_kubectl = (
        {name for name, (status, _) in each.items() if status} for each in (by_validate, by_kubectl)
    )
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(table(by_validate, by_kubectl))
    assert refused_by_kubectl <= refused
    assert refused - refused_by_kubectl == ONLY_BY_VALIDATE
    assert refused == set(TCP_SERVICES)


def table(by_validate: Mapping[str, Answer], by_kubectl: Mapping[str, Answer]) -> str:
    """Write both messages of each case as a table of Markdown."""
    rows = [f"| {name} | {cell(by_validate[name])} | {cell(by_kubectl[name])} |" for name in by_validate]
    head = ["| case | tcpservice validate | kubectl apply --dry-run=server |", "| --- | --- | --- |"]
    return "# Messages for broken TcpServices\n\n" + "\n".join([*head, *rows]) + "\n"


def cell(answer: Answer) -> str:
    """Write a message in one cell."""
    status, text = answer
    lines = [line.replace("|", "\\|").replace("`", "'") for line in text.splitlines() if line]
    return ("" if status else "accepted: ") + "<br>".join(f"`{line}`" for line in lines)
