"""How connections are secured: the one place that decides who speaks TLS to whom.

Used by `listeners` and `connector`, which ask before they listen or dial. Everything is plain TCP for now; a mesh
identity takes this class's place without a change elsewhere.
"""

from __future__ import annotations

from ssl import SSLContext

from tcpservice.snapshot import Endpoint


class Plain:
    """No TLS anywhere."""

    def for_mesh_listener(self) -> SSLContext | None:
        """Return the context for other sidecars' connections; None is plain TCP."""
        return None

    def for_endpoint(self, endpoint: Endpoint) -> SSLContext | None:  # noqa: ARG002 - what a mesh identity decides by
        """Return the context for a connection to an endpoint; None is plain TCP."""
        return None
