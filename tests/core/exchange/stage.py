"""A stage for the exchange: callers and endpoints that follow a script, and a clock that the test moves.

The stage takes the part of the shell: it carries the exchange's writes and commands to the peers at once, so that a
test reads as a conversation. Nothing sleeps; `pass_time` visits each timer in its order.
"""

from __future__ import annotations

import json
from typing import Any

from tcpservice.exchange import (
    Bounds,
    Close,
    Command,
    Connect,
    Exchange,
    Finished,
    HandOver,
    Notice,
    Pause,
    Resume,
    Span,
    StartListening,
    StopListening,
)
from tcpservice.snapshot import SECOND, Endpoint, Service, Snapshot
from tcpservice.wire.frames import Control, FrameReader
from tcpservice.wire.mesh import FEATURES, Preface, encode_control, encode_preface, read_preface
from tcpservice.wire.scan import Frame

PROBE = "tcpservice.dev/probe"
NO_HANDLER = "There is no matching message handler defined in the remote service."


def encoded(packet: object) -> bytes:
    """Write a packet as NestJS does."""
    text = packet if isinstance(packet, str) else json.dumps(packet, ensure_ascii=False, separators=(",", ":"))
    return b"%d#%b" % (len(text.encode("utf-16-le", "replace")) // 2, text.encode())


def endpoints(count: int, *, mesh: bool = False) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(host=f"10.0.0.{n}", port=3000, name=f"r{n}", mesh=mesh) for n in range(count))


def service(count: int = 2, *, mesh: bool = False, **values: Any) -> Service:
    values.setdefault("endpoints", endpoints(count, mesh=mesh))
    return Service(**{"namespace": "shop", "name": "orders", "port": 3000, **values})


class Peer:
    """One end of a connection, as the test holds it: what it was sent, and whether it is still open."""

    def __init__(self, stage: Stage, conn: int, *, control: bool) -> None:
        self.stage = stage
        self.conn = conn
        self.raw = b""
        self.open = True
        self.aborted = False
        self.paused = False
        self.preface: Preface | None = None
        self._greeting: bytes | None = b"" if control else None
        self._reader = FrameReader(1 << 30, control=control)
        self.packets: list[Any] = []
        self.words: list[bytes] = []

    def is_open(self) -> bool:
        return self.open

    def is_paused(self) -> bool:
        return self.paused

    def take(self, data: bytes) -> None:
        assert self.open, "bytes were written to a closed connection"
        self.raw += data
        if self._greeting is not None:
            self._greeting += data
            found = read_preface(self._greeting)
            if found is None:
                return
            self.preface, data = found
            self._greeting = None
            self.opened(self.preface)
        for item in self._reader.feed(data):
            if isinstance(item, Frame):
                self.packets.append(json.loads(item.body))
                self.took(self.packets[-1])
            else:
                assert isinstance(item, Control), "what was written is no frame"
                self.words.append(item.body)

    def opened(self, preface: Preface) -> None:
        """React to the preface that was written to this peer."""

    def took(self, packet: Any) -> None:
        """React to a packet that was written to this peer."""

    def send_bytes(self, data: bytes) -> None:
        self.stage.exchange.receive(self.conn, data, self.stage.now)
        self.stage.carry()

    def say(self, word: bytes, argument: bytes = b"") -> None:
        self.send_bytes(encode_control(word, argument))

    def send(self, *packets: object) -> None:
        self.send_bytes(b"".join(map(encoded, packets)))

    def drop(self, reason: str = "connection reset") -> None:
        self.open = False
        self.stage.exchange.closed(self.conn, reason, self.stage.now)
        self.stage.carry()

    def half_close(self) -> None:
        self.stage.exchange.end_of_stream(self.conn, self.stage.now)
        self.stage.carry()

    def hold(self, size: int) -> None:
        """Say how many bytes the peer has not taken yet."""
        self.stage.exchange.backlog(self.conn, size, self.stage.now)
        self.stage.carry()


class Client(Peer):
    """A caller."""

    def ask(self, id_: object = "1", pattern: object = "sum", data: object = None) -> None:
        self.send({"pattern": pattern, "data": data, "id": id_})

    def emit(self, pattern: object = "created", data: object = None) -> None:
        self.send({"pattern": pattern, "data": data})

    def codes(self) -> dict[Any, str]:
        """Return the codes of the sidecar's own errors by request id."""
        return {p["id"]: p["err"]["code"] for p in self.packets if isinstance(p.get("err"), dict)}


class Upstream(Peer):
    """The replica's end of a connection."""

    def __init__(self, stage: Stage, command: Connect) -> None:
        super().__init__(stage, command.conn, control=command.endpoint.mesh)
        self.name = command.endpoint.name
        self.place = f"{command.endpoint.host}:{command.endpoint.port}"

    def opened(self, preface: Preface) -> None:
        if self.name not in self.stage.silent:
            answer = encode_preface(Preface(preface.service, preface.features & FEATURES))
            self.stage.reactions.append((self, answer))

    def took(self, packet: Any) -> None:
        if packet.get("pattern") == PROBE and self.name not in self.stage.silent:
            self.stage.probes.append(self)
            self.stage.reactions.append((self, encoded({"id": packet["id"], "err": NO_HANDLER})))

    @property
    def ids(self) -> list[Any]:
        """The ids of the requests that were written here, probes aside."""
        return [packet["id"] for packet in self.packets if "id" in packet and packet.get("pattern") != PROBE]

    @property
    def patterns(self) -> list[Any]:
        return [packet.get("pattern") for packet in self.packets]

    def reply(self, id_: object, value: object = "ok", **rest: object) -> None:
        self.send({"response": value, **rest, "isDisposed": True, "id": id_})

    def part(self, id_: object, value: object) -> None:
        self.send({"response": value, "id": id_})

    def no_handler(self, id_: object) -> None:
        self.send({"id": id_, "status": "error", "err": NO_HANDLER})

    def greet(self, name: str = "shop/orders") -> None:
        features = self.preface.features if self.preface else frozenset()
        self.send_bytes(encode_preface(Preface(name, features & FEATURES)))


class Stage:
    """The exchange with everybody around it."""

    def __init__(self, *services: Service, bounds: Bounds | None = None, seed: int = 1, tracing: bool = False) -> None:
        self.now = 1000 * SECOND
        self.exchange = Exchange(bounds, seed=seed, tracing=tracing)
        self.services = services or (service(),)
        self.refusing: set[str] = set()
        self.hanging: set[str] = set()
        self.silent: set[str] = set()
        self.upstreams: list[Upstream] = []
        self.clients: list[Client] = []
        self.rows: list[Finished] = []
        self.notices: list[Notice] = []
        self.spans: list[Span] = []
        self.handed: list[HandOver] = []
        self.probes: list[Upstream] = []
        self.reactions: list[tuple[Upstream, bytes]] = []
        self._dialled: list[Upstream] = []
        self.refusing_connections: set[str] = set()
        self.trace: list[object] = []
        self._peers: dict[int, Peer] = {}
        self.swap(*self.services)

    # What a test does

    def swap(self, *services: Service) -> None:
        self.services = services
        self.exchange.swap(Snapshot(services=services), self.now)
        self.carry()

    def client(self, *, inbound: bool = False) -> Client:
        return self._welcome(self.exchange.accept(self.services[0], self.now, inbound=inbound), mesh=False)

    def sidecar(self, name: str | None = "shop/orders", *features: str) -> Client:
        """Connect another sidecar, which asks for the app of that name (None: it sends no preface)."""
        peer = self._welcome(self.exchange.accept_mesh(self.now), mesh=True)
        if name is not None:
            peer.send_bytes(encode_preface(Preface(name, frozenset(features))))
        return peer

    def pass_time(self, nanoseconds: int) -> None:
        until = self.now + nanoseconds
        while (due := self.exchange.next_due()) is not None and due <= until:
            self.now = max(self.now, due)
            self.exchange.tick(self.now)
            self.carry()
        self.now = until

    def connect(self, name: str) -> Upstream:
        """Let the hanging dial of a replica succeed."""
        upstream = next(u for u in self.upstreams if u.name == name and u.conn not in self._peers and u.open)
        self._establish(upstream)
        self.carry()
        return upstream

    def upstream(self, name: str | None = None) -> Upstream:
        """Return the newest connection of a replica, or of any."""
        return next(u for u in reversed(self.upstreams) if name in (None, u.name))

    def holder(self, id_: object) -> Upstream:
        """Return the connection on which a request was seen last."""
        return next(u for u in reversed(self.upstreams) if id_ in u.ids)

    def codes(self) -> list[str]:
        return [row.code.value for row in self.rows]

    def reported(self) -> list[str]:
        return [notice.key for notice in self.notices]

    # What the shell does

    def carry(self) -> None:
        while True:
            if self.exchange.next_due() == 0:
                self.exchange.tick(self.now)
            writes, commands = self.exchange.writes(), self.exchange.commands()
            if not writes and not commands and self.exchange.next_due() != 0:
                break
            for conn, parts in writes.items():
                self.trace.append((conn, b"".join(parts)))
                self._peers[conn].take(b"".join(parts))
            for command in commands:
                self.trace.append(command)
                self._obey(command)
            self._react()
        self.rows += self.exchange.finished()
        self.notices += self.exchange.notices()
        self.spans += self.exchange.spans()

    def _react(self) -> None:
        """Let dials end and probes be answered, once all commands of a turn are obeyed."""
        dialled, self._dialled = self._dialled, []
        for upstream in dialled:
            self._dial(upstream)
        reactions, self.reactions = self.reactions, []
        for upstream, data in reactions:
            if upstream.open:
                self.exchange.receive(upstream.conn, data, self.now)

    def _obey(self, command: Command) -> None:
        if isinstance(command, Connect):
            self._dialled.append(Upstream(self, command))
            self.upstreams.append(self._dialled[-1])
        elif isinstance(command, HandOver):
            self.handed.append(command)
        elif isinstance(command, StopListening):
            self.refusing_connections.add(command.service)
        elif isinstance(command, StartListening):
            self.refusing_connections.remove(command.service)
        elif isinstance(command, Close):
            peer = self._peers.get(command.conn) or next(u for u in self.upstreams if u.conn == command.conn)
            peer.open, peer.aborted = False, command.abort
        else:
            peer = self._peers[command.conn]
            assert peer.paused is not isinstance(command, Pause), "paused or resumed twice"
            assert isinstance(command, Pause | Resume)
            peer.paused = isinstance(command, Pause)

    def _dial(self, upstream: Upstream) -> None:
        if not upstream.open:
            return
        if upstream.name in self.refusing or upstream.place in self.refusing:
            upstream.open = False
            self.exchange.closed(upstream.conn, "refused", self.now)
        elif upstream.name not in self.hanging:
            self._establish(upstream)

    def _establish(self, upstream: Upstream) -> None:
        self._peers[upstream.conn] = upstream
        if not self.exchange.connected(upstream.conn, self.now):
            upstream.open = False
            del self._peers[upstream.conn]

    def _welcome(self, conn: int | None, *, mesh: bool) -> Client:
        assert conn is not None, "the connection was refused"
        client = Client(self, conn, control=mesh)
        self._peers[conn] = client
        self.clients.append(client)
        return client
