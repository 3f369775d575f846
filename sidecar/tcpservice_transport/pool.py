"""All connections of a client: which one a message takes, and waiting until there is one.

Used by `client`. A message goes to the less loaded of two connections that are drawn at random, as in the sidecar.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Final

from tcpservice.addresses import Address
from tcpservice.balancer import LeastRequest
from tcpservice.rng import Rng
from tcpservice_transport.calls import Call
from tcpservice_transport.errors import ClientClosed, Overloaded, Unreachable
from tcpservice_transport.session import Session
from tcpservice_transport.upstream import Dialing, Status, Upstream, Watcher

__all__ = ["Pool", "Status"]

_UNTAKEN_S: Final = 2.0
"""How long the servers may take no byte of what a client that closes has still to send."""


class Pool:
    """The connections to one or several addresses."""

    def __init__(
        self,
        addresses: Sequence[Address],
        dialing: Dialing,
        ended: Callable[[Call], None],
        told: Callable[[Status], object],
    ) -> None:
        watcher = Watcher(self._changed, ended, told)
        self._rng = Rng(random.getrandbits(64))
        self._upstreams = [Upstream(address, dialing, watcher, self._rng) for address in addresses]
        self._most_waiting = dialing.limits.in_flight
        self._usable: list[Session] = []
        self._short = True
        self._balancer = LeastRequest()
        self._waiters: dict[asyncio.Future[None], None] = {}
        self._closed = False

    @property
    def in_flight(self) -> int:
        """How many calls wait for a reply."""
        return sum(session.load for upstream in self._upstreams for session in upstream.sessions)

    @property
    def connected(self) -> bool:
        """Whether a connection can be used."""
        return bool(self._usable)

    @property
    def trouble(self) -> str:
        """Why no address takes a message."""
        return ", ".join(upstream.trouble for upstream in self._upstreams)

    @property
    def error(self) -> Exception | None:
        """The error of the last dial of an address that has no connection; None where none has failed."""
        return next((upstream.error for upstream in self._upstreams if upstream.error is not None), None)

    def choose(self, tried: Collection[Address] = ()) -> Session | None:
        """Choose a connection, not to those addresses that were tried; None where there is none.

        Where some are missing, they are dialled meanwhile.
        """
        if self._short:
            self._refill()
        usable = self._usable
        if tried:
            usable = [one for upstream in self._upstreams if upstream.address not in tried for one in upstream.sessions]
        if len(usable) < 2:
            return usable[0] if usable else None
        return self._balancer.choose(usable, self._rng)

    async def wait(self, seconds: float) -> Session:
        """Wait until there is a connection; give up after so many seconds, but not before each address was dialled.

        Raises Unreachable, Overloaded where too many wait already, ClientClosed.
        """
        if len(self._waiters) >= self._most_waiting:
            raise Overloaded(f"{len(self._waiters)} messages wait for a connection already (Limits.in_flight)")
        now = asyncio.get_running_loop().time
        began = now()
        while (session := self.choose()) is None:
            if self._closed:
                raise ClientClosed("the client was closed")
            left = began + seconds - now()
            if left <= 0 and all(upstream.failed_at >= began for upstream in self._upstreams):
                places = ", ".join(f"{upstream.address} ({upstream.reason})" for upstream in self._upstreams)
                within = f" within {seconds:g} s" if seconds else ""
                raise Unreachable(f"cannot connect to {places}{within}") from self.error
            await self._next_change(self._refill(), left)
        return session

    def others(self, tried: Collection[Address]) -> bool:
        """Whether there are connections to addresses that were not tried."""
        return any(upstream.sessions for upstream in self._upstreams if upstream.address not in tried)

    async def close(self, grace: float) -> None:
        """Send what is left, close all, and wait until they are gone.

        The servers get `grace` seconds in all, and less where they take nothing of what is left.
        """
        self._closed = True
        for upstream in self._upstreams:
            upstream.close(ClientClosed("the client was closed"))
        self._changed()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._until_gone()
        for upstream in self._upstreams:
            upstream.abort()

    async def _until_gone(self) -> None:
        """Wait until all connections are gone, or no server takes bytes any more."""
        before, undelivered = -1, self._undelivered
        while before != undelivered:
            with suppress(TimeoutError):
                async with asyncio.timeout(_UNTAKEN_S):
                    while not all(upstream.gone for upstream in self._upstreams):
                        await self._next_change(0.0)
                return
            before, undelivered = undelivered, self._undelivered

    @property
    def _undelivered(self) -> int:
        return sum(upstream.undelivered for upstream in self._upstreams)

    def _refill(self) -> float:
        """Dial what is missing; return in how many seconds the next address may be dialled, 0 where none is left."""
        if self._closed:
            return 0.0
        waits = [upstream.refill() for upstream in self._upstreams if upstream.wants]
        self._short = any(wait > 0 for wait in waits)
        return min((wait for wait in waits if wait > 0), default=0.0)

    def _changed(self) -> None:
        self._usable = [session for upstream in self._upstreams for session in upstream.sessions]
        self._short = any(upstream.wants for upstream in self._upstreams)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _next_change(self, *seconds: float) -> None:
        """Wait until something is other than before, or the shortest of these times, where above 0, has passed."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(min((each for each in seconds if each > 0), default=None)):
                    await waiter
        finally:
            del self._waiters[waiter]
