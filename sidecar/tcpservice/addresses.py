"""The address of a server: a host and a port.

Used by the `spec`, by the flags of all commands, by the sockets and by the transport for Python apps, so that an
address is written in one way everywhere.
"""

from __future__ import annotations

from typing import NamedTuple


class Address(NamedTuple):
    """A host (IP address or name) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        """Write the address as people type it: an IPv6 address is in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
