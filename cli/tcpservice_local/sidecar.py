"""A running sidecar: kept running, awaited until it is ready, told to look at its files, asked to drain.

Used by `pod` for the one beside an app, and by `fleet` for the front.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable
from typing import Final

import aiohttp

from tcpservice_local.addresses import LOOPBACK
from tcpservice_local.processes import Guard, Program, Say
from tcpservice_local.sidecar_flags import is_news
from tcpservice_local.supervised import Supervised
from tcpservice_local.tasks import begin

GRACE_S: Final = 5.0
_READY_S: Final = 20.0
_LOOK_S: Final = 0.05
_DRAIN_S: Final = 60.0


class Sidecar:
    """One sidecar; what it says goes to `say` where it is news."""

    def __init__(self, program: Program, admin: int, guard: Guard, say: Say, changed: Callable[[], None]) -> None:
        self.program = program
        self.admin = admin
        self._say = say
        self._changed = changed
        self._process = Supervised(program, guard, self._take, self._process_changed)
        self._awaiting: asyncio.Task[None] | None = None
        self._quiet = False
        self._ready_pid: int | None = None
        self._was_ready = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The process id, None while it does not run."""
        return self._process.pid

    @property
    def ready(self) -> bool:
        """Whether it listens and knows its services."""
        return self.pid is not None and self.pid == self._ready_pid

    def start(self) -> None:
        """Start it, and keep it running."""
        self._process.start()

    async def wait_ready(self) -> None:
        """Wait until it is ready, but not for ever: its own lines say why it is not."""
        # Not wait_for: up to Python 3.11 it loses a cancellation that comes when the event was just set.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_READY_S):
                await self._was_ready.wait()

    def look(self) -> None:
        """Let it look at its files now; one that is only starting does so anyway."""
        if self.ready:
            self._process.signal(signal.SIGUSR1)

    async def drain(self) -> None:
        """Let it leave: it takes no new messages, and this waits for those in flight."""
        await self._ask("POST", "/drain", _DRAIN_S)

    def hush(self) -> None:
        """Show no more of what it says, as all around it ends."""
        self._quiet = True

    async def stop(self) -> None:
        """End it."""
        if self._awaiting is not None:
            self._awaiting.cancel()
        await self._process.stop(GRACE_S)

    def _take(self, line: str) -> None:
        if is_news(line) and not self._quiet:
            self._say(line)

    def _process_changed(self) -> None:
        """Wait for a new process to be ready."""
        if self.pid is not None and (self._awaiting is None or self._awaiting.done()):
            self._awaiting = begin(self._await_ready())
        self._changed()

    async def _await_ready(self) -> None:
        while self._ready_pid != self.pid:
            asked = self.pid
            if await self._ask("GET", "/readyz", 1.0):
                self._ready_pid = asked
                self._was_ready.set()
                self._changed()
                return
            await asyncio.sleep(_LOOK_S)

    async def _ask(self, method: str, path: str, seconds: float) -> bool:
        """Ask the admin port; whether it said yes."""
        timeout = aiohttp.ClientTimeout(total=seconds)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.request(method, f"http://{LOOPBACK}:{self.admin}{path}") as answer,
            ):
                return answer.ok
        except (OSError, TimeoutError, aiohttp.ClientError):
            return False
