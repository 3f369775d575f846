"""Readiness probes as the kubelet does them: a connection, or an HTTP request.

Used by `pod`. Until the first success the app is asked more often than every `periodSeconds`, and without waiting for
`initialDelaySeconds`, because a laptop's user waits: a connection four times a second, HTTP once a second, as apps log
each failed health check.
"""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp

from tcpservice_local.addresses import LOOPBACK
from tcpservice_local.workloads import HttpGet, Probe

EAGER_S: Final = 0.25
EAGER_HTTP_S: Final = 1.0
_PERIOD_S: Final = 10
_TIMEOUT_S: Final = 1
_FAILURES: Final = 3
_GOOD: Final = range(200, 400)


class Check:
    """The probe of one replica, at its local port; `last` says why it failed last."""

    def __init__(self, probe: Probe, port: int) -> None:
        self._probe = probe
        self._port = port
        self._timeout = probe.timeout_seconds or _TIMEOUT_S
        self._failures = 0
        self.ready = False
        self.was_ready = False
        self.last = ""

    def forget(self) -> None:
        """Begin anew: the app is another process."""
        self.ready = self.was_ready = False

    @property
    def pause(self) -> float:
        """Seconds until it is to be asked again."""
        if self.ready:
            return float(self._probe.period_seconds or _PERIOD_S)
        return EAGER_S if self._probe.http_get is None else EAGER_HTTP_S

    async def ask(self) -> bool:
        """Ask once; return whether the replica is ready, which it is until it failed `failureThreshold` times."""
        try:
            async with asyncio.timeout(self._timeout):
                good = await self._try()
        except (OSError, TimeoutError, aiohttp.ClientError) as error:
            good = False
            self.last = f"{type(error).__name__}" if not str(error) else str(error)
        self._failures = 0 if good else self._failures + 1
        threshold = self._probe.failure_threshold or _FAILURES
        self.ready = good or (self.ready and self._failures < threshold)
        self.was_ready = self.was_ready or self.ready
        return self.ready

    async def _try(self) -> bool:
        if self._probe.http_get is not None:
            return await self._get(self._probe.http_get)
        _, writer = await asyncio.open_connection(LOOPBACK, self._port)
        writer.close()
        return True

    async def _get(self, http: HttpGet) -> bool:
        url = f"{(http.scheme or 'HTTP').lower()}://{LOOPBACK}:{self._port}/{(http.path or '/').lstrip('/')}"
        async with aiohttp.ClientSession() as session, session.get(url, ssl=False, allow_redirects=False) as answer:
            self.last = f"GET {http.path or '/'} was answered with status {answer.status}"
            return answer.status in _GOOD
