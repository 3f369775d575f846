"""Lines cut out of a stream's chunks, as they come.

Used by whoever follows a stream of JSON documents, one a line: the sidecar the operator's, the operator that of the API
server.
"""

from __future__ import annotations

from tcpservice.errors import TcpServiceError


class TooLong(TcpServiceError):
    """A line without an end."""


class Lines:
    """Keeps what is not a whole line yet, up to `longest` bytes."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that a chunk completes, without their ends. Raises TooLong."""
        *whole, rest = data.split(b"\n")
        if whole:
            whole[0] = b"".join((*self._parts, whole[0]))
            self._parts, self._size = [], 0
        self._parts.append(rest)
        self._size += len(rest)
        if self._size > self._longest:
            raise TooLong(f"a line of more than {self._longest} bytes")
        return whole
