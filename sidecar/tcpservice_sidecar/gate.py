"""The gate: delays an app's SIGTERM until no other sidecar has messages in flight there.

Used by `admin`: the kubelet calls `/gate`, as the preStop hook of an app's container, before it sends SIGTERM. If the
whole pod ends, the kubelet also calls the sidecar's own hook (`/leave`) at the same moment: the gate waits for all
messages of others. If only the app restarts, because its liveness probe failed, other sidecars pick other pods until
the app is back, and the gate waits for the messages that they had sent. In both cases it gives others the time to hear
of it. An app that answers no probe is not held.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tcpservice.snapshot import SECOND
from tcpservice_sidecar.appcheck import AppCheck
from tcpservice_sidecar.io import ExchangeIO, now_ns
from tcpservice_sidecar.leaving import Leaving
from tcpservice_sidecar.logs import Log

if TYPE_CHECKING:
    from collections.abc import Iterator

NOTICE_S: Final = 1.0
"""How long the gate waits for `/leave`, the sign that the whole pod ends. The kubelet calls both hooks at once."""

LEAST: Final = 2 * SECOND
"""How long others may take to hear of it: kube-proxy sends new connections here for half a second or longer."""

_LOOK_S: Final = 0.02


class Gate:
    """Holds whoever asks."""

    def __init__(self, io: ExchangeIO, leaving: Leaving, app: AppCheck, log: Log) -> None:
        self._io = io
        self._leaving = leaving
        self._app = app
        self._log = log

    async def hold(self) -> str:
        """Return once the app may end, and why: all is `quiet`, it got `late`, or the app is `unanswering`."""
        with self._counted():
            begun = now_ns()
            if await self._pod_ends():
                return await self._until(begun, lambda: self._nobody_is_here(begun))
            if await self._app.why_not_ready() is not None:
                return "unanswering"
            return await self._app_alone()

    async def _pod_ends(self) -> bool:
        try:
            async with asyncio.timeout(NOTICE_S):
                await self._leaving.noticed.wait()
        except TimeoutError:
            return False
        return True

    def _nobody_is_here(self, begun: int) -> bool:
        return self._was_heard_of(begun) and self._io.exchange.quiet(begun, now_ns())

    def _was_heard_of(self, begun: int) -> bool:
        """Whether others had the time to hear that the app ends, and what they had sent before that to arrive."""
        return now_ns() - begun >= LEAST or not self._app.apps

    async def _app_alone(self) -> str:
        begun, exchange = now_ns(), self._io.exchange
        self._log.info("app_stopping", "the app restarts: other sidecars pick other pods until it is back")
        exchange.stop_apps(begun)
        self._io.touch()
        return await self._until(begun, lambda: self._was_heard_of(begun) and not exchange.owes(begun + LEAST))

    async def _until(self, begun: int, is_done: Callable[[], bool]) -> str:
        limits, exchange = self._leaving.limits, self._io.exchange
        while not is_done():
            passed = now_ns() - begun
            if passed >= limits.stream_timeout or (passed >= limits.timeout and not exchange.streams()):
                if not exchange.owes(now_ns()):
                    return "quiet"  # not for long, but there is no time to see whether somebody still comes
                self._leaving.tell_late()
                return "late"
            await asyncio.sleep(_LOOK_S)
        return "quiet"

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._leaving.at_gate += 1
        try:
            yield
        finally:
            self._leaving.at_gate -= 1
