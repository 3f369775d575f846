"""Messages of one caller to one endpoint keep their order: through dials, retries and starts of the app."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from core.exchange.stage import Client, Stage, Upstream, endpoints, service
from tcpservice.snapshot import MILLISECOND, SECOND, Limits, MatchType, Retry, Route, Service
from tcpservice.wire.mesh import GOAWAY

COUNT = 30


def idempotent(count: int = 1, *, mesh: bool = False, retry: Retry | None = None) -> Service:
    route = Route(name="all", match=MatchType.PREFIX, pattern="", idempotent=True)
    return service(count, mesh=mesh, routes=(replace(route, retry=retry or Retry(attempts=5)),))


def send(client: Client, first: int = 0) -> None:
    """Send 30 requests and 30 events, in turn."""
    for number in range(first, first + COUNT):
        client.ask(f"n{number}", "request", number)
        client.emit("event", number)


def data(upstream: Upstream) -> list[int]:
    return [packet["data"] for packet in upstream.packets if packet["pattern"] in ("request", "event")]


EXPECTED = [number for number in range(COUNT) for _ in "re"]


def test_behind_a_dial_that_is_refused() -> None:
    stage = Stage(service(1))
    stage.refusing = {"r0"}
    client = stage.client()
    send(client)
    stage.refusing = set()
    stage.pass_time(2 * SECOND)
    assert data(stage.upstream()) == EXPECTED


def test_behind_a_dial_that_hangs() -> None:
    stage = Stage(service(1))
    stage.hanging = {"r0"}
    client = stage.client()
    send(client)
    stage.pass_time(1100 * MILLISECOND)
    stage.hanging = set()
    send(client, COUNT)
    stage.pass_time(2 * SECOND)
    assert data(stage.upstream()) == [number for number in range(2 * COUNT) for _ in "re"]


def test_behind_an_app_that_starts() -> None:
    """Two sidecars: the replica's one has an app that does not listen yet."""
    replica = Stage(service(0))
    replica.refusing = {"r0"}
    replica.exchange.add_app(replica.services[0], endpoints(1)[0], replica.now)
    replica.exchange.expect_apps(replica.now)
    caller = Stage(service(1, mesh=True))
    caller.silent = {"r0"}
    client = caller.client()
    send(client)
    link, peer, sent, returned = caller.upstream(), replica.sidecar(None), 0, 0
    for step in range(40):
        while len(link.raw) > sent or len(peer.raw) > returned:
            chunk, sent = link.raw[sent:], len(link.raw)
            peer.send_bytes(chunk)
            chunk, returned = peer.raw[returned:], len(peer.raw)
            link.send_bytes(chunk)
        if step == 20:
            replica.refusing = set()
        caller.pass_time(50 * MILLISECOND)
        replica.pass_time(50 * MILLISECOND)
    assert data(replica.upstream()) == EXPECTED
    assert caller.codes().count("no_endpoints") == 0


def test_behind_a_retry() -> None:
    stage = Stage(idempotent())
    client = stage.client()
    for number in range(COUNT):
        client.ask(f"n{number}", "request", number)
    stage.upstream().drop()
    for number in range(COUNT, 2 * COUNT):
        client.ask(f"n{number}", "request", number)
    stage.pass_time(2 * SECOND)
    got = data(stage.upstream())
    assert got == sorted(got)
    assert set(range(COUNT, 2 * COUNT)) <= set(got)


def test_behind_a_retry_at_another_endpoint() -> None:
    stage = Stage(idempotent(2))
    client = stage.client()
    for number in range(COUNT):
        client.ask(f"n{number}", "request", number)
    lost = stage.holder("n0")
    other = next(each for each in stage.upstreams if each is not lost)
    before = len(data(other))
    lost.drop()
    stage.pass_time(200 * MILLISECOND)
    repeated = data(other)[before:]
    assert repeated == sorted(repeated)
    assert repeated


@pytest.mark.parametrize("mesh", [False, True])
def test_what_was_queued_for_an_endpoint_that_is_removed_goes_on_in_order(mesh: bool) -> None:
    stage = Stage(service(1, mesh=mesh))
    stage.hanging = {"r0"}
    client = stage.client()
    send(client)
    stage.swap(service(2, mesh=mesh, endpoints=endpoints(2, mesh=mesh)[1:]))
    assert data(stage.upstream("r1")) == EXPECTED


def test_what_an_absent_app_refused_goes_before_what_came_later() -> None:
    stage = Stage(service(1, mesh=True))
    client = stage.client()
    client.ask("first", "request", 1)
    link = stage.upstream()
    link.say(b"goaway", b"app")
    client.ask("second", "request", 2)
    link.say(b"refused", b'"first"')
    assert data(link) == [1]
    link.say(b"back")
    assert data(link) == [1, 1, 2]


def test_a_request_that_was_refused_does_not_arrive_behind_an_event_that_was_sent_after_it() -> None:
    """The replica's sidecar refuses the request, as its app is away, and keeps the event until the app is back."""
    stage = Stage(service(1, mesh=True))
    client = stage.client()
    client.ask("first")
    replica = stage.upstream()
    client.emit("event", 1)
    client.ask("last")
    replica.say(GOAWAY, b"app")
    replica.say(b"refused", b'"first"')
    assert client.codes() == {}, "the app may be back for the last request, or another endpoint may come"
    replica.say(b"refused", b'"last"')
    replica.say(b"back")
    assert client.codes() == {"first": "no_endpoints"}
    assert replica.ids == ["first", "last", "last"]


def test_requests_that_were_all_refused_are_sent_again_in_order() -> None:
    stage = Stage(service(1, mesh=True))
    client = stage.client()
    names = [f"request number {number}" for number in range(4)]
    client.ask(names[0])
    replica = stage.upstream()
    for name in names[1:]:
        client.ask(name)
    replica.say(GOAWAY, b"app")
    for name in names:
        replica.say(b"refused", b'"%b"' % name.encode())
    replica.say(b"back")
    assert replica.ids == [*names, *names]


def test_requests_that_are_refused_one_by_one_go_before_one_that_came_meanwhile() -> None:
    stage = Stage(service(1, mesh=True))
    client = stage.client()
    client.ask("first")
    replica = stage.upstream()
    client.ask("second")
    replica.say(GOAWAY, b"app")
    replica.say(b"refused", b'"first"')
    client.ask("third")
    replica.say(b"refused", b'"second"')
    replica.say(b"back")
    assert replica.ids == ["first", "second", "first", "second", "third"]


@pytest.mark.parametrize("answered", [True, False])
def test_a_request_that_was_refused_does_not_arrive_behind_a_later_one(answered: bool) -> None:
    """The app is back before the caller's sidecar knows that it was away."""
    stage = Stage(service(1, mesh=True))
    client = stage.client()
    client.ask("first")
    replica = stage.upstream()
    client.ask("second")
    replica.say(GOAWAY, b"app")
    replica.say(b"refused", b'"first"')
    if answered:
        replica.reply("second")
    replica.say(b"back")
    assert client.codes() == {"first": "no_endpoints"} or answered
    assert replica.ids == ["first", "second"]
    assert [row.code for row in stage.rows if row.code != "ok"] == ["no_endpoints"]


def test_an_earlier_request_that_is_pending_hides_no_later_one_from_one_that_was_refused() -> None:
    stage = Stage(service(1, mesh=True))
    client = stage.client()
    client.ask("first")
    replica = stage.upstream()
    client.ask("refused")
    client.ask("last")
    replica.say(GOAWAY, b"app")
    replica.say(b"refused", b'"refused"')
    replica.say(b"back")
    assert client.codes() == {"refused": "no_endpoints"}
    assert replica.ids == ["first", "refused", "last"]


def test_an_idempotent_request_that_is_sent_again_hides_no_later_one_from_one_that_was_refused() -> None:
    reads = Route(name="reads", match=MatchType.EXACT, pattern="read", idempotent=True)
    stage = Stage(service(1, mesh=True, routes=(reads,)))
    client = stage.client()
    client.ask("read", "read")
    replica = stage.upstream()
    client.ask("refused")
    client.ask("last")
    replica.say(b"refused", b'"read"')
    replica.say(b"refused", b'"refused"')
    replica.say(b"back")
    assert client.codes() == {"refused": "no_endpoints"}
    assert replica.ids == ["read", "refused", "last", "read"]


def test_a_request_that_was_refused_goes_to_another_endpoint_and_an_idempotent_one_to_the_same() -> None:
    stage = Stage(idempotent(1, mesh=True))
    client = stage.client()
    client.ask("first")
    replica = stage.upstream()
    client.emit("event", 1)
    replica.say(GOAWAY, b"app")
    replica.say(b"refused", b'"first"')
    replica.say(b"back")
    assert replica.ids == ["first", "first"]
    two = Stage(service(2, mesh=True))
    client = two.client()
    client.ask("first")
    client.emit("event", 1)
    for upstream in list(two.upstreams):
        assert upstream.is_open()
    holder = two.holder("first")
    holder.say(b"refused", b'"first"')
    assert two.holder("first") is not holder


def test_a_request_that_is_too_late_ends_at_once_although_its_endpoint_is_full() -> None:
    stage = Stage(service(1, mesh=True, limits=Limits(max_requests_per_replica=2)))
    late, other, third = (stage.client() for _ in range(3))
    late.ask("late")
    replica = stage.upstream()
    late.emit("event", 1)
    other.ask("other")
    replica.say(GOAWAY, b"app")
    third.ask("third")
    replica.say(b"refused", b'"late"')
    replica.say(b"back")
    assert replica.ids == ["late", "other", "third"]
    assert late.codes() == {"late": "no_endpoints"}


def test_what_others_have_pending_says_nothing_of_a_request_that_was_refused() -> None:
    """The caller's later request is on one connection; on another one there are only those of others."""
    stage = Stage(service(1, mesh=True))
    client, other = stage.client(), stage.client()
    client.ask("first")
    other.ask("large", data="x" * (300 << 10))
    client.ask("second")
    replica = stage.holder("second")
    assert stage.holder("large") is not replica
    replica.say(GOAWAY, b"app")
    replica.say(b"refused", b'"first"')
    replica.say(b"back")
    assert client.codes() == {"first": "no_endpoints"}
