"""A child process whose lines can be awaited.

Whatever a test does, a child is ended by its own id, every wait is bounded, and a child that said nothing in time shows
the end of its stderr in the failure.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
from typing import IO, TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

STOP_SECONDS = 5.0
LINE_SECONDS = 60.0
END_SECONDS = 30.0
STDERR_TAIL = 4000


class ChildError(Exception):
    """A child ended, or stayed silent, where a line was due."""


class Child:
    """One process; its stdout lines go to `on_line` (None at the end), or wait for `line()` where that is not given."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str | None], None] | None = None,
    ) -> None:
        self._argv = list(argv)
        self._env = {**os.environ, **(env or {})}
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._on_line = on_line or self._lines.put
        self._stderr: list[str] = []
        self._process: subprocess.Popen[str] | None = None
        self._readers: list[threading.Thread] = []

    def start(self) -> Self:
        """Start it; its lines are read from here on, so that it never blocks on a full pipe."""
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            self._argv,
            env=self._env,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            encoding="utf-8",
            errors="replace",
            bufsize=1,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._readers = [
            threading.Thread(target=_read, args=(process.stdout, self._on_line), daemon=True),
            threading.Thread(target=_read, args=(process.stderr, self._keep_stderr), daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        return self

    @property
    def pid(self) -> int:
        """The process id."""
        return self._running().pid

    @property
    def alive(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """How it ended, None while it runs."""
        return self._running().poll()

    @property
    def stderr(self) -> str:
        """All that it has written to stderr so far."""
        return "".join(self._stderr)

    def line(self, timeout: float = LINE_SECONDS) -> str:
        """The next line of its stdout."""
        try:
            line = self._lines.get(timeout=max(0.0, timeout))
        except queue.Empty:
            raise ChildError(f"no line within {timeout:g} s from {self}") from None
        if line is None:
            self._lines.put(None)
            raise ChildError(f"{self} ended (exit code {self.wait()})")
        return line

    def write_line(self, text: str) -> None:
        """Write one line to its stdin."""
        stdin = self._running().stdin
        assert stdin is not None
        stdin.write(text + "\n")
        stdin.flush()

    def signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.alive:
            self._running().send_signal(number)

    def wait(self, timeout: float = END_SECONDS) -> int:
        """Wait for its end, and until its last lines are read; the exit code."""
        code = self._running().wait(timeout)
        self._join()
        return code

    def kill(self) -> None:
        """End it at once, as a node that loses power would."""
        self.signal(signal.SIGKILL)
        self._release()

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """Ask it to end, and kill it where it does not within the timeout."""
        self.signal(signal.SIGTERM)
        if self._process is not None:
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.signal(signal.SIGKILL)
        self._release()

    def _release(self) -> None:
        if self._process is None:
            return
        self._process.wait(END_SECONDS)
        self._join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                _close(stream)

    def _join(self) -> None:
        """Wait until its lines are read, though not for long: children of its own may keep its pipes open."""
        for reader in self._readers:
            reader.join(STOP_SECONDS)

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise ChildError(f"{self} was not started")
        return self._process

    def _keep_stderr(self, line: str | None) -> None:
        if line is not None:
            self._stderr.append(line + "\n")

    def __str__(self) -> str:
        return f"`{' '.join(self._argv)}`; its stderr: {self.stderr[-STDERR_TAIL:] or 'empty'}"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def _read(stream: IO[str], on_line: Callable[[str | None], None]) -> None:
    for line in stream:
        on_line(line.rstrip("\n"))
    on_line(None)


def _close(stream: IO[str]) -> None:
    with contextlib.suppress(BrokenPipeError):  # what a dead child left unread is flushed by close
        stream.close()
