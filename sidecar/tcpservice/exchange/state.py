"""The whole state of one exchange, and the few things that every part of it does.

Made by the `exchange`; its parts are functions over this state. It is one record so that each part can be read, and
tested, by itself.
"""

from __future__ import annotations

from collections import Counter
from enum import IntEnum
from typing import Final

from tcpservice.exchange.bounds import Bounds
from tcpservice.exchange.outputs import Command, Finished, Notice, Span
from tcpservice.exchange.records import (
    Connection,
    DownstreamConnection,
    Ended,
    FramedConnection,
    MessageList,
    Upstream,
    UpstreamConnection,
    UpstreamEndpoint,
)
from tcpservice.exchange.sampling import Allowance
from tcpservice.exchange.transitions import (
    CONNECTION,
    DOWNSTREAM,
    ENDPOINT,
    UPSTREAM,
    ConnectionEvent,
    DownstreamEvent,
    EndpointEvent,
    Event,
    IllegalTransition,
    Table,
    UpstreamEvent,
)
from tcpservice.rng import Rng
from tcpservice.snapshot import SECOND
from tcpservice.timers import TimerOwner, Timers

_PLACES: Final = 4096

_LARGEST_JOINED: Final = 16 * 1024
"""Up to so many bytes, one buffer costs the event loop and the kernel less than many."""


class State:
    """The tables of one exchange and its outputs.

    The bounds that are looked at for every message stand here, too.

    `request_bytes`, `partial_bytes` and `unsent_bytes` are what the bounds of the same names limit; connections
    that hold no more than `little` may go above the first by `reserve`. `pending` holds the requests that hold a
    place, in the order of their arrival; `silent` those that hold none any more, the one that was silent for
    longest first. `unparsed` are connections with complete frames that wait for the next turn, `paused` those that
    wait for admission, `large` those that receive a large frame while memory is short. `pump` are upstreams whose
    waiting messages may go on. `opaque` are the numbers of callers' connections to Opaque services. `freed` says
    that admission may let a paused connection go on. `place` is the place of the first connection to each other
    sidecar (see `wire.mesh`), which differs between sidecars. `writers` are the connections with bytes to write.
    """

    def __init__(self, bounds: Bounds, seed: int, *, tracing: bool, strict: bool) -> None:
        self.bounds = bounds
        self.most_request_bytes = bounds.request_bytes
        self.reserve = bounds.request_bytes // 8
        self.little = self.reserve // 64
        self.most_downstream_requests = bounds.downstream_requests
        self.most_downstream_bytes = bounds.downstream_bytes
        self.most_partial_bytes = 2 * bounds.partial_bytes + bounds.request_bytes // 4
        self.most_pending = bounds.pending
        self.upstream_backlog = bounds.upstream_backlog
        self.large_message = bounds.large
        self.congested_bytes = 4 * bounds.large
        self.congested_backlog = min(bounds.large // 4, bounds.upstream_backlog)
        self.retry_bytes = bounds.retry_bytes
        self.traced_payload = bounds.traced_payload
        self.tracing = tracing
        self.strict = strict
        self.rng = Rng(seed)
        self.place = 1 + seed % _PLACES
        self.timers = Timers()
        self.clock = TimerOwner()
        self.upstreams: dict[str, Upstream] = {}
        self.apps: dict[str, Upstream] = {}
        self.connections: dict[int, Connection] = {}
        self.downstreams: dict[DownstreamConnection, None] = {}
        self.opaque: set[int] = set()
        self.request_bytes = 0
        self.partial_bytes = 0
        self.unsent_bytes = 0
        self.slow_readers = 0
        self.pending = MessageList()
        self.silent = MessageList()
        self.unparsed: dict[DownstreamConnection | UpstreamConnection, None] = {}
        self.paused: dict[DownstreamConnection, None] = {}
        self.large: dict[DownstreamConnection, None] = {}
        self.pump: dict[Upstream, None] = {}
        self.freed = False
        self.draining = False
        self.withdrawn = False
        self.heard = 0
        self.last_conn = 0
        self.last_message = 0
        self.writers: list[FramedConnection] = []
        self.commands: list[Command] = []
        self.notices: list[Notice] = []
        self.rows: list[Finished] = []
        self.spans: list[Span] = []
        self.remembered: dict[tuple[int, bytes], Ended] = {}
        self.allowance = Allowance(bounds.kept_traces)
        self.counts: Counter[str] = Counter()
        self.taken: set[tuple[str, int, int]] = set()
        self._reported: dict[tuple[str, str], int] = {}

    @property
    def leaves(self) -> bool:
        """Whether other sidecars are to pick other pods, whatever becomes of the app."""
        return self.draining or self.withdrawn

    def move(
        self, record: DownstreamConnection | UpstreamConnection | UpstreamEndpoint | Upstream, event: Event
    ) -> None:
        """Change a record's state as its table says. The only place where a state is assigned."""
        old = record.state
        new = _TABLES[type(record)].get((old, event))
        if new is None:
            self._illegal(type(record).__name__, old, event)
            return
        self.taken.add((type(record).__name__, old, event))
        record.state = new

    def _illegal(self, kind: str, old: IntEnum, event: IntEnum) -> None:
        text = f"{kind}: {old.name} has no transition for {event.name}"
        if self.strict:
            raise IllegalTransition(text)
        self.counts["illegal_transitions"] += 1
        if self.counts["illegal_transitions"] == 1:
            self.notices.append(Notice("internal_error", f"{text}; please report this", ""))

    def new_conn(self) -> int:
        """Return a number that no connection had before."""
        self.last_conn += 1
        return self.last_conn

    def new_sequence(self) -> int:
        """Return the number of the next message."""
        self.last_message += 1
        return self.last_message

    def write(self, connection: FramedConnection, data: bytes) -> None:
        """Add bytes to what leaves on a connection at the end of this turn."""
        outgoing = connection.outgoing
        if outgoing is None:
            connection.outgoing = [data]
            connection.outgoing_bytes = len(data)
            self.writers.append(connection)
        else:
            outgoing.append(data)
            connection.outgoing_bytes += len(data)

    def take_writes(self) -> dict[int, list[bytes]]:
        """Take what is to be written, by the number of the connection; little of it as one buffer."""
        writers, self.writers = self.writers, []
        taken = {}
        for connection in writers:
            outgoing, connection.outgoing = connection.outgoing, None
            if outgoing is None or not outgoing:
                continue
            if len(outgoing) > 1 and connection.outgoing_bytes <= _LARGEST_JOINED:
                outgoing = [b"".join(outgoing)]
            taken[connection.conn] = outgoing
        return taken

    def report(self, key: str, text: str, about: DownstreamConnection | UpstreamConnection | UpstreamEndpoint) -> None:
        """Add a line for the log."""
        if isinstance(about, DownstreamConnection):
            service = about.upstream.key if about.upstream else ""
            self.notices.append(Notice(key, text, service, conn=about.conn))
            return
        endpoint = about.endpoint if isinstance(about, UpstreamConnection) else about
        self.notices.append(Notice(key, text, endpoint.upstream.key, endpoint=endpoint.address.name))

    def report_rarely(self, key: str, text: str, upstream: Upstream, now: int) -> None:
        """Add a line for the log about a service, at most one a second of each kind."""
        about = (key, upstream.key)
        if now - self._reported.get(about, -SECOND) >= SECOND:
            self._reported[about] = now
            self.notices.append(Notice(key, text, upstream.key))


_TABLES: dict[type, Table] = {
    DownstreamConnection: DOWNSTREAM,
    UpstreamConnection: CONNECTION,
    UpstreamEndpoint: ENDPOINT,
    Upstream: UPSTREAM,
}

__all__ = ["ConnectionEvent", "DownstreamEvent", "EndpointEvent", "State", "UpstreamEvent"]
