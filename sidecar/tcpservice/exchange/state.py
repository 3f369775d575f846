"""The whole state of one exchange, and the few things that every part of it does.

Made by the `exchange`; its parts are functions over this state. Kept as one record so that a part can be read, and
tested, by itself.
"""

from __future__ import annotations

from collections import Counter

from tcpservice.chance import Chance
from tcpservice.deadlines import Wheel
from tcpservice.exchange.bounds import Bounds
from tcpservice.exchange.outputs import Command, Finished, Notice, Span
from tcpservice.exchange.records import Backend, Caller, Ended, Link, Peer, Replica
from tcpservice.exchange.sampling import Allowance


class State:
    """Tables of what is there, and what has to be told to the shell."""

    def __init__(self, bounds: Bounds, seed: int, *, tracing: bool) -> None:
        self.bounds = bounds
        self.tracing = tracing
        self.chance = Chance(seed)
        self.wheel = Wheel()
        self.backends: dict[str, Backend] = {}
        self.apps: dict[str, Backend] = {}
        self.peers: dict[int, Peer] = {}
        self.callers: dict[Caller, None] = {}
        self.bytes = 0
        self.unread = 0
        self.draining = False
        self.withdrawn = False
        self.room = False
        self.crowded: dict[Backend, None] = {}
        self.heard = 0
        self.last_conn = 0
        self.writes: dict[int, list[bytes]] = {}
        self.commands: list[Command] = []
        self.notices: list[Notice] = []
        self.rows: list[Finished] = []
        self.spans: list[Span] = []
        self.remembered: dict[tuple[int, bytes], Ended] = {}
        self.allowance = Allowance(bounds.kept_per_second)
        self.counts: Counter[str] = Counter()

    @property
    def leaves(self) -> bool:
        """Whether other sidecars are to choose other pods, whatever becomes of the app."""
        return self.draining or self.withdrawn

    def new_conn(self) -> int:
        """Name a connection that has never been."""
        self.last_conn += 1
        return self.last_conn

    def write(self, conn: int, data: bytes) -> None:
        """Add bytes to what leaves on a connection at the end of this turn."""
        parts = self.writes.get(conn)
        if parts is None:
            self.writes[conn] = [data]
        else:
            parts.append(data)

    def tell(self, key: str, text: str, about: Caller | Link | Replica) -> None:
        """Note something for the log."""
        if isinstance(about, Caller):
            service = about.backend.service.key if about.backend else ""
            self.notices.append(Notice(key, text, service, conn=about.conn))
            return
        replica = about.replica if isinstance(about, Link) else about
        self.notices.append(Notice(key, text, replica.backend.service.key, replica=replica.endpoint.name))
