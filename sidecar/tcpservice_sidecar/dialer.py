"""Connections to replicas: dials what the exchange asks for.

Used by `app`. An app on this host may listen on 127.0.0.1 or, bound to `localhost` as NestJS does by default, only on
::1; so both are tried.
"""

from __future__ import annotations

import asyncio
import errno
import os

from tcpservice.exchange import Connect
from tcpservice.snapshot import Endpoint
from tcpservice_sidecar.plane import Connection, Plane, now_ns
from tcpservice_sidecar.security import Plain

_LOOPBACK = ("127.0.0.1", "::1")


class Dialer:
    """Dials in tasks of its own, one for each connection that is being made."""

    def __init__(self, plane: Plane, security: Plain) -> None:
        self._plane = plane
        self._security = security
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def dial(self, command: Connect) -> None:
        """Begin to connect; the exchange is told how it went."""
        task = self._plane.loop.create_task(self._connect(command))
        self._tasks[command.conn] = task
        task.add_done_callback(lambda _: self._tasks.pop(command.conn, None))

    def hang_up(self, conn: int) -> None:
        """Give up a connection that is being made; one that is not is none of this."""
        task = self._tasks.get(conn)
        if task is not None:
            task.cancel()

    async def _connect(self, command: Connect) -> None:
        plane = self._plane

        def protocol() -> Connection:
            return Connection(plane, command.conn, upstream=True)

        endpoint = command.endpoint
        try:
            for host in hosts_of(endpoint):
                try:
                    context = self._security.for_endpoint(endpoint)
                    await plane.loop.create_connection(protocol, host, endpoint.port, ssl=context)
                except ConnectionRefusedError:
                    if host == hosts_of(endpoint)[-1]:
                        raise
                else:
                    return
        except OSError as error:
            plane.exchange.closed(command.conn, connect_error(error, endpoint), now_ns())
            plane.touch()


def hosts_of(endpoint: Endpoint) -> tuple[str, ...]:
    """List the hosts to try for an endpoint, in order."""
    return _LOOPBACK if endpoint.host in ("localhost", "127.0.0.1") else (endpoint.host,)


def connect_error(error: OSError, endpoint: Endpoint) -> str:
    """Word a failed connect as Node does (`connect ECONNREFUSED 10.0.0.1:3001`): people search for that."""
    number = error.errno
    name = errno.errorcode.get(number) if number is not None and number > 0 else None
    text = name or (os.strerror(number) if number is not None and number > 0 else str(error))
    return f"connect {text} {endpoint.host}:{endpoint.port}"
