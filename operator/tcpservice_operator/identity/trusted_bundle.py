"""The bundle that clients should trust while replicas of the operator serve with certificates of different CAs.

Used by `ca_distribution`. During a rollout that changes the issuer, from the operator's own CA to cert-manager or back,
old and new replicas serve side by side. Each adds its CA to what the API server trusts, and no replica could become
ready if only the leader's counted. The leader drops the CAs of others once it has seen them for a while.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

OTHERS_KEPT: Final = timedelta(hours=1)
"""Longer than a rollout of the operator takes."""

_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")


class TrustedBundle:
    """Merges the bundle of this replica with the certificates that other replicas have written."""

    def __init__(self) -> None:
        self._first_seen: dict[str, datetime] = {}

    def merge(self, own: str, found: str, now: datetime, *, leads: bool) -> str:
        """Return the bundle to write, as PEM: `found` itself if it needs no change.

        A replica that leads puts its own certificates first, and drops others that it first saw OTHERS_KEPT ago.
        Another replica only adds its own if they are missing.
        """
        mine, there = _CERTIFICATE.findall(own), _CERTIFICATE.findall(found)
        if not leads and set(mine) <= set(there):
            return found
        others = [each for each in dict.fromkeys(there) if each not in mine]
        self._first_seen = {each: self._first_seen.get(each, now) for each in others}
        kept = [each for each in others if not leads or now - self._first_seen[each] < OTHERS_KEPT]
        return own + "".join(f"{each}\n" for each in kept)
