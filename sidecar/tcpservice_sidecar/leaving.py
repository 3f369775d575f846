"""Leaving without loss, in two steps: the pod is chosen no more (`/leave`), then the sidecar goes (SIGTERM).

Used by `app`, `admin` and `gate`. In a cluster the kubelet calls `/leave` when the pod ends: others are told and go
elsewhere, while all that comes is served, and the own app may still call. SIGTERM (and `/drain`, for both at once) then
refuses new connections and lets what is left finish. Requests have until the longest `drain.timeout` of the services,
streams until `drain.streamTimeout`; what is left then ends with the code `draining`.
"""

from __future__ import annotations

import asyncio
from typing import Final

from tcpservice.exchange import Exchange
from tcpservice.snapshot import SECOND, Drain, Snapshot
from tcpservice_sidecar.io import ExchangeIO, now_ns
from tcpservice_sidecar.listeners import Listeners
from tcpservice_sidecar.logs import Log

LAST_CALLS: Final = 3 * SECOND // 2
"""How long an app that is told to end together with its sidecar may call. The kubelet kills both after 2 s: the pod's
grace period has run out."""

_MOST_RESERVED: Final = 5 * SECOND
_LAST_REPLIES: Final = 2 * SECOND
"""How long before the end of `drain.timeout` no message is read any more, so that those that were read get replies."""

_LOOK_S: Final = 0.02


class Leaving:
    """The one leave of a sidecar; whoever asks waits for the same.

    `grace` is how long the pod has to end, in nanoseconds; 0: nobody ends it. `at_gate` is how many apps wait there.
    """

    def __init__(self, io: ExchangeIO, listeners: Listeners, log: Log, grace: int = 0) -> None:
        self._io = io
        self._listeners = listeners
        self._log = log
        self._most = grace - min(grace // 4, _MOST_RESERVED) if grace else 0
        self._task: asyncio.Task[bool] | None = None
        self.noticed = asyncio.Event()
        self.at_gate = 0
        self.limits = Drain()

    @property
    def begun(self) -> bool:
        """Whether the sidecar is leaving."""
        return self._task is not None

    def set_limits(self, snapshot: Snapshot) -> None:
        """Take the longest times that a service of the snapshot asks for, as far as the pod's grace period allows.

        A part of that is the app's own, to end once it is told to.
        """
        drains = [service.drain for service in snapshot.services] or [Drain()]
        times = [max(each.timeout for each in drains), max(each.stream_timeout for each in drains)]
        timeout, streams = [min(time, self._most) if self._most else time for time in times]
        self.limits = Drain(timeout=timeout, stream_timeout=streams)

    def withdraw(self) -> None:
        """Let nobody choose this pod any more."""
        if not self.noticed.is_set():
            self.noticed.set()
            self._log.info("leaving", "the pod ends: others are told; what comes all the same is served")
            self._io.exchange.withdraw()
            self._io.touch()

    async def leave(self) -> bool:
        """Leave; return whether everything had ended by itself when nothing was left in flight."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        return await asyncio.shield(self._task)

    async def _run(self) -> bool:
        exchange = self._io.exchange
        self._log.info("draining", "leaving: no new connections; what is in flight finishes")
        if self.noticed.is_set():
            self._listeners.close_to_others()
        else:
            self._listeners.close()
        begun = now_ns()
        exchange.drain(begun)
        self._io.touch()
        drained = await self._finish(exchange, begun)
        while self._app_is_there(exchange) and now_ns() < begun + LAST_CALLS:
            await asyncio.sleep(_LOOK_S)
        self._listeners.close()
        return drained

    async def _finish(self, exchange: Exchange, begun: int) -> bool:
        timeout = self.limits.timeout
        if await self._wait(exchange, begun + timeout - min(timeout // 4, _LAST_REPLIES)):
            return True
        exchange.stop_reading(now_ns())
        self._io.touch()
        if await self._wait(exchange, begun + timeout):
            return True
        self._end(exchange, streams=False)
        if await self._wait(exchange, begun + self.limits.stream_timeout):
            return False
        self._end(exchange, streams=True)
        return False

    def _app_is_there(self, exchange: Exchange) -> bool:
        """Whether the pod ends, and its app has not ended before the sidecar was told to."""
        return self.noticed.is_set() and (self.at_gate > 0 or exchange.has_own_callers())

    async def _wait(self, exchange: Exchange, until: int) -> bool:
        while not exchange.drained(now_ns()):
            if now_ns() >= until:
                return False
            await asyncio.sleep(_LOOK_S)
        return True

    def _end(self, exchange: Exchange, *, streams: bool) -> None:
        self.tell_late()
        exchange.end(now_ns(), streams=streams)
        self._io.touch()

    def tell_late(self) -> None:
        """Say what is still in flight at the end of a limit."""
        left = self._io.exchange.in_flight()
        if left:
            self._log.warn("drain_timeout", f"{left} messages did not finish in time")
