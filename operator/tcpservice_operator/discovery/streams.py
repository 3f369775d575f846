"""The discovery streams: each sidecar keeps one HTTPS response open, with one JSON document a line.

Used by `http.servers`. A stream waits until its topic changes, or for the heartbeat; the publisher makes each line once
for all streams. A stream whose reader takes nothing for a while is closed; the sidecar connects again and gets the
whole topic. A pod has few streams, and a namespace not more than half of all, so that no tenant takes them from others.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from aiohttp import web
from msgspec import Struct

from tcpservice_operator.api.plain_objects import Key
from tcpservice_operator.cache.cluster_state import ClusterState
from tcpservice_operator.discovery.publisher import Publisher, Subscription
from tcpservice_operator.discovery.tokens import Caller, TokenRefused, Tokens
from tcpservice_operator.kube.kube_client import ApiError
from tcpservice_operator.kube.turns import TooManyWaiting

PATH: Final = "/v1/discovery"
_POD_SEEN_S: Final = 5.0
_POLL_S: Final = 0.1
_AGE_SPREAD: Final = 0.2
_LOGGER: Final = logging.getLogger("tcpservice.operator")


class StreamLimits(Struct, frozen=True, kw_only=True):
    """Limits of streams: all in seconds, except the counts `streams`, of one replica of the operator, and `per_pod`."""

    coalesce: float = 0.1
    heartbeat: float = 10.0
    unread: float = 30.0
    age: float = 3600.0
    streams: int = 10_000
    per_pod: int = 2

    @property
    def per_namespace(self) -> int:
        """How many streams the pods of one namespace may have."""
        return max(1, self.streams // 2)


class _Stream:
    """One stream: `changed` is set when there is something to push or to end."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.is_replaced = False

    def replace(self) -> None:
        """End the stream, as its pod has newer ones: a sidecar may connect again before its old connection is lost."""
        self.is_replaced = True
        self.changed.set()


class Discovery:
    """All streams of one replica of the operator."""

    def __init__(self, state: ClusterState, publisher: Publisher, tokens: Tokens, limits: StreamLimits) -> None:
        self._state = state
        self._publisher = publisher
        self._tokens = tokens
        self._limits = limits
        self._wake = asyncio.Event()
        self._ending = asyncio.Event()
        self._of_pod: dict[Key, list[_Stream]] = {}
        self._in_namespace = Counter[str]()

    def touch(self, keys: set[tuple[str, str]]) -> None:
        """Request a push of changes of TcpServices. The set is empty if only the views of pods may have changed."""
        self._publisher.touch(keys)
        self._wake.set()

    async def run(self) -> None:
        """Push changes, at most once in `coalesce` seconds, without end."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._publisher.publish()
            await asyncio.sleep(self._limits.coalesce)

    def end(self) -> None:
        """End all streams; their sidecars connect to another replica."""
        self._ending.set()

    async def stream(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one sidecar."""
        try:
            caller = await self._tokens.caller(_bearer(request), request.remote or "")
            await self._wait_for(caller)
        except TokenRefused as error:
            _LOGGER.warning("refused the discovery stream of a sidecar at %s: %s", request.remote, error)
            return web.Response(status=401, text=f"{error}\n")
        except ApiError as error:
            return web.Response(status=503, text=f"the operator cannot verify tokens now: {error}\n")
        except TooManyWaiting:
            return web.Response(status=503, text="too many tokens from this address are waiting for verification\n")
        reason = self._why_full(caller)
        if reason:
            return web.Response(status=503, text=f"{reason}\n")
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"})
        with suppress(ConnectionError, TimeoutError):
            await response.prepare(request)
            await self._push(caller, response)
        return response

    async def _push(self, caller: Caller, response: web.StreamResponse) -> None:
        """Write until the stream is too old, the operator ends, or the reader takes nothing (TimeoutError)."""
        loop, limits = asyncio.get_running_loop(), self._limits
        old = loop.time() + limits.age * random.uniform(1 - _AGE_SPREAD, 1)  # noqa: S311 - spreads load
        async with self._subscribed(caller) as (subscription, stream):
            while not self._ending.is_set() and not stream.is_replaced and loop.time() < old:
                stream.changed.clear()
                async with asyncio.timeout(limits.unread):
                    await response.write(subscription.take())
                with suppress(TimeoutError):
                    async with asyncio.timeout(limits.heartbeat):
                        await stream.changed.wait()

    @asynccontextmanager
    async def _subscribed(self, caller: Caller) -> AsyncIterator[tuple[Subscription, _Stream]]:
        stream = _Stream()
        streams = self._of_pod.setdefault(caller.pod, [])
        for older in streams[: len(streams) + 1 - self._limits.per_pod]:
            older.replace()
        streams.append(stream)
        self._in_namespace[caller.pod[0]] += 1
        subscription = self._publisher.subscribe(caller.pod, stream.changed.set)
        ending = asyncio.ensure_future(self._ending.wait())
        ending.add_done_callback(lambda _: stream.changed.set())
        try:
            yield subscription, stream
        finally:
            ending.cancel()
            self._publisher.unsubscribe(subscription)
            self._in_namespace[caller.pod[0]] -= 1
            streams.remove(stream)
            if not streams:
                self._of_pod.pop(caller.pod, None)

    def _why_full(self, caller: Caller) -> str:
        """Return why there is no room for another stream of a pod; empty if there is."""
        namespace, limits = caller.pod[0], self._limits
        if self._publisher.streams >= limits.streams or self._ending.is_set():
            return "this replica of the operator accepts no more streams"
        if self._in_namespace[namespace] >= limits.per_namespace:
            return f"the namespace {namespace} already has {limits.per_namespace} streams, the limit for one namespace"
        return ""

    async def _wait_for(self, caller: Caller) -> None:
        """Wait until the watch has reported the pod, which may be new. Raises TokenRefused if it does not."""
        deadline = asyncio.get_running_loop().time() + _POD_SEEN_S
        while asyncio.get_running_loop().time() < deadline:
            pod = self._state.pod(caller.pod)
            if pod is not None and pod.uid == caller.uid:
                return
            await asyncio.sleep(_POLL_S)
        raise TokenRefused(f"the pod {'/'.join(caller.pod)} with the uid {caller.uid} does not exist")


def _bearer(request: web.BaseRequest) -> str:
    """Return the token of a request. Raises TokenRefused."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise TokenRefused("expected a header Authorization: Bearer <token of the pod's service account>")
    return token
