"""Processes of this machine: each in a group of its own, its lines read as they come, none left behind.

Used by `supervised`. Every group is told to the guard, which ends it should `up` be gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio import BaseTransport, StreamReader, StreamReaderProtocol
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from tcpservice_local import guard as guarding
from tcpservice_local.tasks import begin

MARK: Final = "TCPSERVICE_UP"
_CHUNK: Final = 64 * 1024
_LONGEST_LINE: Final = 16 * 1024
_LAST_LINES_S: Final = 1.0
"""How long the lines of a process that has ended may take to arrive, where something that it started holds its pipe."""

Say = Callable[[str], None]


class Program(Struct, frozen=True, kw_only=True):
    """What is started: its words, variables and folder."""

    words: tuple[str, ...]
    variables: Mapping[str, str]
    folder: Path


class Guard:
    """The process that outlives this one to end the others; one that ends itself is started again."""

    def __init__(self, folder: Path) -> None:
        self.mark = f"{MARK}={folder.name}"
        self._folder = folder
        self._groups: set[int] = set()
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it."""
        self._process = await self._spawn()
        self._task = begin(self._keep(self._process))

    def tell(self, sign: str, group: int) -> None:
        """Say that a group began (`+`) or ended (`-`)."""
        if sign == "+":
            self._groups.add(group)
        else:
            self._groups.discard(group)
        self._write(f"{sign}{group}\n")

    async def stop(self) -> None:
        """Let it end what is left, and wait for it."""
        if self._process is None or self._task is None:
            return
        self._task.cancel()
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def _spawn(self) -> Process:
        """Start one, out of reach of the terminal's Ctrl-C."""
        words = [sys.executable, "-I", "-S", guarding.__file__, self.mark, str(self._folder)]
        return await asyncio.create_subprocess_exec(
            *words, stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True
        )

    async def _keep(self, process: Process) -> None:
        while True:
            await process.wait()
            process = self._process = await self._spawn()
            self._write("".join(f"+{group}\n" for group in self._groups))

    def _write(self, text: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        if not self._process.stdin.is_closing():
            self._process.stdin.write(text.encode())


class Running:
    """One process and all that it starts in its group; its lines go to `say`.

    They come through a pipe that asyncio's process does not know: it counts as ended only once nothing holds its pipes,
    and what it started may hold them for as long as it likes.
    """

    def __init__(self, process: Process, output: StreamReader, pipe: BaseTransport, guard: Guard, say: Say) -> None:
        self._process = process
        self._output = output
        self._pipe = pipe
        self._guard = guard
        self._reading = begin(self._read(say))
        self.pid = process.pid

    @classmethod
    async def start(cls, program: Program, guard: Guard, say: Say) -> Running:
        """Start a program. Raises OSError where it cannot be started."""
        mark, _, run = guard.mark.partition("=")
        reading, writing = os.pipe()
        output = StreamReader()
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: StreamReaderProtocol(output), os.fdopen(reading, "rb", buffering=0)
        )
        try:
            process = await asyncio.create_subprocess_exec(
                *program.words,
                env={**program.variables, mark: run},
                cwd=program.folder,
                stdin=DEVNULL,
                stdout=writing,
                stderr=STDOUT,
                start_new_session=True,
            )
        except BaseException:
            pipe.close()
            raise
        finally:
            os.close(writing)
        guard.tell("+", process.pid)
        return cls(process, output, pipe, guard, say)

    def signal(self, number: int) -> None:
        """Send a signal to the process and to all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    async def wait(self) -> int:
        """Wait for its end; return the exit status, negative for a signal. What it started ends with it."""
        status = await self._process.wait()
        self.signal(signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_LINES_S):
                await asyncio.shield(self._reading)
        self._pipe.close()
        self._guard.tell("-", self.pid)
        return status

    async def _read(self, say: Say) -> None:
        """Give each line; a longer one than is sensible comes in pieces."""
        rest = b""
        while data := await self._output.read(_CHUNK):
            *lines, rest = (rest + data).split(b"\n")
            while len(rest) > _LONGEST_LINE:
                lines.append(rest[:_LONGEST_LINE])
                rest = rest[_LONGEST_LINE:]
            for line in lines:
                say(line.decode("utf-8", "replace").rstrip("\r"))
        if rest:
            say(rest.decode("utf-8", "replace"))
