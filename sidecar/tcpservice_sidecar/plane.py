"""The data plane: moves bytes between sockets and the exchange, a turn of the event loop at a time.

Used by `listeners` and `dialer`, which make the connections. Reads go into the exchange as they come; what it wants
written, done and told is taken once a turn, so that a socket gets one write for all the messages of that turn.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, cast

from tcpservice.exchange import Close, Command, Connect, Exchange, Finished, HandOver, Notice, Pause, Resume, Span
from tcpservice_sockets import acknowledge_at_once, notice_death, peer_name, send_at_once, socket_of

SEND_BUFFER: Final = 64 * 1024
"""Above this a transport is asked how much of it is left, until it is empty again."""

ACKNOWLEDGE_S: Final = 0.001
"""How long at least, and twice that at most, what was read waits for a write that acknowledges it on its way.

The kernel would wait 40 ms. Replies of quick apps come within this time, and then no system call is needed for it.
"""

LINGER_S: Final = 2.0
FLUSH_S: Final = 5.0
BACKLOG_CHECK_S: Final = 0.5

now_ns = time.monotonic_ns


class Plane:
    """All connections of one exchange, by their numbers."""

    def __init__(self, exchange: Exchange, loop: asyncio.AbstractEventLoop) -> None:
        self.exchange = exchange
        self.loop = loop
        self.dial: Callable[[Connect], None] = _unset
        self.hang_up: Callable[[int], None] = _unset
        self.hand_over: Callable[[HandOver, asyncio.Transport], None] = _unset
        self.on_notice: Callable[[Notice, str | None], None] = _unset
        self.on_finished: Callable[[list[Finished]], None] = _unset
        self.on_spans: Callable[[list[Span]], None] = _unset
        self.connections: dict[int, Connection] = {}
        self.open: set[Connection] = set()
        self._unread: set[Connection] = set()
        self._read: set[Connection] = set()
        self._read_before: set[Connection] = set()
        self._turn_set = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due: int | None = None
        self._backlog_check: asyncio.TimerHandle | None = None
        self._acknowledging: asyncio.TimerHandle | None = None

    def touch(self) -> None:
        """Take what the exchange has to give at the end of this turn."""
        if not self._turn_set:
            self._turn_set = True
            self.loop.call_soon(self._end_turn)

    def read(self, connection: Connection) -> None:
        """Note that something was read, which is to be acknowledged soon unless an answer does it."""
        self._read.add(connection)
        self.touch()

    def forget(self, connection: Connection) -> None:
        """Note that a socket is closed."""
        self.open.discard(connection)
        self.connections.pop(connection.conn, None)
        self._unread.discard(connection)
        self._answered(connection)

    def _end_turn(self) -> None:
        self._turn_set = False
        exchange = self.exchange
        for conn, parts in exchange.writes().items():
            connection = self.connections.get(conn)
            if connection is not None:
                connection.write(parts)
                self._answered(connection)
        if self._read and self._acknowledging is None:
            self._acknowledging = self.loop.call_later(ACKNOWLEDGE_S, self._acknowledge)
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
        self._set_timer()

    def _obey(self, command: Command) -> None:
        if isinstance(command, Connect):
            self.dial(command)
            return
        connection = self.connections.get(command.conn)
        if connection is None:
            self.hang_up(command.conn)
        elif isinstance(command, Pause):
            connection.pause()
        elif isinstance(command, Resume):
            connection.resume()
        elif isinstance(command, HandOver):
            self.forget(connection)
            self.hand_over(command, connection.transport)
        else:
            self._close(connection, command)

    def _close(self, connection: Connection, command: Close) -> None:
        del self.connections[command.conn]
        self._unread.discard(connection)
        connection.close(abort=command.abort)

    # Time

    def _set_timer(self) -> None:
        due = self.exchange.next_due()
        if due == self._timer_due:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_due = due
        if due is not None:
            delay = max(0, due - now_ns()) / 1e9
            self._timer = self.loop.call_later(delay, self._tick)

    def _tick(self) -> None:
        self._timer = self._timer_due = None
        self.exchange.tick(now_ns())
        self.touch()

    # What was read and not answered yet

    def _answered(self, connection: Connection) -> None:
        self._read.discard(connection)
        self._read_before.discard(connection)

    def _acknowledge(self) -> None:
        """Acknowledge what was read before the last time; what was read since then may yet be answered."""
        for connection in self._read_before:
            connection.acknowledge()
        self._read_before, self._read = self._read, set()
        again = self._read_before
        self._acknowledging = self.loop.call_later(ACKNOWLEDGE_S, self._acknowledge) if again else None

    # What peers have not taken yet

    def report(self, connection: Connection) -> None:
        """Tell the exchange how much a peer has still to take, and again until it has taken all."""
        size = connection.transport.get_write_buffer_size()
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
    raise AssertionError("the plane was used before it was put together")


class Connection(asyncio.Protocol):
    """One socket of the plane, from the time it stands until the exchange has let it go."""

    __slots__ = ("_accept", "_closing", "_had_backlog", "_plane", "_sock", "_upstream", "conn", "peer", "transport")

    transport: asyncio.Transport

    def __init__(
        self, plane: Plane, conn: int | None, *, upstream: bool, accept: Callable[[], int] | None = None
    ) -> None:
        self._plane = plane
        self._upstream = upstream
        self._accept = accept
        self._closing = False
        self._had_backlog = False
        self.conn = -1 if conn is None else conn
        self.peer = "?"

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: a caller gets its number now, a replica's connection has one already."""
        self.transport = cast("asyncio.Transport", transport)
        self._sock = socket_of(transport)
        self.peer = peer_name(transport)
        self.transport.set_write_buffer_limits(SEND_BUFFER)
        if self._sock is not None:
            send_at_once(self._sock)
            notice_death(self._sock)
        plane = self._plane
        if self._accept is not None:
            self.conn = self._accept()
        plane.connections[self.conn] = self
        plane.open.add(self)
        if self._upstream and not plane.exchange.connected(self.conn, now_ns()):
            del plane.connections[self.conn]
            self.transport.abort()
        plane.touch()

    def data_received(self, data: bytes) -> None:
        """Take one read."""
        if not self._closing:
            self._plane.exchange.receive(self.conn, data, now_ns())
            self._plane.read(self)

    def eof_received(self) -> bool:
        """Take the peer's FIN; what it is owed can still be written."""
        if self._closing:
            return False
        self._plane.exchange.end_of_stream(self.conn, now_ns())
        self._plane.touch()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the socket."""
        plane = self._plane
        plane.forget(self)
        plane.exchange.closed(self.conn, _reason(exc), now_ns())
        plane.touch()

    def pause_writing(self) -> None:
        """Stay calm: what is queued is bounded by admission, and reported at the end of each turn."""

    def resume_writing(self) -> None:
        """Report that the peer has taken most of what was queued."""
        if not self._closing:
            self._plane.report(self)

    # Called by the plane

    def write(self, parts: list[bytes]) -> None:
        """Write all of a turn at once, and report what the kernel did not take."""
        transport = self.transport
        transport.write(parts[0] if len(parts) == 1 else b"".join(parts))
        has_backlog = bool(transport.get_write_buffer_size())
        if has_backlog or self._had_backlog:
            self._plane.report(self)
        self._had_backlog = has_backlog

    def acknowledge(self) -> None:
        """Acknowledge what was read, as no write did."""
        if self._sock is not None and not self.transport.is_closing():
            acknowledge_at_once(self._sock)

    def pause(self) -> None:
        """Stop reading."""
        if self.transport.is_reading():
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if not self.transport.is_reading() and not self.transport.is_closing():
            self.transport.resume_reading()

    def close(self, *, abort: bool) -> None:
        """Close: at once, or once all is written.

        A caller's side is then kept open for a moment and what it still sends is thrown away: a close with bytes unread
        makes the kernel send RST, which can destroy replies that the caller has not read yet.
        """
        self._closing = True
        transport = self.transport
        if abort or transport.is_closing():
            transport.abort()
            return
        if self._upstream or not transport.can_write_eof():
            transport.close()
        else:
            transport.write_eof()
            self.resume()
        patience = FLUSH_S if transport.get_write_buffer_size() else LINGER_S
        self._plane.loop.call_later(patience, transport.abort)


def _reason(exc: Exception | None) -> str:
    if exc is None:
        return "closed the connection"
    text = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc) or type(exc).__name__
    return f"connection lost: {text}"
