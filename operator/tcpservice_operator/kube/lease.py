"""Leader election: of all replicas of the operator one writes, and it stops before another one starts.

Used by `main`. It uses a Lease as kube-controller-manager does. Three times make it safe. The leader renews the Lease
every RENEW_S. The leader counts itself as leading for LEAD_S from the *beginning* of its last successful renewal, on
its own monotonic clock. Another replica acquires the Lease after it has seen no renewal for LEASE_S, which is longer
than LEAD_S. The clocks of two machines are never compared.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from tcpservice_operator.api.plain_objects import Body, Key
from tcpservice_operator.kube.kube_client import ApiError

RENEW_S: Final = 2.0
LEAD_S: Final = 10.0
LEASE_S: Final = 15.0
_ATTEMPT_S: Final = 5.0
_LOGGER: Final = logging.getLogger("tcpservice.operator")


class Leases(Protocol):
    """Reads and writes the Lease."""

    async def read_lease(self, key: Key) -> Body | None:
        """Return the Lease, None if it does not exist. Raises ApiError."""

    async def write_lease(self, document: Body) -> None:
        """Create or replace it. Raises ApiError."""


class Leadership:
    """The leader election of one replica of the operator. `clock` is monotonic, in seconds."""

    def __init__(self, leases: Leases, key: Key, identity: str, clock: Callable[[], float]) -> None:
        self._leases = leases
        self._key = key
        self._identity = identity
        self._clock = clock
        self._until = float("-inf")
        self._seen: tuple[str, str] = ("", "")
        self._seen_at = float("-inf")
        self._was_leading = False
        self._logged = ""
        self.began = asyncio.Event()

    @property
    def leading(self) -> bool:
        """Whether this replica may write now."""
        return self._clock() < self._until

    async def run(self) -> None:
        """Acquire and renew the Lease every RENEW_S, without end."""
        while True:
            await self.attempt()
            await asyncio.sleep(RENEW_S)

    async def attempt(self) -> None:
        """Try once to acquire or renew the Lease."""
        began = self._clock()
        try:
            async with asyncio.timeout(_ATTEMPT_S):
                if await self._acquire(began):
                    self._until = began + LEAD_S
        except (ApiError, TimeoutError) as error:
            self._warn(str(error) or "no response in time")
        else:
            self._logged = ""
        self._log_change()

    async def release(self) -> None:
        """Stop leading and release the Lease, so that another replica can acquire it at once."""
        if not self.leading:
            return
        self._until = float("-inf")
        try:
            async with asyncio.timeout(_ATTEMPT_S):
                lease = await self._leases.read_lease(self._key)
                if lease is not None and lease["spec"].get("holderIdentity") == self._identity:
                    await self._leases.write_lease(self._document(lease, holder=""))
        except (ApiError, TimeoutError) as error:
            _LOGGER.warning("could not release Lease %s/%s: %s", *self._key, str(error) or "no response in time")

    async def _acquire(self, now: float) -> bool:
        """Write the Lease if it is free, expired or already ours; return whether this replica holds it now."""
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
        """Log why the Lease was not renewed; log the same reason only once."""
        if text != self._logged:
            self._logged = text
            _LOGGER.warning("could not acquire or renew Lease %s/%s: %s", *self._key, text)

    def _log_change(self) -> None:
        if self.leading == self._was_leading:
            return
        self._was_leading = self.leading
        _LOGGER.info("%s is %s the leader", self._identity, "now" if self._was_leading else "no longer")
        if self._was_leading:
            self.began.set()
