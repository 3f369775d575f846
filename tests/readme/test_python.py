"""The programs of docs/python.md do what it says."""

from __future__ import annotations

import re
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


def run(folder: Path, name: str) -> str:
    (folder / name).write_text(PROGRAMS[name].code)
    command = [sys.executable, "-W", "error", name]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_first_server_and_first_client(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(PROGRAMS["server.py"].code)
    server = Child([sys.executable, "-W", "error", str(tmp_path / "server.py")])
    with server:
        assert run(tmp_path, "client.py") == PROGRAMS["client.py"].prints
        assert server.line() == "welcome Ada from 127.0.0.1"
    assert (server.returncode, server.stderr) == (0, "")


def test_scaling(tmp_path: Path) -> None:
    printed = run(tmp_path, "scaling.py")
    assert printed.count("state='connected'") == 3
    assert "{'a': True, 'b': True, 'c': True}\n" in printed
    assert "['b', 'c']\n" in printed


@pytest.mark.parametrize("name", sorted(PROGRAMS.keys() - {"server.py", "client.py", "scaling.py"}))
def test_what_a_program_prints(tmp_path: Path, name: str) -> None:
    assert PROGRAMS[name].prints is not None
    assert run(tmp_path, name) == PROGRAMS[name].prints
