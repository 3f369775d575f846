"""The I/O of the exchange: moves bytes between channels and the exchange, a turn of the event loop at a time.

Used by `app`, which makes it, and by `listeners`, which give it connections. Reads go into the exchange as they come;
what the exchange wants written, done and told is taken once a turn, so that a connection gets one write for all the
messages of that turn. Dials run in tasks of their own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from tcpservice.exchange import (
    Close,
    Command,
    Connect,
    Finished,
    HandOver,
    Notice,
    Pause,
    Resume,
    Span,
    StartListening,
    StopListening,
)
from tcpservice.exchange.exchange import Exchange
from tcpservice_sidecar.connector import Connector
from tcpservice_sockets.acknowledging import DelayedAcknowledgement
from tcpservice_sockets.channel import Channel
from tcpservice_sockets.connecting import connect_error
from tcpservice_sockets.lingering import Lingering, Patience
from tcpservice_sockets.timer import LoopTimer

LINGER_S: Final = 2.0
"""How long a connection that is closed and has nothing to send may stay open until the peer closes it, too."""

FLUSH_S: Final = 5.0
"""How long a connection that is closed waits for a peer that takes no byte of the rest."""

LOOK_S: Final = 0.5
"""How often the sidecar looks whether the peer of a closed connection has taken bytes."""

UNACCEPTED: Final = -1
"""The number of a downstream connection that the exchange has not taken."""

BACKLOG_CHECK_S: Final = 0.5

now_ns = time.monotonic_ns


class ExchangeIO:
    """All connections of one exchange, by their numbers."""

    def __init__(self, exchange: Exchange, connector: Connector, loop: asyncio.AbstractEventLoop) -> None:
        self.exchange = exchange
        self.loop = loop
        self._connector = connector
        self._dials: dict[int, asyncio.Task[None]] = {}
        self.hand_over: Callable[[HandOver, Channel], None] = _unset
        self.stop_listening: Callable[[str], None] = _unset
        self.start_listening: Callable[[str], None] = _unset
        self.on_notice: Callable[[Notice, str | None], None] = _unset
        self.on_finished: Callable[[list[Finished]], None] = _unset
        self.on_spans: Callable[[list[Span]], None] = _unset
        self.connections: dict[int, Connection] = {}
        self.open: set[Connection] = set()
        self.acknowledgement = DelayedAcknowledgement(loop)
        self._unread: set[Connection] = set()
        self._turn_set = False
        self._timer = LoopTimer(loop, self._tick)
        self._backlog_check: asyncio.TimerHandle | None = None

    def touch(self) -> None:
        """Take what the exchange has to give at the end of this turn."""
        if not self._turn_set:
            self._turn_set = True
            self.loop.call_soon(self._end_turn)

    def forget(self, connection: Connection) -> None:
        """Note that a socket is closed."""
        self.open.discard(connection)
        self.connections.pop(connection.conn, None)
        self._unread.discard(connection)
        self.acknowledgement.written(connection.channel)

    def _end_turn(self) -> None:
        self._turn_set = False
        exchange = self.exchange
        for conn, parts in exchange.writes().items():
            connection = self.connections.get(conn)
            if connection is not None:
                connection.write(parts)
        for notice in exchange.notices():
            connection = self.connections.get(notice.conn) if notice.conn is not None else None
            self.on_notice(notice, connection.peer if connection else None)
        for command in exchange.commands():
            self._obey(command)
        finished = exchange.finished()
        if finished:
            self.on_finished(finished)
        spans = exchange.spans()
        if spans:
            self.on_spans(spans)
        self._timer.set(exchange.next_due())

    def _obey(self, command: Command) -> None:
        if isinstance(command, Connect):
            self._dial(command)
        elif isinstance(command, StopListening):
            self.stop_listening(command.service)
        elif isinstance(command, StartListening):
            self.start_listening(command.service)
        else:
            self._obey_connection(command)

    def _obey_connection(self, command: Close | Pause | Resume | HandOver) -> None:
        connection = self.connections.get(command.conn)
        if connection is None:
            self._cancel_dial(command.conn)
        elif isinstance(command, Pause):
            connection.pause()
        elif isinstance(command, Resume):
            connection.resume()
        elif isinstance(command, HandOver):
            self.forget(connection)
            self.hand_over(command, connection.channel)
        else:
            self._close(connection, command)

    def _close(self, connection: Connection, command: Close) -> None:
        del self.connections[command.conn]
        self._unread.discard(connection)
        connection.close(abort=command.abort)

    # Dials

    def _dial(self, command: Connect) -> None:
        """Begin to connect. The exchange is told the result."""
        task = self.loop.create_task(self._connect(command))
        self._dials[command.conn] = task
        task.add_done_callback(lambda _: self._dials.pop(command.conn, None))

    def _cancel_dial(self, conn: int) -> None:
        """Cancel a pending dial. Does nothing if there is none."""
        task = self._dials.get(conn)
        if task is not None:
            task.cancel()

    async def _connect(self, command: Connect) -> None:
        connection = Connection(self, command.conn, upstream=True)
        try:
            await self._connector.connect(command.endpoint, connection)
        except OSError as error:
            where = command.endpoint.host, command.endpoint.port
            self.exchange.closed(command.conn, connect_error(error, *where), now_ns())
            self.touch()

    # Time

    def _tick(self) -> None:
        try:
            self.exchange.tick(now_ns())
        finally:
            self.touch()  # whatever went wrong, the next timer is set

    # What peers have not taken yet

    def report(self, connection: Connection) -> None:
        """Tell the exchange how much a peer has still to take, and again until it has taken all."""
        size = connection.channel.unsent
        if size:
            self._unread.add(connection)
            if self._backlog_check is None:
                self._backlog_check = self.loop.call_later(BACKLOG_CHECK_S, self._check_backlogs)
        else:
            self._unread.discard(connection)
        self.exchange.backlog(connection.conn, size, now_ns())
        self.touch()

    def _check_backlogs(self) -> None:
        self._backlog_check = None
        for connection in list(self._unread):
            self.report(connection)
        if self._unread and self._backlog_check is None:
            self._backlog_check = self.loop.call_later(BACKLOG_CHECK_S, self._check_backlogs)


def _unset(*_: object) -> None:
    raise AssertionError("the I/O was used before it was put together")


class Connection:
    """One connection of the exchange: the receiver of its channel, until the exchange has let it go."""

    __slots__ = ("_accept", "_closing", "_has_backlog", "_io", "_lingering", "_upstream", "channel", "conn", "peer")

    channel: Channel

    def __init__(
        self, io: ExchangeIO, conn: int, *, upstream: bool, accept: Callable[[], int | None] | None = None
    ) -> None:
        self._io = io
        self._upstream = upstream
        self._accept = accept
        self._closing = False
        self._has_backlog = False
        self._lingering: Lingering | None = None
        self.conn = conn
        self.peer = "?"

    # Called by the channel

    def opened(self, channel: Channel) -> None:
        """Begin: a downstream connection gets its number now, an upstream one has it already."""
        self.channel = channel
        self.peer = channel.peer
        io = self._io
        if self._accept is not None:
            conn = self._accept()
            if conn is None:
                self._closing = True
                channel.abort()
                return
            self.conn = conn
        io.connections[self.conn] = self
        io.open.add(self)
        if self._upstream and not io.exchange.connected(self.conn, now_ns()):
            del io.connections[self.conn]
            self._closing = True
            channel.abort()
        io.touch()

    def received(self, data: bytes) -> None:
        """Take one read."""
        if not self._closing:
            if not self._io.exchange.receive(self.conn, data, now_ns()):
                self.channel.pause_reading()
            self._io.acknowledgement.read(self.channel)
            self._io.touch()

    def ended(self) -> None:
        """Take the end of what the peer sends; what it is owed can still be written."""
        if not self._closing:
            self._io.exchange.end_of_stream(self.conn, now_ns())
            self._io.touch()

    def unsent_changed(self) -> None:
        """Report that much output waits, or that the peer has taken most of it."""
        if not self._closing:
            self._has_backlog = True
            self._io.report(self)

    def closed(self, error: str) -> None:
        """Forget the connection."""
        io = self._io
        io.forget(self)
        if self._lingering is not None:
            self._lingering.stop()
        if self.conn != UNACCEPTED:
            io.exchange.closed(self.conn, f"connection lost: {error}" if error else "closed the connection", now_ns())
            io.touch()

    # Called by the I/O

    def write(self, parts: list[bytes]) -> None:
        """Write all of a turn at once, and report what the kernel did not take.

        uvloop writes at the end of the turn, so that right after a write all of it still waits. What waits before a
        write has waited since an earlier turn; what this write adds is reported by the channel if it is much.
        """
        channel = self.channel
        waits = channel.unsent
        channel.write(parts)
        self._io.acknowledgement.written(channel)
        if waits or self._has_backlog:
            self._has_backlog = bool(waits)
            self._io.report(self)

    def pause(self) -> None:
        """Stop reading."""
        self.channel.pause_reading()

    def resume(self) -> None:
        """Read again."""
        self.channel.resume_reading()

    def close(self, *, abort: bool) -> None:
        """Close: at once, or once all is written.

        A downstream connection lingers, and what still comes is thrown away.
        """
        self._closing = True
        channel = self.channel
        if abort or channel.closing:
            channel.abort()
            return
        if self._upstream:
            channel.close()
        self._lingering = Lingering(channel, Patience(FLUSH_S, LINGER_S, LOOK_S), lambda _: channel.abort())
        channel.resume_reading()
