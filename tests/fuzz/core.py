"""Fuzz the core: hostile bytes through a whole exchange, beside a neighbour: `python -m fuzz.core --seconds 60`.

The hostile one is a caller, another sidecar that calls the pod's app, or a replica. Nothing may raise; a sound replica
gets only frames that it can read; and every request of the neighbour is answered once, with its own value unless the
replica that answers is the hostile one.
"""

from __future__ import annotations

import json
import sys
import traceback
from random import Random
from typing import Any

from fuzz import campaign, streams
from fuzz.campaign import Finding
from fuzz.seam import OPENING, REFUSES_EMPTY, World
from tcpservice.snapshot import MILLISECOND, SECOND
from tcpservice.wire.frames import Control, FrameReader
from tcpservice.wire.scan import Frame
from tcpservice.wire.shape import DEEP, INVALID, OBJECT

ROUNDS = 12
CALLER, MESH, REPLICA, MESH_REPLICA = "caller", "mesh caller", "replica", "replica on the mesh"


class Play:
    """One exchange with a hostile peer and a neighbour."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.hostile = random.choice([CALLER, MESH, REPLICA, MESH_REPLICA])
        self.story: list[object] = [self.hostile]
        self.replicas: list[Replica] = []
        names = ("bad", "good") if self.hostile in (REPLICA, MESH_REPLICA) else ("good",)
        self.world = World(random.randrange(1 << 16), names, self.dial, mesh=self.hostile == MESH_REPLICA)
        self.neighbour = Neighbour(self, mesh=self.hostile == MESH)
        self.attackers: list[int] = []

    def dial(self, name: str, conn: int) -> Replica:
        """Connect to a replica."""
        replica = Replica(self, name, conn, control=self.hostile == MESH_REPLICA)
        self.replicas.append(replica)
        return replica

    def run(self) -> None:
        """Play all rounds, then let everything end. Raises Finding."""
        for _ in range(ROUNDS):
            acts = [*[self.neighbour.ask] * self.random.randrange(3), self.attack, self.answer]
            self.random.shuffle(acts)
            for act in acts:
                act()
            self.world.pass_time(self.random.choice([0, 1, 50, 1000]) * MILLISECOND)
        for _ in range(60):
            self.answer()
            self.world.pass_time(SECOND)
        self.neighbour.check()

    def attack(self) -> None:
        """Send some hostile bytes, or do something else that peers do."""
        random, world = self.random, self.world
        conn = self.attacker()
        if conn is None:
            return
        stream = streams.stream(random)
        self.story.append(stream)
        for chunk in streams.chunks(random, stream)[:200]:
            world.read(conn, chunk)
        act = random.randrange(12)
        self.story.append(act)
        if act == 0:
            world.drop(conn)
        elif act == 1:
            world.half_close(conn)
        elif act == 2:
            world.unread(conn, random.choice([0, 1 << 20, 1 << 28]))

    def attacker(self) -> int | None:
        """Return a connection of the hostile peer, a new one at times."""
        if self.hostile in (REPLICA, MESH_REPLICA):
            bad = [replica for replica in self.replicas if replica.name == "bad" and self.world.is_open(replica.conn)]
            return self.random.choice(bad).conn if bad else None
        open_ = [conn for conn in self.attackers if self.world.is_open(conn)]
        if open_ and self.random.random() < 0.8:
            return self.random.choice(open_)
        conn = self.world.caller(Nobody()) if self.hostile == CALLER else self.world.mesh_caller(Nobody())
        self.attackers.append(conn)
        if self.hostile == MESH and self.random.random() < 0.95:
            self.world.read(conn, OPENING)
        return conn

    def answer(self) -> None:
        """Let the sound replicas answer what they were asked."""
        for replica in list(self.replicas):
            replica.answer()


class Nobody:
    """A peer that ignores all that it is sent."""

    def take(self, data: bytes) -> None:
        """Ignore it."""

    def ended(self) -> None:
        """Ignore it."""


class Replica:
    """A replica: good ones answer with the data of the request, as NestJS would; bad ones say what they like."""

    def __init__(self, play: Play, name: str, conn: int, *, control: bool) -> None:
        self.name = name
        self.conn = conn
        self._play = play
        self._greeting: bytearray | None = bytearray() if control else None
        self._reader = FrameReader(1 << 30, control=control)
        self._replies: list[bytes] = []

    def take(self, data: bytes) -> None:
        """Read requests. Raises Finding for what NestJS could not read."""
        if self._greeting is not None:
            self._greeting += data
            _, end, data = bytes(self._greeting).partition(b"\n")
            if not end:
                return
            self._greeting = None
            self._replies.append(OPENING)
        for item in self._reader.feed(data):
            if isinstance(item, Frame):
                self._request(item)
            elif not isinstance(item, Control):
                raise Finding(f"{self.name} was sent no frame", self._play.story)

    def ended(self) -> None:
        """Forget the replies."""
        self._replies.clear()

    def _request(self, frame: Frame) -> None:
        empty = frame.kind != OBJECT or (frame.pattern_at < 0 and frame.data_at < 0)
        if frame.kind in (DEEP, INVALID) or (empty and REFUSES_EMPTY):
            raise Finding(f"{self.name} was sent what NestJS cannot take: {frame.raw[:200]!r}", self._play.story)
        if frame.id_at >= 0 and not empty:
            self._replies.append(streams.echo(frame))

    def answer(self) -> None:
        """Send the replies; a bad replica sends few of them."""
        replies, self._replies = self._replies, []
        for reply in replies:
            if self.name != "bad" or self._play.random.random() < 0.3 or reply == OPENING:
                self._play.world.read(self.conn, reply)


class Neighbour:
    """A caller that does everything right."""

    def __init__(self, play: Play, *, mesh: bool) -> None:
        self._play = play
        self._reader = FrameReader(1 << 30, control=mesh)
        self._greeting: bytearray | None = bytearray() if mesh else None
        self._asked = 0
        self._answers: dict[str, list[Any]] = {}
        self._ended = False
        world = play.world
        self.conn = world.mesh_caller(self) if mesh else world.caller(self)
        if mesh:
            world.read(self.conn, OPENING)

    def ask(self) -> None:
        """Send one request, which asks for its own number."""
        self._asked += 1
        self._play.world.read(self.conn, streams.packet("sum", self._asked, f"n{self._asked}"))

    def take(self, data: bytes) -> None:
        """Read answers."""
        if self._greeting is not None:
            self._greeting += data
            _, end, data = bytes(self._greeting).partition(b"\n")
            if not end:
                return
            self._greeting = None
        for item in self._reader.feed(data):
            if isinstance(item, Frame):
                packet = json.loads(item.body.decode("utf-8", "replace"))
                self._answers.setdefault(packet["id"], []).append(packet)
            elif not isinstance(item, Control):
                raise Finding("the neighbour was sent no frame", self._play.story)

    def ended(self) -> None:
        """Note that its connection was closed, which nothing of another may cause."""
        self._ended = True

    def check(self) -> None:
        """See that all was answered. Raises Finding."""
        alone = self._play.hostile in (CALLER, MESH)
        if self._ended and alone:
            raise Finding("the neighbour's connection was closed", self._play.story)
        for number in range(1, self._asked + 1):
            answers = self._answers.get(f"n{number}", [])
            if not answers:
                raise Finding(f"request {number} of {self._asked} of the neighbour was not answered", self._play.story)
            if alone and [answer.get("response") for answer in answers] != [number]:
                raise Finding(f"request {number} of the neighbour was answered with {answers}", self._play.story)


def attempt(random: Random) -> None:
    """Play one game. Raises Finding."""
    play = Play(random)
    try:
        play.run()
    except Finding:
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{place.filename}:{place.lineno} in {place.name}"
        raise Finding(f"{type(error).__name__}: {error} at {where}", play.story) from error


def main() -> int:
    """Fuzz as asked; return the exit status."""
    asked = campaign.options(campaign.parser(__doc__ or "").parse_args())
    return campaign.report("core", asked, campaign.run(asked, attempt))


if __name__ == "__main__":
    sys.exit(main())
