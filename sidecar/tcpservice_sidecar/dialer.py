"""Connections to replicas: dials what the exchange asks for.

Used by `app`.
"""

from __future__ import annotations

import asyncio
import errno
import os
from contextlib import suppress

from tcpservice.exchange import Connect
from tcpservice.snapshot import Endpoint
from tcpservice_sidecar.hosts import Hosts
from tcpservice_sidecar.plane import Connection, Plane, now_ns
from tcpservice_sidecar.security import Plain


class Dialer:
    """Dials in tasks of its own, one for each connection that is being made."""

    def __init__(self, plane: Plane, security: Plain, hosts: Hosts) -> None:
        self._plane = plane
        self._hosts = hosts
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
            *others, last = self._hosts.of(endpoint)
            context = self._security.for_endpoint(endpoint)
            for host in others:
                with suppress(ConnectionRefusedError):
                    await plane.loop.create_connection(protocol, host, endpoint.port, ssl=context)
                    return
            await plane.loop.create_connection(protocol, last, endpoint.port, ssl=context)
        except OSError as error:
            plane.exchange.closed(command.conn, connect_error(error, endpoint), now_ns())
            plane.touch()


def connect_error(error: OSError, endpoint: Endpoint) -> str:
    """Word a failed connect as Node does (`connect ECONNREFUSED 10.0.0.1:3001`): people search for that."""
    number = error.errno
    name = errno.errorcode.get(number) if number is not None and number > 0 else None
    text = name or (os.strerror(number) if number is not None and number > 0 else str(error))
    return f"connect {text} {endpoint.host}:{endpoint.port}"
