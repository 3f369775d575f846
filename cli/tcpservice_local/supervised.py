"""A program that is kept running: started again with the kubelet's backoff whenever it ends, until told otherwise.

Used by `pod` for the app and the sidecar of a replica, and by `fleet` for the front.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from tcpservice_local.backoff import Backoff
from tcpservice_local.processes import Guard, Program, Running, Say
from tcpservice_local.tasks import begin

_LAST_LINES: Final = 40


class Supervised:
    """One program. `changed` is called whenever `pid`, `waiting` or `status` is another."""

    def __init__(self, program: Program, guard: Guard, say: Say, changed: Callable[[], None]) -> None:
        self.program = program
        self._guard = guard
        self._say = say
        self._changed = changed
        self._backoff = Backoff()
        self._woken = asyncio.Event()
        self._running: Running | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._last_signal = signal.SIGTERM
        self.lines: deque[str] = deque(maxlen=_LAST_LINES)
        self.ends = 0
        self.restarts = 0
        self.status: int | None = None
        self.waiting = 0.0
        self.failure = ""
        self.paused = False

    @property
    def pid(self) -> int | None:
        """The process id, None while it does not run."""
        return None if self._running is None else self._running.pid

    def start(self) -> None:
        """Start it, and keep it running; what was stopped before stays away."""
        if not self._stopping:
            self._task = begin(self._keep())

    def signal(self, number: int) -> None:
        """Send a signal to what runs."""
        if self._running is None:
            return
        if number in (signal.SIGSTOP, signal.SIGCONT):
            self.paused = number == signal.SIGSTOP
        self._running.signal(number)
        self._changed()

    def hurry(self) -> None:
        """Start it at once, should it be waiting."""
        self._backoff.forget()
        self._woken.set()

    async def stop(self, grace: float) -> None:
        """Ask it to end, end it after so many seconds, and start it no more."""
        self._stopping = True
        if self._task is None:
            return
        self._woken.set()
        self._ask_to_end()
        done, _ = await asyncio.wait([self._task], timeout=grace)
        if not done:
            self._last_signal = signal.SIGKILL
            self._ask_to_end()
            await asyncio.wait([self._task])

    def _ask_to_end(self) -> None:
        """Also done once it runs, where it is still being started when it has to end."""
        self.signal(self._last_signal)
        self.signal(signal.SIGCONT)

    async def _keep(self) -> None:
        while not self._stopping:
            ran = await self._run()
            if not self._stopping:
                await self._wait(self._backoff.after(ran))
                self.restarts += 1

    async def _wait(self, seconds: float) -> None:
        self.ends += 1
        self.waiting = seconds
        self._woken.clear()
        self._changed()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self.waiting = 0.0

    async def _run(self) -> float:
        """Run it once; return for how many seconds."""
        began = time.monotonic()
        self.lines.clear()
        try:
            self._running = await Running.start(self.program, self._guard, self._take)
        except OSError as error:
            self.failure = f"{self.program.words[0]}: {error.strerror or error}"
            self._take(self.failure)
            self._changed()
            return 0.0
        self.failure = ""
        self.paused = False
        if self._stopping:
            self._ask_to_end()
        self._changed()
        self.status = await self._running.wait()
        self._running = None
        self._changed()
        return time.monotonic() - began

    def _take(self, line: str) -> None:
        self.lines.append(line)
        self._say(line)
