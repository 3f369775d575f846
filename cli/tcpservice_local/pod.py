"""One replica: an app and the sidecar beside it, with the life that a pod has in a cluster.

Used by `fleet`. The sidecar starts first and leaves last; the app is started again when it ends; a replica that is to
leave says so first, and its messages in flight are waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Final

from tcpservice_local.designs import Design
from tcpservice_local.probes import Check
from tcpservice_local.processes import Guard
from tcpservice_local.sidecar import Sidecar
from tcpservice_local.slices import Endpoint
from tcpservice_local.supervised import Supervised
from tcpservice_local.tasks import begin

STARTING: Final = "starting"
READY: Final = "ready"
NOT_READY: Final = "not ready"
PAUSED: Final = "paused"
CRASHED: Final = "crashed"
LEAVING: Final = "leaving"
STOPPED: Final = "stopped"

SIDECAR: Final = " sidecar"
"""What follows the replica's name where its sidecar writes."""

Told = Callable[[str, str], None]


class Pod:
    """A running replica. `told` gets the lines of its processes, `changed` is called when its state is another."""

    def __init__(self, design: Design, guard: Guard, told: Told, changed: Callable[[], None]) -> None:
        self.design = design
        self._changed = changed
        self.app = Supervised(design.app, guard, lambda line: told(design.name, line), self._app_changed)
        self.sidecar = Sidecar(
            design.sidecar, design.admin, guard, lambda line: told(f"{design.name}{SIDECAR}", line), changed
        )
        self._check = None if design.probe is None else Check(design.probe, design.probe_port)
        self._again = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._pid: int | None = None
        self._began = False
        self.leaving = False
        self._stopped = False

    @property
    def name(self) -> str:
        """The replica's name."""
        return self.design.name

    @property
    def state(self) -> str:
        """In which part of its life it is."""
        if self._stopped or self.leaving:
            return STOPPED if self._stopped else LEAVING
        if self.app.paused:
            return PAUSED
        if self.app.pid is None:
            return CRASHED if self._began and (self.app.waiting or self.app.failure) else STARTING
        if self._check is None:
            return READY
        return READY if self._check.ready else NOT_READY if self._check.was_ready else STARTING

    @property
    def ready(self) -> bool:
        """Whether messages should go to it."""
        return self.state in (READY, PAUSED)

    @property
    def probe_failure(self) -> str:
        """Why the readiness probe failed last."""
        return self._check.last if self._check is not None else ""

    def endpoints(self) -> Iterator[Endpoint]:
        """Give the replica for each service that it serves, as long as anything of it may answer."""
        if self._stopped or not self._began:
            return
        for service in self.design.serves:
            yield Endpoint(
                service=service,
                pod=self.name,
                port=self.design.mesh,
                ready=self.ready or self.leaving,
                leaving=self.leaving,
            )

    def start(self) -> None:
        """Start the sidecar, then the app."""
        self.sidecar.start()
        self._task = begin(self._live())

    async def leave(self) -> None:
        """Leave as a pod does: take no new messages, finish those in flight, then end. `leaving` was set before."""
        self._changed()
        if self.design.serves:
            await self.sidecar.drain()
        await self.end(self.design.grace)

    async def end(self, grace: float) -> None:
        """End both processes without waiting for messages; what the sidecar says of lost connections is no news now."""
        self.sidecar.hush()
        if self._task is not None:
            self._task.cancel()
        await self.app.stop(grace)
        await self.sidecar.stop()
        self._stopped = True
        self._changed()

    def kill(self) -> None:
        """End the app at once, as when it crashes or runs out of memory; it is started again."""
        self.app.signal(signal.SIGKILL)

    def toggle_pause(self) -> None:
        """Freeze the app, or let it go on: a replica that hangs."""
        self.app.signal(signal.SIGCONT if self.app.paused else signal.SIGSTOP)

    def _app_changed(self) -> None:
        """Take note of another process, which is not ready just because the last one was."""
        if self.app.pid != self._pid:
            self._pid = self.app.pid
            if self._check is not None:
                self._check.forget()
            self._again.set()
        self._changed()

    async def _live(self) -> None:
        """Start the app once the sidecar is there for it, and find out again and again whether it is ready."""
        await self.sidecar.wait_ready()
        self._began = True
        self.app.start()
        while self._check is not None:
            before = self._check.ready
            if self.app.pid is not None and await self._check.ask() is not before:
                self._changed()
            self._again.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._check.pause):
                    await self._again.wait()
