"""What a caller may meet: the other side's error, or a connection that is gone."""

from __future__ import annotations


class TransportError(Exception):
    """Base of all exceptions of this package."""


class RemoteError(TransportError):
    """The other side's error: `error` is its value as JSON has it, `code` what a sidecar or an app named it, if so."""

    def __init__(self, error: object) -> None:
        message = error.get("message") if isinstance(error, dict) else error
        super().__init__(message if isinstance(message, str) else f"{error}")
        self.error = error
        code = error.get("code") if isinstance(error, dict) else None
        self.code = code if isinstance(code, str) else None


class ConnectionLost(TransportError):
    """The connection ended while something was expected of it."""
