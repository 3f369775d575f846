"""Readiness probes as the kubelet does them: a connection, or an HTTP request.

Used by `pod`. Until the first success the app is asked four times a second instead of every `periodSeconds`, and
`initialDelaySeconds` is not waited for: nobody wants to wait for that on a laptop.
"""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp

from tcpservice_local.addresses import LOOPBACK
from tcpservice_local.workloads import HttpGet, Probe

EAGER_S: Final = 0.25
_PERIOD_S: Final = 10
_TIMEOUT_S: Final = 1
_FAILURES: Final = 3
_GOOD: Final = range(200, 400)


class Check:
    """The probe of one replica, at its local port."""

    def __init__(self, probe: Probe, port: int) -> None:
        self._probe = probe
        self._port = port
        self._timeout = probe.timeout_seconds or _TIMEOUT_S
        self._failures = 0
        self.ready = False
        self.was_ready = False

    @property
    def pause(self) -> float:
        """Seconds until it is to be asked again."""
        return float(self._probe.period_seconds or _PERIOD_S) if self.ready else EAGER_S

    async def ask(self) -> bool:
        """Ask once; return whether the replica is ready, which it is until it failed `failureThreshold` times."""
        try:
            async with asyncio.timeout(self._timeout):
                good = await self._try()
        except (OSError, TimeoutError, aiohttp.ClientError):
            good = False
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
            return answer.status in _GOOD
