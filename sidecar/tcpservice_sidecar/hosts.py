"""Where an endpoint may listen: an app on this host may be bound to one of several addresses.

Used by whoever connects (`connector`, `relay`, `appcheck`). Bound to `localhost`, as NestJS is by default, an
app listens on ::1 alone where that comes first; bound to the pod's own address, on neither loopback address.
"""

from __future__ import annotations

from typing import Final

from tcpservice.snapshot import Endpoint

_LOOPBACK: Final = ("127.0.0.1", "::1")


class Hosts:
    """The hosts of endpoints; `pod_address` is this pod's own, empty where it is not known."""

    def __init__(self, pod_address: str = "") -> None:
        self._here = (*_LOOPBACK, pod_address) if pod_address else _LOOPBACK

    def of(self, endpoint: Endpoint) -> tuple[str, ...]:
        """List the hosts to try for an endpoint, in order."""
        return self._here if endpoint.host in ("localhost", "127.0.0.1") else (endpoint.host,)
