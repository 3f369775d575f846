"""Whatever callers and replicas do in whatever order: every request ends once, nothing runs twice that must not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from core.exchange.stage import Client, Stage, Upstream, encoded, endpoints, service
from tcpservice.exchange import Bounds
from tcpservice.snapshot import MILLISECOND, SECOND, Limits, MatchType, RetryConstraint, Route, Service, Timeouts

BOUNDS = Bounds(
    large=120, downstream_requests=5, request_bytes=2000, unanswered=4, retry_bytes=150, queue_timeout=5 * SECOND
)
STEPS = [
    "ask", "ask", "ask", "emit", "twice", "big", "split", "garbage", "leave", "half-close", "come",
    "reply", "reply", "reply", "part", "error", "no-handler", "unknown", "drop", "nonsense", "refuse", "accept",
    "goaway", "refused", "lost", "wait", "wait longer", "swap",
]  # fmt: skip

steps = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 7)), max_size=60)


def orders(count: int, *, mesh: bool) -> Service:
    timeouts = Timeouts(request=20 * SECOND, backend_request=2 * SECOND, stream_idle=3 * SECOND)
    return service(
        count,
        mesh=mesh,
        timeouts=timeouts,
        limits=Limits(max_frame_size=400, max_requests_per_replica=3),
        retry_constraint=RetryConstraint(min_count=3),
        routes=(Route(name="reads", match=MatchType.PREFIX, pattern="get", idempotent=True, timeouts=timeouts),),
    )


@dataclass
class Play:
    """One run: who is there, what was asked, what replicas were given."""

    mesh: bool
    stage: Stage = field(init=False)
    callers: list[Client] = field(default_factory=list)
    asked: Counter[tuple[int, str]] = field(default_factory=Counter)
    events: int = 0
    serial: int = 0

    def __post_init__(self) -> None:
        self.stage = Stage(orders(3, mesh=self.mesh), bounds=BOUNDS)
        self.callers.append(self.stage.client())

    def caller(self, which: int) -> Client:
        """Choose a caller that is there and still read, or let one come."""
        present = [c for c in self.callers if c.is_open() and not c.is_paused()]
        if not present:
            present = [self.stage.client()]
            self.callers += present
        return present[which % len(present)]

    def upstream(self, which: int) -> Upstream | None:
        present = [u for u in self.stage.upstreams if u.is_open() and u.raw]
        return present[which % len(present)] if present else None

    def request(self, which: int, data: str = "") -> bytes:
        self.serial += 1
        client, id_ = self.caller(which), f"{which % 3}" if which % 2 else f"n{self.serial}"
        self.asked[client.conn, id_] += 1
        return encoded({"pattern": ("get", "set")[which % 2], "data": f"{self.serial};{data}", "id": id_})

    def step(self, what: str, which: int) -> None:
        if what in ("ask", "twice", "big", "split"):
            self.ask(what, which)
        elif what in (
            "reply",
            "part",
            "error",
            "no-handler",
            "unknown",
            "drop",
            "nonsense",
            "goaway",
            "refused",
            "lost",
        ):
            self.answer(what, which)
        elif what in ("wait", "wait longer"):
            self.stage.pass_time((which + 1) * (SECOND if what == "wait longer" else 30 * MILLISECOND))
        elif what == "swap":
            self.stage.swap(orders(which % 4, mesh=self.mesh))
        elif what in ("refuse", "accept"):
            self.stage.refusing = {f"r{which % 3}"} if what == "refuse" else set()
        else:
            self.move(what, which)

    def ask(self, what: str, which: int) -> None:
        client = self.caller(which)
        data = {"big": "x" * 500, "split": "é😀" * 30}.get(what, "")
        message = b"".join(self.request(which, data) for _ in range(1 + (what == "twice")))
        cut = 17 if what == "split" else len(message)
        for piece in (message[:cut], message[cut:]):
            client.send_bytes(piece)

    def move(self, what: str, which: int) -> None:
        if what == "come":
            self.callers.append(self.stage.client())
            return
        client = self.caller(which)
        if what == "emit":
            self.events += 1
            client.emit()
        elif what == "garbage":
            client.send_bytes(b"garbage#")
        elif what == "leave":
            client.drop()
        else:
            client.half_close()

    def answer(self, what: str, which: int) -> None:
        upstream = self.upstream(which)
        if upstream is None:
            return
        if what == "drop":
            upstream.drop()
        elif what == "nonsense":
            upstream.send_bytes(b"nonsense")
        elif what == "unknown":
            upstream.reply("nobody")
        elif what == "goaway" and self.mesh:
            upstream.say(b"goaway")
        elif upstream.ids:
            self.answer_one(upstream, what, upstream.ids[which % len(upstream.ids)])

    def answer_one(self, upstream: Upstream, what: str, id_: str) -> None:
        if what == "reply":
            upstream.reply(id_)
        elif what == "part":
            upstream.part(id_, "part")
        elif what == "error":
            upstream.send({"err": {"code": "its own"}, "isDisposed": True, "id": id_})
        elif what == "no-handler":
            upstream.no_handler(id_)
        elif self.mesh:
            upstream.say(what.encode(), b'"%b"' % id_.encode())

    def finish(self) -> None:
        """Give everything the time to end."""
        self.stage.pass_time(200 * SECOND)


def played(script: list[tuple[str, int]], *, mesh: bool) -> Play:
    play = Play(mesh)
    for what, which in script:
        play.step(what, which)
    play.finish()
    return play


@settings(max_examples=400)
@given(steps, st.booleans())
def test_every_request_ends_exactly_once(script: list[tuple[str, int]], mesh: bool) -> None:
    play = played(script, mesh=mesh)
    stage = play.stage
    assert stage.exchange.in_flight() == 0
    for client in play.callers:
        last_words = Counter(p["id"] for p in client.packets if p.get("isDisposed") or p.get("err"))
        asked = Counter({id_: count for (conn, id_), count in play.asked.items() if conn == client.conn})
        assert last_words <= asked
        if client.is_open():
            assert last_words == asked
    assert stage.exchange._state.request_bytes == 0
    assert all(replica.in_flight == 0 for seen in stage.exchange.services() for replica in seen.endpoints)


@settings(max_examples=400)
@given(steps, st.booleans())
def test_what_may_have_run_runs_again_only_where_it_may(script: list[tuple[str, int]], mesh: bool) -> None:
    script = [(what, which) for what, which in script if what not in ("no-handler", "refused")]
    play = played(script, mesh=mesh)
    given = Counter(p["data"] for u in play.stage.upstreams for p in u.packets if p["pattern"] == "set")
    assert all(count == 1 for count in given.values())
    repeated = Counter(p["data"] for u in play.stage.upstreams for p in u.packets if p["pattern"] == "get")
    assert all(count <= 3 for count in repeated.values())


@given(steps, st.booleans())
def test_the_same_script_gives_the_same_bytes(script: list[tuple[str, int]], mesh: bool) -> None:
    assert played(script, mesh=mesh).stage.trace == played(script, mesh=mesh).stage.trace


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_replies_in_any_order_reach_whom_they_belong_to(senders: list[int], random: object) -> None:
    stage = Stage(service(1, endpoints=endpoints(1)))
    clients = [stage.client() for _ in range(6)]
    for place, sender in enumerate(senders):
        clients[sender].ask("same", data=place)
    waiting = list(stage.upstream().packets)
    random.shuffle(waiting)  # type: ignore[attr-defined]
    for packet in waiting:
        stage.upstream().reply(packet["id"], packet["data"])
    for number, client in enumerate(clients):
        own = [place for place, sender in enumerate(senders) if sender == number]
        assert sorted(packet["response"] for packet in client.packets) == own
