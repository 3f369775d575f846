"""Who leads: of several copies of the operator one writes, and stops before another one starts.

Used by `app`. A Lease as kube-controller-manager uses them, with three times that make it safe: a leader renews every
RENEW_S; it counts itself as leading for LEAD_S from the *beginning* of its last renewal that succeeded, on its own
monotonic clock; a successor waits until it has seen no renewal for LEASE_S, longer than that. The clocks of two
machines are never compared.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from tcpservice_operator.cluster import ApiError
from tcpservice_operator.objects import Body, Key

RENEW_S: Final = 2.0
LEAD_S: Final = 10.0
LEASE_S: Final = 15.0
_ATTEMPT_S: Final = 5.0
_LOGGER: Final = logging.getLogger("tcpservice.operator")


class Leases(Protocol):
    """Where the Lease is kept."""

    async def read_lease(self, key: Key) -> Body | None:
        """Return the Lease, None where there is none. Raises ApiError."""

    async def write_lease(self, document: Body) -> None:
        """Create or replace it. Raises ApiError."""


class Leadership:
    """One copy's view of who leads; `clock` is a monotonic one, in seconds."""

    def __init__(self, leases: Leases, key: Key, identity: str, clock: Callable[[], float]) -> None:
        self._leases = leases
        self._key = key
        self._identity = identity
        self._clock = clock
        self._until = float("-inf")
        self._seen: tuple[str, str] = ("", "")
        self._seen_at = float("-inf")
        self._led = False
        self._said = ""
        self.began = asyncio.Event()

    @property
    def leading(self) -> bool:
        """Whether this copy may write now."""
        return self._clock() < self._until

    async def run(self) -> None:
        """Lead when it may, for as long as it is let."""
        while True:
            await self.attempt()
            await asyncio.sleep(RENEW_S)

    async def attempt(self) -> None:
        """Try once to take or to renew the Lease."""
        began = self._clock()
        try:
            async with asyncio.timeout(_ATTEMPT_S):
                if await self._take(began):
                    self._until = began + LEAD_S
        except (ApiError, TimeoutError) as error:
            self._warn(str(error) or "no answer")
        else:
            self._said = ""
        self._tell()

    async def release(self) -> None:
        """Lead no more, and let the next one start at once."""
        if not self.leading:
            return
        self._until = float("-inf")
        try:
            async with asyncio.timeout(_ATTEMPT_S):
                lease = await self._leases.read_lease(self._key)
                if lease is not None and lease["spec"].get("holderIdentity") == self._identity:
                    await self._leases.write_lease(self._document(lease, holder=""))
        except (ApiError, TimeoutError) as error:
            _LOGGER.warning("the lease %s/%s was not released: %s", *self._key, str(error) or "no answer")

    async def _take(self, now: float) -> bool:
        """Write the Lease where it is ours, nobody's, or was not renewed for long; return whether it is ours then."""
        lease = await self._leases.read_lease(self._key)
        if lease is not None and not self._is_free(lease, now):
            return False
        await self._leases.write_lease(self._document(lease, holder=self._identity))
        return True

    def _is_free(self, lease: Body, now: float) -> bool:
        holder, renewed = lease["spec"].get("holderIdentity") or "", lease["spec"].get("renewTime") or ""
        if (holder, renewed) != self._seen:
            self._seen, self._seen_at = (holder, renewed), now
        return holder in ("", self._identity) or now - self._seen_at >= LEASE_S

    def _document(self, lease: Body | None, holder: str) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        namespace, name = self._key
        before = dict(lease["spec"]) if lease is not None else {}
        spec = {**before, "holderIdentity": holder, "leaseDurationSeconds": int(LEASE_S), "renewTime": now}
        if holder != before.get("holderIdentity"):
            spec |= {"acquireTime": now, "leaseTransitions": before.get("leaseTransitions", 0) + 1}
        metadata = {"name": name, "namespace": namespace}
        if lease is not None:
            metadata["resourceVersion"] = lease["metadata"]["resourceVersion"]
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}

    def _warn(self, text: str) -> None:
        """Say why the Lease was not renewed, once."""
        if text != self._said:
            self._said = text
            _LOGGER.warning("the lease %s/%s was not renewed: %s", *self._key, text)

    def _tell(self) -> None:
        if self.leading == self._led:
            return
        self._led = self.leading
        _LOGGER.info("%s %s", self._identity, "leads" if self._led else "does not lead any more")
        if self._led:
            self.began.set()
