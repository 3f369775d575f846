"""The loop that makes plans true: looks again at the TcpServices that an event concerns, and writes what differs.

Used by `app`. It knows nothing of what happened: each look starts from the whole state, and where all is as planned
nothing is written. What the API server refuses is tried again, later each time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from msgspec.structs import replace

from tcpservice_operator.cluster import ApiError
from tcpservice_operator.objects import Body, Key, read_service
from tcpservice_operator.planning import make_plan
from tcpservice_operator.services import Document
from tcpservice_operator.state import State

_SETTLE_S: Final = 0.05
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
_LOGGER: Final = logging.getLogger("tcpservice.operator")


class Writer(Protocol):
    """Who writes."""

    async def apply_service(self, document: Body) -> None:
        """Make a Service what it should be. Raises ApiError."""

    async def apply_status(self, key: Key, status: Body) -> None:
        """Show the status of a TcpService. Raises ApiError."""


class Reconciler:
    """Keeps TcpServices in line while `may_write` says that this copy leads; `now` gives the time as RFC 3339."""

    def __init__(self, state: State, writer: Writer, may_write: Callable[[], bool], now: Callable[[], str]) -> None:
        self._state = state
        self._writer = writer
        self._may_write = may_write
        self._now = now
        self._due: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._wake = asyncio.Event()

    def touch(self, keys: Iterable[Key]) -> None:
        """Let these be looked at again."""
        self._due.update(keys)
        self._wake.set()

    async def run(self) -> None:
        """Look at what is due, again and again."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(_SETTLE_S)
            self._wake.clear()
            while self._due and self._may_write():
                await self._look(self._due.pop())

    async def _look(self, key: Key) -> None:
        try:
            await self.reconcile(key)
        except ApiError as error:
            self._fail(key, error)
        else:
            self._failures.pop(key, None)

    async def reconcile(self, key: Key) -> None:
        """Make what one TcpService asks for true. Raises ApiError."""
        plan = make_plan(self._state, key, self._now())
        if plan is None:
            return
        for document in plan.services:
            if self._may_write() and not self._is_there(document):
                await self._writer.apply_service(document)
        if self._may_write() and self._state.wanted[key].status != plan.status:
            await self._writer.apply_status(key, plan.status)

    def _is_there(self, document: Document) -> bool:
        wanted = read_service({**document, "metadata": {**document["metadata"], "uid": ""}})
        there = self._state.services.get(wanted.key)
        return there is not None and replace(there, uid="") == wanted

    def _fail(self, key: Key, error: ApiError) -> None:
        """Try again later; what is gone by now needs nothing."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(failures, 10))
        _LOGGER.warning("%s is looked at again in %g s: %s", "/".join(key), pause, error)
        asyncio.get_running_loop().call_later(pause, self.touch, [key])
