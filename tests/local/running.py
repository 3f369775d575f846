"""A run of `tcpservice up` under test: the real command as a child, and what it left behind."""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from interop.processes import Child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COMMAND = str(Path(sys.executable).with_name("tcpservice"))
SECONDS = 180.0
MARK = "UP_UNDER_TEST"


@cache
def runs() -> str:
    """Return a folder for the runs of these tests, so that `send` does not find those of others."""
    folder = tempfile.mkdtemp(prefix="up-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class Up:
    """One run, by its lines; `paths` and `flags` are those of the command line."""

    def __init__(self, *words: str, env: dict[str, str] | None = None) -> None:
        self._lines: list[str] = []
        variables = {**(env or {}), MARK: str(os.getpid()), "TMPDIR": runs()}
        self._child = Child([COMMAND, "up", *words], on_line=self._take, env=variables)

    def _take(self, line: str | None) -> None:
        if line is not None:
            self._lines.append(line)

    @property
    def child(self) -> Child:
        """The process."""
        return self._child

    @property
    def text(self) -> str:
        """All that it has said on stdout."""
        return "\n".join(self._lines)

    def await_text(self, pattern: str, *, after: int = 0) -> re.Match[str]:
        """Wait until it has said something, after so many characters."""
        deadline = time.monotonic() + SECONDS
        while True:
            match = re.compile(pattern, re.MULTILINE).search(self.text, after)
            if match is not None:
                return match
            assert time.monotonic() < deadline, f"not said: {pattern}\n{self.text}\n{self._child.stderr}"
            assert self._child.alive, f"it ended: {self.text}\n{self._child.stderr}"
            time.sleep(0.02)

    def await_ready(self, *names: str) -> dict[str, int]:
        """Wait until replicas are ready; return their process ids."""
        return {name: int(self.await_text(rf"^{name} is ready \(pid (\d+)\)")[1]) for name in names}

    def __enter__(self) -> Self:
        self._child.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._child.stop(SECONDS)


def send(*words: str, timeout: str = "60s", folder: Path | None = None) -> tuple[int, list[Any]]:
    """Run `tcpservice send`; return its exit status and the values it printed, or its error."""
    code, text = repeat(*words, "--timeout", timeout, folder=folder)
    return code, [json.loads(line) for line in text.splitlines()] if code < 2 else [text]


def repeat(*words: str, folder: Path | None = None) -> tuple[int, str]:
    """Run `tcpservice send`; return its exit status and what it said."""
    done = subprocess.run(
        [COMMAND, "send", *words],
        env={**os.environ, "TMPDIR": str(folder or runs())},
        capture_output=True,
        text=True,
        timeout=2 * SECONDS,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def left_behind() -> list[str]:
    """Return the command lines of the processes that still run of the runs of these tests."""
    if not Path("/proc").is_dir():
        listed = subprocess.run(["ps", "-axo", "command"], capture_output=True, text=True, check=True).stdout
        return [line for line in listed.splitlines() if "tcpservice_sidecar" in line or "local/app.py" in line]
    return [command for _, command in processes()]


def processes() -> Iterator[tuple[int, str]]:
    """Give the process ids and command lines of the runs of these tests, on Linux."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and int(folder.name) != os.getpid():
            try:
                if f"{MARK}={os.getpid()}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                    yield int(folder.name), (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue


def wait_until(holds: Callable[[], object], what: str) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not within {SECONDS:g} s: {what}"
        time.sleep(0.02)
