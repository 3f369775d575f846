"""The NestJS TCP transport for Python apps: a `Server` with handlers by pattern, and a `Client` with `send` and `emit`.

NestJS takes either for one of its own. Used by Python services beside NestJS ones, by `tcpservice send`, and by tests;
it reads and writes frames with the sidecar's own codec. docs/python.md walks through it, with a program for each step.

A message of a client, top to bottom: `client` -> `messages` (its frame) -> `pool` (which connection) -> `session`
(which call waits for it) -> `connection` (bytes). At the server: `connection` -> `serving` -> `handlers` (who) ->
`answers` (what comes of it).
"""

from tcpservice_transport.client import Client
from tcpservice_transport.errors import (
    ClientClosed,
    ConnectionLost,
    FrameTooLarge,
    ListenError,
    NoHandlerError,
    NotJson,
    Overloaded,
    PatternError,
    ProtocolError,
    RequestTimeout,
    RpcError,
    TransportError,
    UnexpectedValue,
    Unreachable,
)
from tcpservice_transport.options import Limits, Retry, Timeouts
from tcpservice_transport.parameters import Context
from tcpservice_transport.pool import Status
from tcpservice_transport.router import Router
from tcpservice_transport.server import Server
from tcpservice_transport.sync_client import SyncClient

__all__ = [
    "Client",
    "ClientClosed",
    "ConnectionLost",
    "Context",
    "FrameTooLarge",
    "Limits",
    "ListenError",
    "NoHandlerError",
    "NotJson",
    "Overloaded",
    "PatternError",
    "ProtocolError",
    "RequestTimeout",
    "Retry",
    "Router",
    "RpcError",
    "Server",
    "Status",
    "SyncClient",
    "Timeouts",
    "TransportError",
    "UnexpectedValue",
    "Unreachable",
]
