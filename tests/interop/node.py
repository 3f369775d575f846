"""Node and the packages of each NestJS major: found, and installed once per lock file."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Literal

import pytest

Major = Literal[10, 11, 12]
MAJORS: tuple[Major, ...] = (10, 11, 12)
APPS = Path(__file__).parent / "nest"
INSTALL_SECONDS = 180


def node() -> str:
    """The node binary; the test is skipped where there is none."""
    return _found("node")


def version_directory(major: Major) -> Path:
    """The directory of one major, with its node_modules as the lock file says."""
    directory = APPS / f"v{major}"
    lock = directory / "package-lock.json"
    with lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # two test runs beside each other install once
        digest = hashlib.sha256(held.read()).hexdigest()
        stamp = directory / "node_modules" / ".installed"
        if not stamp.is_file() or stamp.read_text() != digest:
            _install(directory)
            stamp.write_text(digest)
    return directory


def _install(directory: Path) -> None:
    command = [_found("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    if done.returncode != 0:
        pytest.fail(f"`npm ci` failed in {directory}: {done.stderr.strip()}", pytrace=False)


def _found(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed: the tests against NestJS need Node 20 and npm")
    return path
