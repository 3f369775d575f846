"""Lines of the log, written by a thread of its own: whoever takes them slowly holds nobody up.

Used by `app`. A container's stderr is a pipe. Where the node's disk is full or slow, nobody takes from it, and whoever
writes to it then waits: that must not be the event loop, which has messages to move. Lines wait up to a number; those
beyond it, and those that cannot be written, are left out and counted.
"""

from __future__ import annotations

import os
import queue
import select
import threading
from contextlib import suppress
from typing import Final, TextIO

WAITING_LINES: Final = 1000
FLUSH_S: Final = 1.0

_LEFT_OUT: Final = (
    '{"level":"warning","event":"log_left_out","message":"lines of the log were not taken in time","left_out":%d}\n'
)


class LineWriter:
    """What a log needs of a stream, before the file of another one. It never waits and never fails."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        # Not by Python's file: its lock, held by a write that hangs, would abort the process when it wants to end.
        self._descriptor = stream.fileno()
        self._lines: queue.Queue[str | None] = queue.Queue(WAITING_LINES)
        self._left_out = 0
        self._broken = b""
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def isatty(self) -> bool:
        """Whether people read along."""
        return self._stream.isatty()

    def write(self, line: str) -> int:
        """Take a line."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._left_out += 1
        return len(line)

    def flush(self) -> None:
        """Do nothing: lines are written as soon as somebody takes them."""

    def close(self) -> None:
        """Write what waits, as far as that is possible in a moment."""
        with suppress(queue.Full):
            self._lines.put_nowait(None)
        self._thread.join(FLUSH_S)

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            if not self._put(line):
                self._left_out += 1
            elif (left_out := self._left_out) and self._put(_LEFT_OUT % left_out):
                self._left_out -= left_out

    def _put(self, line: str) -> bool:
        """Write a line; return whether all of it was taken. What was begun ends where the next line begins."""
        data = rest = self._broken + line.encode("utf-8", "backslashreplace")
        try:
            while rest:
                rest = self._write(rest)
        except OSError:  # a full disk, which may have room for the next line
            self._broken = b"\n" if len(rest) < len(data) else self._broken
            return False
        self._broken = b""
        return True

    def _write(self, data: bytes) -> bytes:
        """Write what is taken, and return the rest. Raises OSError."""
        try:
            return data[os.write(self._descriptor, data) :]
        except BlockingIOError:  # another process made the pipe that it shares with this one non-blocking
            select.select([], [self._descriptor], [])
            return data
