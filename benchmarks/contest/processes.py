"""Processes that the benchmark starts, and ends by their ids whatever happens.

Used by `contenders` and `rounds`. Output goes to files, so that no process ever waits for a reader; each process has a
session of its own, so that Ctrl-C reaches the benchmark alone, which then ends the others.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, Final, Self

from contest.places import RUNNING

_LINE_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.002
_STDERR_TAIL: Final = 1000
_serials = count(1)


class BenchError(Exception):
    """Something that was started did not do what it is for; the message says which, and what it said."""


class Child:
    """One process."""

    def __init__(self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        RUNNING.mkdir(parents=True, exist_ok=True)
        stem = f"{name}-{next(_serials)}"
        self.name = name
        self._out = RUNNING / f"{stem}.out"
        self._err = RUNNING / f"{stem}.err"
        self._lines = 0
        self.began = time.monotonic()
        with self._out.open("w") as out, self._err.open("w") as err:
            self._process = subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def pids(self) -> list[int]:
        """Its own id and those of all processes that it started in turn."""
        found = [self.pid]
        for pid in found:
            with suppress(OSError):
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/children") as children:
                        found += [int(child) for child in children.read().split()]
        return found

    def line(self) -> str:
        """Wait for the next line that it prints."""
        self.until(lambda: len(self._printed()) > self._lines, "a line")
        self._lines += 1
        return self._printed()[self._lines - 1]

    def ask(self, question: str = "") -> Any:
        """Send a line; return what it answers."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{question}\n".encode())
        self._process.stdin.flush()
        return json.loads(self.line())

    def until(self, done: Callable[[], bool], what: str) -> float:
        """Wait until something is so; return the seconds since the start. Raises BenchError."""
        deadline = time.monotonic() + _LINE_SECONDS
        while not done():
            if self._process.poll() is not None:
                raise BenchError(f"{self.name} ended with status {self._process.returncode}: {self.stderr()}")
            if time.monotonic() > deadline:
                raise BenchError(f"{self.name}: no {what} within {_LINE_SECONDS:.0f} s: {self.stderr()}")
            time.sleep(_LOOK_SECONDS)
        return time.monotonic() - self.began

    def finish(self, within: float) -> str:
        """Wait until it ends by itself; return what it printed."""
        try:
            status = self._process.wait(within)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{self.name} took longer than {within:.0f} s") from None
        if status != 0:
            raise BenchError(f"{self.name} ended with status {status}: {self.stderr()}")
        return self._out.read_text()

    def stderr(self) -> str:
        """Return the end of what it logged."""
        return self._err.read_text(errors="replace")[-_STDERR_TAIL:].strip()

    def stop(self) -> None:
        """Ask it to end, and end it where it does not."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._out.unlink(missing_ok=True)
        if not self.stderr():
            self._err.unlink(missing_ok=True)

    def kill(self) -> None:
        """End it at once; `stop` follows."""
        if self._process.poll() is None:
            self._process.kill()

    def _printed(self) -> list[str]:
        text = self._out.read_text()
        return text[: text.rfind("\n") + 1].splitlines()


class Children:
    """A group of processes that end together."""

    def __init__(self) -> None:
        self._all: list[Child] = []

    def start(self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> Child:
        """Start one."""
        child = Child(name, argv, env)
        self._all.append(child)
        return child

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Nothing of theirs is worth a graceful end: what they were for is over.
        for child in self._all:
            child.kill()
        for child in self._all:
            child.stop()
        self._all.clear()
