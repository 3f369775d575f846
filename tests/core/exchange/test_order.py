"""Messages of one caller to one endpoint keep their order: through dials, retries and starts of the app."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from core.exchange.stage import Client, Stage, Upstream, endpoints, service
from tcpservice.snapshot import MILLISECOND, SECOND, MatchType, Retry, Route, Service

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
