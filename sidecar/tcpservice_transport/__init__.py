"""The NestJS TCP transport for Python apps: a `Client` that sends and emits, a `Server` with handlers by pattern.

For Python services beside NestJS ones, for the command line, and for tests; it shares the wire with the sidecar, so
that what one writes the other reads.
"""

from tcpservice_transport.client import Client
from tcpservice_transport.errors import ConnectionLost, RemoteError
from tcpservice_transport.server import Context, Server

__all__ = ["Client", "ConnectionLost", "Context", "RemoteError", "Server"]
