"""The stream that sidecars live on: HTTPS, one JSON document a line, as long as the sidecar wants it.

Used by `serving`. A stream is a loop that waits for its topic to change, or for the heartbeat; what it writes is made
elsewhere, once for all. A reader that takes nothing for a while is cut off, and has the whole again when it comes back.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from aiohttp import web
from msgspec import Struct

from tcpservice_operator.cluster import ApiError
from tcpservice_operator.publishing import Publisher, Subscription
from tcpservice_operator.state import State
from tcpservice_operator.tokens import Caller, Refused, Tokens

PATH: Final = "/v1/discovery"
_SEEN_S: Final = 5.0
_LOOK_S: Final = 0.1
_AGE_SPREAD: Final = 0.2
_LOGGER: Final = logging.getLogger("tcpservice.operator")


class Times(Struct, frozen=True, kw_only=True):
    """Limits of streams; all in seconds but the last, a count."""

    coalesce: float = 0.1
    heartbeat: float = 10.0
    unread: float = 30.0
    age: float = 3600.0
    streams: int = 10_000


class Discovery:
    """All streams of one copy of the operator."""

    def __init__(self, state: State, publisher: Publisher, tokens: Tokens, times: Times) -> None:
        self._state = state
        self._publisher = publisher
        self._tokens = tokens
        self._times = times
        self._wake = asyncio.Event()
        self._ending = asyncio.Event()

    def touch(self, keys: set[tuple[str, str]]) -> None:
        """Let sidecars be told what has changed; none at all if the change is about who is told."""
        self._publisher.touch(keys)
        self._wake.set()

    async def run(self) -> None:
        """Tell what has changed, at most once in `coalesce` seconds."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._publisher.publish()
            await asyncio.sleep(self._times.coalesce)

    def end(self) -> None:
        """End all streams; their sidecars go to another copy."""
        self._ending.set()

    async def stream(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one sidecar."""
        try:
            caller = await self._tokens.caller(_bearer(request))
            await self._wait_for(caller)
        except Refused as error:
            _LOGGER.warning("a sidecar at %s was refused: %s", request.remote, error)
            return web.Response(status=401, text=f"{error}\n")
        except ApiError as error:
            return web.Response(status=503, text=f"tokens cannot be verified now: {error}\n")
        if self._publisher.streams >= self._times.streams or self._ending.is_set():
            return web.Response(status=503, text="this copy has no room for another stream\n")
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"})
        await response.prepare(request)
        with suppress(ConnectionError, TimeoutError):
            await self._tell(caller, response)
        return response

    async def _tell(self, caller: Caller, response: web.StreamResponse) -> None:
        """Write until the stream is old, the copy ends, or the reader takes nothing (TimeoutError)."""
        loop, times = asyncio.get_running_loop(), self._times
        old = loop.time() + times.age * random.uniform(1 - _AGE_SPREAD, 1)  # noqa: S311 - spreads load
        async with self._subscribed(caller) as (subscription, changed):
            while not self._ending.is_set() and loop.time() < old:
                changed.clear()
                async with asyncio.timeout(times.unread):
                    await response.write(subscription.take())
                with suppress(TimeoutError):
                    async with asyncio.timeout(times.heartbeat):
                        await changed.wait()

    @asynccontextmanager
    async def _subscribed(self, caller: Caller) -> AsyncIterator[tuple[Subscription, asyncio.Event]]:
        changed = asyncio.Event()
        subscription = self._publisher.subscribe(caller.pod, changed.set)
        ending = asyncio.ensure_future(self._ending.wait())
        ending.add_done_callback(lambda _: changed.set())
        try:
            yield subscription, changed
        finally:
            ending.cancel()
            self._publisher.drop(subscription)

    async def _wait_for(self, caller: Caller) -> None:
        """Wait until the pod was seen: it may be younger than the last event. Raises Refused."""
        deadline = asyncio.get_running_loop().time() + _SEEN_S
        while asyncio.get_running_loop().time() < deadline:
            pod = self._state.pod(caller.pod)
            if pod is not None and pod.uid == caller.uid:
                return
            await asyncio.sleep(_LOOK_S)
        raise Refused(f"there is no pod {'/'.join(caller.pod)} with the uid {caller.uid}")


def _bearer(request: web.BaseRequest) -> str:
    """Return the token of a request. Raises Refused."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refused("expected a header Authorization: Bearer <token of the pod's service account>")
    return token
