"""The exchange as the fuzzer of the core sees it: connections that bytes come from and go to, and a clock.

All knowledge of the exchange's names is here. It stands in for the shell: it delivers reads unless reading is paused,
carries writes to the peers at once, and opens and closes connections as commanded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from tcpservice.exchange import Bounds, Close, Connect, Exchange, HandOver, Pause, Resume
from tcpservice.snapshot import MILLISECOND, SECOND, Endpoint, Limits, Service, Snapshot, Timeouts
from tcpservice.wire.mesh import Preface, encode_preface

KEY = "shop/orders"
MAX_FRAME = 8192
OPENING = encode_preface(Preface(KEY))
APP = "app"

REFUSES_EMPTY = True
"""Whether the exchange keeps frames with neither pattern nor data from replicas."""


class Peer(Protocol):
    """The other end of one connection."""

    def take(self, data: bytes) -> None:
        """Take what was written to it."""

    def ended(self) -> None:
        """Take note that the connection was closed."""


REPORTED_AGAIN = 500 * MILLISECOND
"""How often the shell says how much a peer has still to take."""


class World:
    """One exchange: a service with replicas, and an app of the pod for callers on the mesh."""

    def __init__(self, seed: int, replicas: tuple[str, ...], dial: Callable[[str, int], Peer], *, mesh: bool) -> None:
        self.now = 1000 * SECOND
        self._dial = dial
        self._peers: dict[int, Peer] = {}
        self._reads: dict[int, deque[bytes]] = {}
        self._paused: set[int] = set()
        self._unread: dict[int, int] = {}
        self._exchange = Exchange(Bounds(), seed=seed, tracing=bool(seed % 2))
        ends = tuple(Endpoint(host="10.0.0.1", port=3000 + n, name=name, mesh=mesh) for n, name in enumerate(replicas))
        self._service = _service(ends)
        self._exchange.swap(Snapshot(services=(self._service,)), self.now)
        app = Endpoint(host="127.0.0.1", port=3000, name=APP)
        self._exchange.add_app(_service((app,)), app, self.now)
        self._carry()

    def caller(self, peer: Peer) -> int:
        """Let a plain caller connect; return its connection's number."""
        return self._welcome(self._exchange.accept(self._service, self.now), peer)

    def mesh_caller(self, peer: Peer) -> int:
        """Let another sidecar connect, which has said nothing yet."""
        return self._welcome(self._exchange.accept_mesh(self.now), peer)

    def read(self, conn: int, data: bytes) -> None:
        """Deliver what a peer sent, now or once it is read again."""
        if conn in self._reads:
            self._reads[conn].append(data)
            self._deliver(conn)

    def half_close(self, conn: int) -> None:
        """Let a peer send no more."""
        if conn in self._peers and not self._reads[conn]:
            self._exchange.end_of_stream(conn, self.now)
            self._carry()

    def drop(self, conn: int) -> None:
        """Let a connection break."""
        if conn in self._peers:
            self._forget(conn)
            self._exchange.closed(conn, "connection reset", self.now)
            self._carry()

    def unread(self, conn: int, size: int) -> None:
        """Say how many bytes a peer has not taken, now and then again and again, as the shell does."""
        if conn in self._peers:
            self._unread[conn] = size
            self._exchange.backlog(conn, size, self.now)
            self._carry()

    def is_open(self, conn: int) -> bool:
        """Whether a connection stands."""
        return conn in self._peers

    def pass_time(self, nanoseconds: int) -> None:
        """Let time pass, deadline by deadline."""
        until = self.now + nanoseconds
        while self.now < until:
            step = min(until, self.now + REPORTED_AGAIN) if any(self._unread.values()) else until
            self._tick(step)
            for conn, size in list(self._unread.items()):
                self.unread(conn, size)
        self._tick(until)

    def _tick(self, until: int) -> None:
        while (due := self._exchange.next_due()) is not None and due <= until:
            self.now = max(self.now, due)
            self._exchange.tick(self.now)
            self._carry()
        self.now = max(self.now, until)

    def _welcome(self, conn: int | None, peer: Peer) -> int:
        assert conn is not None, "the connection was refused"
        self._peers[conn] = peer
        self._reads[conn] = deque()
        self._carry()
        return conn

    def _forget(self, conn: int) -> Peer | None:
        self._reads.pop(conn, None)
        self._paused.discard(conn)
        self._unread.pop(conn, None)
        return self._peers.pop(conn, None)

    def _deliver(self, conn: int) -> None:
        while self._reads.get(conn) and conn not in self._paused:
            self._exchange.receive(conn, self._reads[conn].popleft(), self.now)
            self._carry()

    def _carry(self) -> None:
        """Carry writes and obey commands until there are none."""
        exchange = self._exchange
        while True:
            writes, commands = exchange.writes(), exchange.commands()
            if not writes and not commands:
                break
            for conn, parts in writes.items():
                if conn in self._peers:
                    self._peers[conn].take(b"".join(parts))
            for command in commands:
                self._obey(command)
        exchange.notices()
        exchange.finished()
        exchange.spans()

    def _obey(self, command: object) -> None:
        if isinstance(command, Connect):
            conn = command.conn
            self._peers[conn] = self._dial(command.endpoint.name or "", conn)
            self._reads[conn] = deque()
            if not self._exchange.connected(conn, self.now):
                self._forget(conn)
        elif isinstance(command, Close | HandOver):
            peer = self._forget(command.conn)
            if peer is not None:
                peer.ended()
        elif isinstance(command, Pause):
            self._paused.add(command.conn)
        elif isinstance(command, Resume):
            self._paused.discard(command.conn)
            self._deliver(command.conn)


def _service(endpoints: tuple[Endpoint, ...]) -> Service:
    return Service(
        namespace="shop",
        name="orders",
        port=3000,
        endpoints=endpoints,
        timeouts=Timeouts(request=20 * SECOND),
        limits=Limits(max_frame_size=MAX_FRAME),
    )
