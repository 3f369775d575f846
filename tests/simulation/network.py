"""Simulated TCP: connections that delay, split, clog, reset and die without a word.

Used by the models of sidecars, apps and clients. A connection has two ends; the bytes that one end writes arrive at the
other in order, later, and cut at arbitrary places. What the peer has not read waits; above `capacity` bytes (the
kernel's buffers) the rest counts as the writer's backlog.

Faults: a *clogged* connection delivers nothing until it is unclogged. A *severed* one loses every byte and tells
neither end; an end that writes into it learns of that after `DEATH`, as Linux's TCP_USER_TIMEOUT tells it, or at once
when the network is healed, as a host that knows nothing of the connection answers with RST.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Final, Protocol

from simulation.clock import Clock
from tcpservice.snapshot import MILLISECOND, SECOND

DEATH: Final = 20 * SECOND
KEEPALIVE: Final = 15 * SECOND
"""How long after the network is healed both ends of an idle severed connection have noticed."""

NODE_READ: Final = 65_536
"""Node.js reads at most this many bytes at once."""

NEVER: Final = -(1 << 62)


class Owner(Protocol):
    """What an end tells to the model that holds it."""

    def data(self, end: End, data: bytes, /) -> None:
        """Take what one read returned."""

    def finished(self, end: End, /) -> None:
        """The peer sent FIN: nothing follows, but it may still read."""

    def lost(self, end: End, reason: str, /) -> None:
        """The connection is no more."""

    def drained(self, end: End, /) -> None:
        """The peer has taken all that was written."""


class End:
    """One end of a connection, as its owner holds it."""

    __slots__ = (
        "_arrived", "_due", "_flight", "_lingers_until", "_waits", "backlogged", "cause", "closed", "conn",
        "connection", "finished", "name", "owner", "paused", "peer", "position", "queued", "ranks", "remote",
    )  # fmt: skip

    peer: End

    def __init__(self, connection: Connection, owner: Owner, name: str) -> None:
        self.connection = connection
        self.owner = owner
        self.name = name
        self.conn = -1
        self.remote = ""
        self.closed = False
        self.finished = False
        self.paused = False
        self.backlogged = False
        self.queued = 0
        self.cause = NEVER
        self.ranks: dict[int, int] = {}
        self.position = 0
        self._flight: deque[tuple[int, bytes | None]] = deque()
        self._arrived = 0
        self._due = 0
        self._waits = False
        self._lingers_until = 0

    @property
    def backlog(self) -> int:
        """How many bytes are beyond what the kernel takes."""
        return max(0, self.queued - self.connection.network.capacity)

    def write(self, data: bytes) -> None:
        """Send bytes."""
        if self.closed or self.finished:
            return
        self.queued += len(data)
        connection = self.connection
        if connection.severed:
            connection.written_into_nothing()
            return
        if self.queued > connection.network.capacity:
            self.backlogged = True
            self.peer.cause = connection.network.clock.now
        self._put(data)

    def finish(self) -> None:
        """Send FIN: nothing follows."""
        if not (self.closed or self.finished):
            self.finished = True
            if not self.connection.severed:
                self._put(None)

    def close(self, linger: int = 0) -> None:
        """Send FIN and throw away what comes; after `linger` nanoseconds, RST answers it."""
        self.finish()
        self.closed = True
        network = self.connection.network
        self._lingers_until = network.clock.now + linger
        if linger:
            network.clock.after(linger, self.abort)
        self.resume()
        network.forget(self.connection)

    def abort(self, reason: str = "connection reset") -> None:
        """Send RST: what is on its way may be lost."""
        if self.closed and self.peer.closed:
            return
        self.closed = True
        self._flight.clear()
        connection = self.connection
        if not connection.severed:
            connection.network.clock.after(connection.latency, self.peer.reset, reason)
        connection.network.forget(connection)

    def reset(self, reason: str) -> None:
        """Take a RST."""
        if not self.closed:
            self.closed = True
            self._flight.clear()
            self.connection.network.forget(self.connection)
            self.owner.lost(self, reason)

    def pause(self) -> None:
        """Stop reading."""
        self.paused = True

    def resume(self) -> None:
        """Read again."""
        if self.paused:
            self.paused = False
            self.peer.go_on()

    def go_on(self) -> None:
        """Deliver what was held back."""
        if self._waits:
            self._waits = False
            self._schedule()

    def _put(self, data: bytes | None) -> None:
        connection = self.connection
        network = connection.network
        delay = connection.latency
        if network.jitter:
            delay += int(network.random.random() * network.jitter)
        self._arrived = max(self._arrived, network.clock.now + delay)
        self._flight.append((self._arrived, data))
        if not self._waits:
            self._schedule()

    def _schedule(self) -> None:
        if not self._due and self._flight:
            clock = self.connection.network.clock
            self._due = max(self._flight[0][0], clock.now)
            clock.at(self._due, self._deliver)

    def _deliver(self) -> None:
        self._due = 0
        connection = self.connection
        peer = self.peer
        if connection.severed or not self._flight:
            return
        if peer.closed:
            self._discard(peer)
            return
        if connection.clogged or peer.paused:
            self._waits = True
            return
        data, end = self._take(connection.network)
        self._schedule()
        if data:
            self.queued -= len(data)
            peer.owner.data(peer, data)
            if self.backlogged and not self.queued and not self.closed:
                self.backlogged = False
                self.owner.drained(self)
        if end and not peer.closed:
            peer.owner.finished(peer)

    def _discard(self, peer: End) -> None:
        """Handle that the peer has closed its end: it throws bytes away for a while, then answers with RST."""
        self._flight.clear()
        self.queued = 0
        if self.closed:
            return
        network = self.connection.network
        if network.clock.now >= peer._lingers_until:
            network.clock.after(self.connection.latency, self.reset, "connection reset")
        elif self.backlogged:
            self.backlogged = False
            self.owner.drained(self)

    def _take(self, network: Network) -> tuple[bytes, bool]:
        """Take what one read returns, and whether FIN follows it."""
        flight, now, parts = self._flight, network.clock.now, []
        end = False
        while flight and flight[0][0] <= now:
            part = flight.popleft()[1]
            if part is None:
                end = True
                break
            parts.append(part)
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        size = len(data)
        if size > 1 and (size > NODE_READ or (network.splits and network.random.random() < network.splits)):
            cut = min(NODE_READ, network.random.randrange(1, size))
            if end:
                flight.appendleft((now, None))
                end = False
            flight.appendleft((now + network.gap(), data[cut:]))
            self._arrived = max(self._arrived, flight[0][0])
            data = data[:cut]
        return data, end


class Connection:
    """Two ends and what is between them."""

    __slots__ = ("_dying", "clogged", "latency", "network", "number", "severed", "tags")

    def __init__(self, network: Network, number: int, latency: int, tags: tuple[str, ...]) -> None:
        self.network = network
        self.number = number
        self.latency = latency
        self.tags = tags
        self.clogged = False
        self.severed = False
        self._dying = False

    def written_into_nothing(self) -> None:
        """Handle that an end wrote into a severed connection."""
        if not self._dying:
            self._dying = True
            network = self.network
            network.clock.after(self.latency if network.healed else DEATH, self.die)

    def die(self) -> None:
        """Tell both ends that the connection is no more."""
        for end in self.network.ends(self):
            end.reset("connection timed out")


class Dial:
    """A connection that is being made."""

    __slots__ = ("cancelled", "conn")

    def __init__(self, conn: int) -> None:
        self.conn = conn
        self.cancelled = False


Accept = Callable[[End], Owner | None]
"""Takes a new connection's end and returns its owner; None refuses it."""


class Network:
    """All connections and listening ports of one run."""

    def __init__(
        self, clock: Clock, random: Random, *, latency: int, jitter: int, splits: float, capacity: int
    ) -> None:
        self.clock = clock
        self.random = random
        self.latency = latency
        self.jitter = jitter
        self.splits = splits
        self.capacity = capacity
        self.healed = False
        self.listeners: dict[str, Accept] = {}
        self.unreachable: dict[str, None] = {}
        self._hanging: dict[Dial, Callable[[Dial, str], None]] = {}
        self._open: dict[int, tuple[End, End]] = {}
        self._last = 0

    def gap(self) -> int:
        """Return how long the rest of a split read takes: mostly a moment, at times longer than a burst."""
        draw = self.random.random()
        return int(draw * 2 * MILLISECOND) if draw < 0.95 else int((draw - 0.95) * 20 * SECOND)

    def dial(
        self,
        address: str,
        owner: Owner,
        name: str,
        tags: tuple[str, ...],
        connected: Callable[[Dial, End], None],
        failed: Callable[[Dial, str], None],
        conn: int = -1,
    ) -> Dial:
        """Begin to connect; one of the two callbacks tells how it went, for an unreachable address after `DEATH`."""
        dial = Dial(conn)
        self.clock.after(self.latency, self._arrive, dial, address, owner, name, tags, connected, failed)
        return dial

    def _arrive(
        self,
        dial: Dial,
        address: str,
        owner: Owner,
        name: str,
        tags: tuple[str, ...],
        connected: Callable[[Dial, End], None],
        failed: Callable[[Dial, str], None],
    ) -> None:
        if dial.cancelled:
            return
        if address in self.unreachable:
            self._hanging[dial] = failed
            self.clock.after(DEATH, self._give_up, dial)
            return
        accept = self.listeners.get(address)
        self._last += 1
        connection = Connection(self, self._last, self.latency, tags)
        near, far = End(connection, owner, name), End(connection, owner, address)
        near.peer, far.peer, near.remote, far.remote = far, near, address, name
        accepted = accept(far) if accept is not None else None
        if accepted is None:
            self.clock.after(self.latency, self._tell_failed, dial, failed, "connect ECONNREFUSED")
            return
        far.owner = accepted
        self._open[connection.number] = near, far
        self.clock.after(self.latency, self._tell_connected, dial, near, connected, failed)

    def _give_up(self, dial: Dial) -> None:
        failed = self._hanging.pop(dial, None)
        if failed is not None:
            self._tell_failed(dial, failed, "connect ETIMEDOUT")

    def _tell_failed(self, dial: Dial, failed: Callable[[Dial, str], None], reason: str) -> None:
        if not dial.cancelled:
            failed(dial, reason)

    def _tell_connected(
        self,
        dial: Dial,
        near: End,
        connected: Callable[[Dial, End], None],
        failed: Callable[[Dial, str], None],
    ) -> None:
        if dial.cancelled:
            near.abort()
        elif near.closed:
            failed(dial, "connection reset")
        else:
            connected(dial, near)

    def forget(self, connection: Connection) -> None:
        """Forget a connection both ends of which are closed."""
        found = self._open.get(connection.number)
        if found is not None and found[0].closed and found[1].closed:
            del self._open[connection.number]

    def ends(self, connection: Connection) -> tuple[End, ...]:
        """Return the two ends of an open connection."""
        return self._open.get(connection.number, ())

    def open_connections(self) -> list[Connection]:
        """Return the connections that stand, oldest first."""
        return [near.connection for near, _ in self._open.values()]

    # Faults

    def clog(self, connection: Connection, *, clogged: bool) -> None:
        """Stop or resume the delivery in both directions."""
        connection.clogged = clogged
        for end in self.ends(connection):
            end.cause = self.clock.now
            if not clogged:
                end.go_on()

    def sever(self, connection: Connection) -> None:
        """Lose everything from now on, and tell nobody."""
        connection.severed = True
        for end in self.ends(connection):
            end.cause = self.clock.now

    def reset(self, connection: Connection) -> None:
        """Reset a connection at both ends."""
        for end in self.ends(connection):
            end.reset("connection reset")

    def heal(self) -> None:
        """End all faults of the network."""
        self.healed = True
        self.unreachable.clear()
        for dial in list(self._hanging):
            self._give_up(dial)
        self.splits = min(self.splits, 0.05)
        for connection in self.open_connections():
            if connection.clogged:
                self.clog(connection, clogged=False)
            if connection.severed:
                self.clock.after(KEEPALIVE, connection.die)
