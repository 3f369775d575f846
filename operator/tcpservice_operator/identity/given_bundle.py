"""The CA bundle of another issuer, such as cert-manager, and the one before it.

Used by `ca_distribution`. That issuer replaces CA, certificate and key at the same time. The operator still lets every
client trust the new CA before it serves the new certificate, and the old CA until all replicas have replaced theirs.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

DISTRIBUTED_AFTER: Final = timedelta(minutes=3)
"""Kubelets update mounted ConfigMaps within 90 seconds."""

KEPT: Final = timedelta(days=1)


class GivenBundle:
    """The bundle as clients should have it: `text`."""

    def __init__(self) -> None:
        self._current = ""
        self._previous = ""
        self._since: datetime | None = None

    def replace(self, bundle: str, now: datetime) -> None:
        """Take the bundle that the issuer gives now; the one before is dropped after a while."""
        if bundle != self._current:
            self._since = now if self._current else None
            self._previous, self._current = self._current, bundle
        elif self._since is not None and now - self._since >= KEPT:
            self._previous, self._since = "", None

    def is_distributed(self, now: datetime) -> bool:
        """Whether clients have had the time to get this bundle. The first one has nothing to wait for."""
        return self._since is None or now - self._since >= DISTRIBUTED_AFTER

    @property
    def text(self) -> str:
        """Both bundles, the new one first, as PEM."""
        return "".join(f"{each.strip()}\n" for each in (self._current, self._previous) if each)
