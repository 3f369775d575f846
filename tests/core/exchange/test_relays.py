"""Connections of Opaque services: each to one replica, least used first, none twice."""

from __future__ import annotations

from collections import Counter

from core.exchange.stage import Stage, endpoints, service
from tcpservice.exchange import Bounds
from tcpservice.snapshot import SECOND, Algorithm, Endpoint, Protocol


def test_connections_are_spread() -> None:
    opaque = service(3, protocol=Protocol.OPAQUE, algorithm=Algorithm.LEAST_REQUEST)
    stage = Stage(opaque)
    chosen = [stage.exchange.relay(opaque, frozenset()) for _ in range(30)]
    shares = Counter(found[1].name for found in chosen if found)
    assert len(shares) == 3
    assert max(shares.values()) - min(shares.values()) <= 3
    for found in chosen:
        assert found is not None
        stage.exchange.closed(found[0], "ended", stage.now)
    assert all(replica.in_flight == 0 for replica in stage.exchange.services()[0].endpoints)


def test_they_count_as_connections_of_callers_and_are_limited_with_them() -> None:
    opaque = service(1, protocol=Protocol.OPAQUE)
    stage = Stage(opaque, bounds=Bounds(connections=2))
    relayed = stage.exchange.accept_opaque()
    assert relayed is not None
    other = stage.exchange.accept(opaque, stage.now)
    assert other is not None
    assert stage.exchange.connections() == 2
    assert stage.exchange.accept_opaque() is None
    assert stage.exchange.accept(opaque, stage.now) is None
    assert stage.exchange.counts() == {"refused_connections": 2}
    stage.exchange.closed(relayed, "ended", stage.now)
    assert stage.exchange.accept_opaque() is not None


def test_whether_replicas_are_awaited_can_be_asked() -> None:
    stage = Stage(service(0, protocol=Protocol.OPAQUE, awaited=True))
    assert stage.exchange.awaits("shop/orders")
    assert not stage.exchange.awaits("shop/unknown")
    stage.swap(service(0, protocol=Protocol.OPAQUE))
    assert not stage.exchange.awaits("shop/orders")


def test_a_replica_that_refused_is_not_tried_twice_and_left_alone() -> None:
    opaque = service(2, protocol=Protocol.OPAQUE)
    stage = Stage(opaque)
    first = stage.exchange.relay(opaque, frozenset())
    assert first is not None
    stage.exchange.relay_refused(first[0], "refused", stage.now)
    stage.exchange.relay_refused(first[0], "refused again", stage.now)
    second = stage.exchange.relay(opaque, frozenset({first[1]}))
    assert second is not None
    assert second[1] != first[1]
    assert stage.exchange.relay(opaque, frozenset({first[1], second[1]})) is None
    stage.carry()
    assert stage.reported() == ["endpoint_ejected"]
    stage.pass_time(SECOND)
    assert stage.reported() == ["endpoint_ejected", "endpoint_recovered"]


def test_another_sidecar_is_relayed_to_the_app() -> None:
    stage = Stage(service(0))
    (app,) = endpoints(1)
    stage.exchange.add_app(stage.services[0], app, stage.now)
    found = stage.exchange.relay_app("shop/orders")
    assert found is not None
    assert found[1] == app
    assert stage.exchange.relay_app("shop/none") is None


def test_a_replica_whose_connections_have_ended_gets_new_ones() -> None:
    opaque = service(2, protocol=Protocol.OPAQUE, algorithm=Algorithm.LEAST_REQUEST)
    stage = Stage(opaque)
    held = [stage.exchange.relay(opaque, frozenset()) for _ in range(20)]
    ended = next(found[1] for found in held if found)
    for found in held:
        if found and found[1] == ended:
            stage.exchange.closed(found[0], "ended", stage.now)
    chosen = [stage.exchange.relay(opaque, frozenset()) for _ in range(10)]
    assert {found[1] for found in chosen if found} == {ended}, "the other one has as many as before"


def test_while_no_replica_can_be_reached_each_is_still_tried() -> None:
    opaque = service(2, protocol=Protocol.OPAQUE)
    stage = Stage(opaque)
    stage.refusing = {"r0", "r1"}
    for _ in range(2):
        tried: frozenset[Endpoint] = frozenset()
        while (found := stage.exchange.relay(opaque, tried)) is not None:
            stage.exchange.relay_refused(found[0], "refused", stage.now)
            tried |= {found[1]}
        assert tried == set(opaque.endpoints)
