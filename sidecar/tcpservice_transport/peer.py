"""One connection of a server, and the handlers that run for it.

Used by `server`, which keeps them, and by `answers`, which reply to them.
"""

from __future__ import annotations

import asyncio

from tcpservice_transport.connection import Connection
from tcpservice_transport.handlers import Handler


class Peer:
    """A client: its connection, the tasks that run for it, those of streams, and whether it sends no more.

    `starting` says that a task has been made in this turn of the event loop, and may not have begun.
    """

    __slots__ = ("connection", "ended", "running", "starting", "streams")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.running: dict[asyncio.Task[None], Handler] = {}
        self.streams: set[asyncio.Task[None]] = set()
        self.ended = False
        self.starting = False

    def add(self, task: asyncio.Task[None], handler: Handler, most: int) -> None:
        """Let a handler run; with so many of them, nothing more is read until one has ended."""
        self.running[task] = handler
        if handler.streams:
            self.streams.add(task)
        if len(self.running) >= most:
            self.connection.pause()

    def started(self) -> None:
        """Take note that the tasks of the last turn have begun."""
        self.starting = False

    def remove(self, task: asyncio.Task[None], most: int) -> None:
        """Take note that a handler has ended; the last one of a peer that sends no more ends the connection."""
        del self.running[task]
        self.streams.discard(task)
        if self.ended and not self.running:
            self.connection.part()
        elif not self.ended and len(self.running) == most - 1:
            self.connection.resume()

    def finish(self) -> None:
        """Take no more; close once all is answered."""
        self.ended = True
        self.connection.ignore()
        if not self.running:
            self.connection.part()
