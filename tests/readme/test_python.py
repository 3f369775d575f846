"""The programs of docs/python.md do what it says."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from interop.processes import Child

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
_PROGRAM = re.compile(r"```python\n# (\w+\.py)\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.DOTALL)


class Program(NamedTuple):
    """One program of the page, and what the page says that it prints, if it does."""

    code: str
    prints: str | None


def programs() -> dict[str, Program]:
    found = {name: Program(code, prints or None) for name, code, prints in _PROGRAM.findall(PAGE.read_text())}
    assert len(found) == PAGE.read_text().count("```python\n")
    return found


PROGRAMS = programs()


PORTS = ("3001", "3443")
"""Those of the page; whoever runs the tests may have an app there."""


@pytest.fixture(scope="module")
def ports() -> dict[str, str]:
    """Give a free port for each."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in PORTS]
    found = {port: str(each.getsockname()[1]) for port, each in zip(PORTS, sockets, strict=True)}
    for each in sockets:
        each.close()
    return found


def moved(text: str, ports: dict[str, str]) -> str:
    """The text with free ports in place of the page's."""
    for port, free in ports.items():
        text = text.replace(port, free)
    return text


def run(folder: Path, name: str, ports: dict[str, str]) -> str:
    (folder / name).write_text(moved(PROGRAMS[name].code, ports))
    command = [sys.executable, "-W", "error", name]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=180, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_first_server_and_first_client(tmp_path: Path, ports: dict[str, str]) -> None:
    (tmp_path / "server.py").write_text(moved(PROGRAMS["server.py"].code, ports))
    server = Child([sys.executable, "-W", "error", str(tmp_path / "server.py")])
    with server:
        assert run(tmp_path, "client.py", ports) == PROGRAMS["client.py"].prints
        assert run(tmp_path, "sync.py", ports) == PROGRAMS["sync.py"].prints
        assert server.line() == "welcome Ada from 127.0.0.1"
    assert (server.returncode, server.stderr) == (0, "")


def test_scaling(tmp_path: Path, ports: dict[str, str]) -> None:
    printed = run(tmp_path, "scaling.py", ports)
    assert printed.count("state='connected'") == 3
    assert "{'a': True, 'b': True, 'c': True}\n" in printed
    assert "['b', 'c']\n" in printed


@pytest.mark.parametrize("name", sorted(PROGRAMS.keys() - {"server.py", "client.py", "sync.py", "scaling.py"}))
def test_what_a_program_prints(tmp_path: Path, name: str, ports: dict[str, str]) -> None:
    assert PROGRAMS[name].prints is not None
    assert run(tmp_path, name, ports) == moved(PROGRAMS[name].prints or "", ports)
