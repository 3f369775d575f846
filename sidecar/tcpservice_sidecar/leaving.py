"""Leaving without loss: what SIGTERM and `/drain` both begin.

Used by `app` and `admin`. New connections are refused, other sidecars are told, what is in flight finishes. Requests
have until the longest `drain.timeout` of the services, streams until `drain.streamTimeout`; what is left then ends
with the code `draining`.
"""

from __future__ import annotations

import asyncio
from typing import Final

from tcpservice.exchange import Exchange
from tcpservice.snapshot import Drain, Snapshot
from tcpservice_sidecar.listeners import Listeners
from tcpservice_sidecar.logs import Log
from tcpservice_sidecar.plane import Plane, now_ns

_LOOK_S: Final = 0.02


class Leaving:
    """The one leave of a sidecar; whoever asks waits for the same."""

    def __init__(self, plane: Plane, listeners: Listeners, log: Log) -> None:
        self._plane = plane
        self._listeners = listeners
        self._log = log
        self._task: asyncio.Task[bool] | None = None
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
