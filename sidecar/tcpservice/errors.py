"""The stable codes, one vocabulary for all that can end a message, and the exceptions of the core.

A code stands as `code` in the error that a NestJS caller gets, as the label of metrics, as the key of log lines. The
exception tree:

    TcpServiceError
    +-- ProtocolError      a peer's bytes are not the opening line of the mesh hop
    +-- Unreadable         a text cannot be read as YAML any further (spec.tree)
    +-- TooLong            a line of a stream has no end (lines)
    +-- Malformed          a line of the operator's stream is no update (updates)
    +-- OutOfStep          a line changes what is not there (updates)
"""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """How a message ended. All but the first three are made by the sidecar itself."""

    OK = "ok"
    RPC_EXCEPTION = "rpc_exception"
    NO_HANDLER = "no_handler"
    TIMEOUT = "timeout"
    CONNECTION_CLOSED = "connection_closed"
    NO_ENDPOINTS = "no_endpoints"
    OVERLOADED = "overloaded"
    FRAME_TOO_LARGE = "frame_too_large"
    ABANDONED = "abandoned"
    RATE_LIMITED = "rate_limited"
    DENIED = "denied"
    DRAINING = "draining"
    CANCELLED = "cancelled"


class TcpServiceError(Exception):
    """Base of all exceptions of this package."""


class ProtocolError(TcpServiceError):
    """A peer broke the protocol: `reason` says how, `offset` is the byte in its stream where it began."""

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(f"{reason} (at byte {offset})")
        self.reason = reason
        self.offset = offset
