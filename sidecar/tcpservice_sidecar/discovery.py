"""The operator's stream, for as long as the sidecar runs: connected again and again, and done without where it is gone.

Used by `app` in a cluster. Whatever happens here, messages flow by the snapshot that is in force: the manifests that
the pod began with, then what the operator told last, then, where it is silent or its replicas are all gone, what the
cluster's name server tells (`resolving`). Endpoints that are kept after their list became empty are asked from time to
time whether they still take connections.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

import aiohttp

from tcpservice.errors import TcpServiceError
from tcpservice.following import Following
from tcpservice.lines import Lines
from tcpservice.snapshot import Endpoint, Service, Snapshot
from tcpservice.updates import LONGEST_LINE
from tcpservice_sidecar.connector import Connector
from tcpservice_sidecar.logs import Log
from tcpservice_sidecar.polling import PollWait
from tcpservice_sidecar.resolving import Resolving
from tcpservice_sidecar.settings import Discovery

PATH: Final = "/v1/discovery"
_CONNECT_S: Final = 5.0
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 4.0
_LOOK_S: Final = 1.0
_START_S: Final = 2.0
_SHOWN: Final = 200


class Silent(Exception):
    """The operator does not tell what is asked; the text says why."""


class DiscoverySource:
    """The snapshot that the operator tells, at first the manifests that the pod begins with.

    `failing` names the services none of whose replicas can be reached, `apps` the pod's own apps by their services.
    """

    def __init__(
        self,
        settings: Discovery,
        bootstrap: Snapshot,
        connector: Connector,
        log: Log,
        failing: Callable[[], set[str]],
        apps: Mapping[str, Endpoint],
    ) -> None:
        self._settings = settings
        self._following = Following(bootstrap)
        self._resolving = Resolving(settings, connector, apps)
        self._log = log
        self._failing = failing
        self._pause = PollWait(_LOOK_S)
        self._said = ""
        self._began = time.monotonic_ns()

    @property
    def in_force(self) -> Snapshot:
        """The snapshot that holds now."""
        return self._following.in_force

    def look(self) -> None:
        """Resolve names now, if that is due at all."""
        self._pause.cut()

    def silence(self) -> float:
        """Return how many seconds ago the operator said that the snapshot holds."""
        return (time.monotonic_ns() - (self._following.heard or self._began)) / 1e9

    async def watch(self, swap: Callable[[Snapshot], None]) -> None:
        """Give each new snapshot to `swap`, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(swap))
            tasks.create_task(self._resolve(swap))

    # The stream

    async def _follow(self, swap: Callable[[Snapshot], None]) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            began = self._following.heard
            try:
                await self._read_stream(swap)
                self._told("discovery_ended", "the operator ended the stream; connecting anew")
            except (Silent, TcpServiceError, aiohttp.ClientError, OSError, TimeoutError) as error:
                self._told("discovery_lost", f"the operator at {self._settings.address}: {_words(error)}")
            pause = _FIRST_PAUSE_S if self._following.heard != began else min(2 * pause, _LONGEST_PAUSE_S)
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - so that not all come at once

    async def _read_stream(self, swap: Callable[[Snapshot], None]) -> None:
        """Read one stream to its end. Raises what ends it otherwise."""
        self._following.begin()
        silence = self._settings.silence / 1e9
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=silence)
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            session.get(
                f"https://{self._settings.address}{PATH}", ssl=self._context(), allow_redirects=False,
                headers={"Authorization": f"Bearer {self._token()}"},
            ) as answer,
        ):  # fmt: skip
            if answer.status != 200:
                raise Silent(f"status {answer.status}: {(await answer.text())[:_SHOWN].strip()}")
            lines = Lines(LONGEST_LINE)
            async for data in answer.content.iter_any():
                for line in lines.feed(data):
                    self._take(line, swap)

    def _take(self, line: bytes, swap: Callable[[Snapshot], None]) -> None:
        if self._following.take(line, time.monotonic_ns()):
            swap(self._following.in_force)
        self._told("discovery_connected", f"following the operator at {self._settings.address}")

    def _token(self) -> str:
        """Read the pod's token. Raises Silent."""
        try:
            return self._settings.token.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Silent(f"the token {self._settings.token} cannot be read: {_words(error)}") from error

    def _context(self) -> ssl.SSLContext:
        """Trust what the authority's file says now. Raises Silent: it may be mounted later."""
        try:
            return ssl.create_default_context(cafile=self._settings.authority)
        except (OSError, ssl.SSLError) as error:
            raise Silent(f"what verifies it, {self._settings.authority}, cannot be read: {_words(error)}") from error

    # The name server

    async def _resolve(self, swap: Callable[[Snapshot], None]) -> None:
        """Look every second whether names are to be resolved, and do so as often as is set."""
        due = time.monotonic_ns()
        while True:
            await self._pause.wait()
            keys, kept = self._to_resolve(), self._following.kept()
            if not (keys or kept) or time.monotonic_ns() < due:
                continue
            due = time.monotonic_ns() + self._settings.again
            asked = [service for service in self._following.in_force.services if service.key in keys]
            await asyncio.gather(
                *(self._resolve_one(service, swap) for service in asked),
                *(self._check_kept(service, swap) for service in kept),
            )

    async def _resolve_one(self, service: Service, swap: Callable[[Snapshot], None]) -> None:
        """Let what the name server says of a service hold, unless the operator spoke while it was asked."""
        last_resort = not service.endpoints or service.key in self._failing()
        found = await self._resolving.endpoints_of(service, last_resort=last_resort)
        if service.key not in self._to_resolve() or not (found or service.awaited):
            return
        if self._following.resolve(service.key, found, instead=self._is_silent()):
            swap(self._following.in_force)
            hosts = ", ".join(sorted(endpoint.host for endpoint in found)) or "nothing"
            self._log.warn("resolved", f"by the name server: {hosts}", service=service.key)

    async def _check_kept(self, service: Service, swap: Callable[[Snapshot], None]) -> None:
        """Keep the last endpoints of a service only as long as they answer."""
        silent = await self._resolving.silent(service.endpoints)
        if silent and self._following.lose(service.key, silent):
            swap(self._following.in_force)
            names = ", ".join(endpoint.name for endpoint in silent)
            self._log.warn("endpoints_lost", f"not listed any more, and silent: {names}", service=service.key)

    def _to_resolve(self) -> set[str]:
        """Return the services whose replicas the operator does not tell, or tells wrongly: all when it is silent."""
        if self._is_silent():
            return {service.key for service in self._following.in_force.services}
        return self._failing() | (self._following.to_ask_for() if self._following.heard else set())

    def _is_silent(self) -> bool:
        """Whether the operator has said nothing for too long."""
        heard = self._following.heard
        limit = self._settings.silence if heard else min(self._settings.silence, int(_START_S * 1e9))
        return time.monotonic_ns() - (heard or self._began) > limit

    def _told(self, event: str, text: str) -> None:
        """Log what has become of the stream, once."""
        if text == self._said:
            return
        self._said = text
        (self._log.info if event == "discovery_connected" else self._log.warn)(event, text)


def _words(error: BaseException) -> str:
    with suppress(AttributeError):
        return str(error.strerror) if isinstance(error, OSError) and error.strerror else str(error) or repr(error)
    return repr(error)
