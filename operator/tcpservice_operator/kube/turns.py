"""Fair turns at the API server: how many queries may be under way, and whose is next.

Used by `inject.webhook` and `discovery.tokens`, whose clients can be any pods. Clients with the same address compete
only with each other, so a client that sends many requests delays no other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

AT_ONCE: Final = 16
"""How many queries may be under way at the same time."""


class TooManyWaiting(Exception):
    """A client has too many queries that wait for their turn."""


class Turns:
    """A semaphore that serves its waiters round-robin by client address. A client may have `most_waiting` waiters."""

    def __init__(self, at_once: int = AT_ONCE, most_waiting: int | None = None) -> None:
        self._free = at_once
        self._most_waiting = most_waiting
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """Wait for a turn, and hold it while the context is open. Raises TooManyWaiting."""
        if self._free and not self._waiting:
            self._free -= 1
        else:
            await self._wait(client)
        try:
            yield
        finally:
            self._free += 1
            self._next()

    async def _wait(self, client: str) -> None:
        if self._most_waiting is not None and len(self._waiting.get(client, ())) >= self._most_waiting:
            raise TooManyWaiting
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            queue = self._waiting.get(client)
            if not waiter.cancelled():  # the waiter had its turn already; pass it on
                self._free += 1
                self._next()
            elif queue and waiter in queue:
                queue.remove(waiter)
                if not queue:
                    del self._waiting[client]
            raise

    def _next(self) -> None:
        """Pass free turns to the next waiters that were not cancelled."""
        while self._free and self._waiting:
            client = next(iter(self._waiting))
            queue = self._waiting.pop(client)
            waiter = queue.popleft()
            if queue:
                self._waiting[client] = queue  # behind the other clients
            # The task of a cancelled waiter may not have run since: its waiter can still be in the queue.
            if not waiter.cancelled():
                self._free -= 1
                waiter.set_result(None)
