"""Leaving without loss, in two steps: the pod is chosen no more (`/leave`, `/gate`), then the sidecar goes (SIGTERM).

Used by `app` and `admin`. In a cluster the kubelet calls `/leave` when the pod ends: others are told and go elsewhere,
while all that comes is served, and the own app may still call. The app's SIGTERM waits at `/gate` until others have
nothing in flight here. SIGTERM (and `/drain`, for both at once) then refuses new connections and lets what is left
finish. Requests have until the longest `drain.timeout` of the services, streams until `drain.streamTimeout`; what is
left then ends with the code `draining`.
"""

from __future__ import annotations

import asyncio
from typing import Final

from tcpservice.exchange import Exchange
from tcpservice.snapshot import Drain, Snapshot
from tcpservice_sidecar.listeners import Listeners
from tcpservice_sidecar.logs import Log
from tcpservice_sidecar.plane import Plane, now_ns

NOTICE_S: Final = 1.0
"""How long the gate waits for the word that the pod ends: without it only an app is made anew, and nothing is held."""

_LOOK_S: Final = 0.02


class Leaving:
    """The one leave of a sidecar; whoever asks waits for the same."""

    def __init__(self, plane: Plane, listeners: Listeners, log: Log) -> None:
        self._plane = plane
        self._listeners = listeners
        self._log = log
        self._task: asyncio.Task[bool] | None = None
        self._noticed = asyncio.Event()
        self.limits = Drain()

    @property
    def begun(self) -> bool:
        """Whether the sidecar is leaving."""
        return self._task is not None

    def set_limits(self, snapshot: Snapshot) -> None:
        """Take the longest times that a service of the snapshot asks for."""
        drains = [service.drain for service in snapshot.services] or [Drain()]
        self.limits = Drain(
            timeout=max(drain.timeout for drain in drains),
            stream_timeout=max(drain.stream_timeout for drain in drains),
        )

    def withdraw(self) -> None:
        """Let nobody choose this pod any more."""
        if not self._noticed.is_set():
            self._noticed.set()
            self._log.info("leaving", "the pod ends: others are told; what comes all the same is served")
            self._plane.exchange.withdraw(now_ns())
            self._plane.touch()

    async def gate(self) -> str:
        """Hold until others have nothing in flight here; return what became of it: `quiet`, `late` or `staying`."""
        try:
            async with asyncio.timeout(NOTICE_S):
                await self._noticed.wait()
        except TimeoutError:
            return "staying"
        begun, exchange = now_ns(), self._plane.exchange
        while not exchange.withdrawn(now_ns(), streams=True):
            passed = now_ns() - begun
            if passed >= self.limits.stream_timeout:
                return self._late()
            if passed >= self.limits.timeout and not exchange.withdrawn(now_ns(), streams=False):
                return self._late()
            await asyncio.sleep(_LOOK_S)
        return "quiet"

    def _late(self) -> str:
        self._log.warn("drain_timeout", f"{self._plane.exchange.in_flight()} messages did not finish in time")
        return "late"

    async def leave(self) -> bool:
        """Leave; return whether everything had ended by itself when nothing was left in flight."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        return await asyncio.shield(self._task)

    async def _run(self) -> bool:
        exchange = self._plane.exchange
        self._log.info("draining", "leaving: no new connections; what is in flight finishes")
        self._listeners.close()
        begun = now_ns()
        exchange.drain(begun)
        self._plane.touch()
        if await self._wait(exchange, begun + self.limits.timeout):
            return True
        self._end(exchange, streams=False)
        if await self._wait(exchange, begun + self.limits.stream_timeout):
            return False
        self._end(exchange, streams=True)
        return False

    async def _wait(self, exchange: Exchange, until: int) -> bool:
        while not exchange.drained(now_ns()):
            if now_ns() >= until:
                return False
            await asyncio.sleep(_LOOK_S)
        return True

    def _end(self, exchange: Exchange, *, streams: bool) -> None:
        left = exchange.in_flight()
        if left:
            self._log.warn("drain_timeout", f"{left} messages did not finish in time")
        exchange.end(now_ns(), streams=streams)
        self._plane.touch()
