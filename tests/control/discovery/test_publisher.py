"""What sidecars are told, and that it adds up to the same whoever reads how slowly: tables, and one property."""

from __future__ import annotations

import random
from typing import Any

import pytest

from control.objects import endpoint_slice, listed, namespace, pod, service, tcp_service
from tcpservice.following import Following
from tcpservice.snapshot import Service, Snapshot
from tcpservice.updates import decode
from tcpservice_operator.api.plain_objects import Key
from tcpservice_operator.cache.cluster_state import ClusterState
from tcpservice_operator.cache.pod_views import view_of
from tcpservice_operator.discovery.publisher import KEPT_LINES, Publisher, Subscription

ORDERS, BILLING = ("shop", "orders"), ("shop", "billing")


class Stage:
    """An operator's state and publisher, and streams that are followed as sidecars do."""

    def __init__(self, *bodies: dict[str, Any]) -> None:
        self.state = ClusterState()
        self.publisher = Publisher(self.state)
        self.woken: list[Key] = []
        self.apply(*bodies)
        self.publisher.publish()

    def apply(self, *bodies: dict[str, Any], deleted: bool = False) -> None:
        for body in bodies:
            self.publisher.touch(_apply(self.state, body)(body, deleted=deleted))

    def publish(self, *bodies: dict[str, Any], deleted: bool = False) -> None:
        self.apply(*bodies, deleted=deleted)
        self.publisher.publish()

    def subscribe(self, name: str) -> Subscription:
        key = ("shop", name)
        return self.publisher.subscribe(key, lambda: self.woken.append(key))


def _apply(state: ClusterState, body: dict[str, Any]) -> Any:
    if body.get("kind") == "TcpService":
        return state.apply_tcp_service_event
    if "addressType" in body:
        return state.apply_slice_event
    if "spec" not in body:
        return state.apply_namespace_event
    return state.apply_pod_event if "containers" in body["spec"] else state.apply_service_event


def follow(following: Following, subscription: Subscription, now: int = 0) -> Snapshot:
    for line in subscription.take().splitlines():
        following.take(line, now)
    return following.in_force


def services(subscription: Subscription) -> list[Service]:
    """Read what a new stream is told."""
    return list(follow(Following(Snapshot()), subscription).services)


WEB = pod("web", app="web", inject="enabled")
SLICE = endpoint_slice("x", listed("orders-a", "10.0.0.1"), revision=7)


def test_a_stream_begins_with_the_whole() -> None:
    stage = Stage(tcp_service(), WEB, SLICE)
    (told,) = services(stage.subscribe("web"))
    assert (told.key, told.port, [each.name for each in told.endpoints]) == ("shop/orders", 3001, ["orders-a"])


def test_where_apps_listen_is_told_where_the_manifest_or_the_service_gives_a_number() -> None:
    bare = tcp_service(targetPort=None)
    stage = Stage(bare, WEB, SLICE)
    stream = stage.subscribe("web")
    assert [each.app_port for each in services(stream)] == [3001]
    stage.publish(service(ports=[{"port": 3001, "targetPort": 8080}]))
    assert [each.app_port for each in services(stage.subscribe("web"))] == [8080]
    stage.publish(service())
    assert [each.app_port for each in services(stage.subscribe("web"))] == [None]


def test_a_change_is_told_as_a_change_and_made_once_for_all() -> None:
    stage = Stage(tcp_service(), WEB, pod("web-2", app="web", inject="enabled"), SLICE)
    first, second = stage.subscribe("web"), stage.subscribe("web-2")
    stage.woken.clear()
    assert first.take() is second.take()
    stage.publish(endpoint_slice("x", listed("orders-a", "10.0.0.1"), listed("orders-b", "10.0.0.2"), revision=8))
    assert stage.woken == [("shop", "web"), ("shop", "web-2")] or stage.woken == [("shop", "web-2"), ("shop", "web")]
    update = decode(first.take())
    assert (update.base, update.version, update.revisions["slices"]) == (1, 2, 8)
    assert not update.services
    (change,) = update.changes
    assert [each.name for each in change.put] == ["orders-b"]
    assert decode(second.take()) == update
    heartbeat = decode(first.take())
    assert (heartbeat.base, heartbeat.version, heartbeat.services, heartbeat.changes) == (2, 2, (), ())


def test_nothing_is_told_where_nothing_changed() -> None:
    stage = Stage(tcp_service(), WEB, SLICE)
    stage.subscribe("web").take()
    stage.woken.clear()
    stage.publish(SLICE, tcp_service(status={"observedGeneration": 3}))
    assert not stage.woken


def test_a_policy_that_changed_is_told_with_the_service() -> None:
    stage = Stage(tcp_service(), WEB, SLICE)
    stream = stage.subscribe("web")
    stream.take()
    changed = tcp_service(timeouts={"request": "3s"})
    changed["metadata"]["generation"] += 1
    stage.publish(changed)
    (told,) = decode(stream.take().splitlines()[-1]).services
    assert told.timeouts.request == 3_000_000_000
    assert [each.name for each in told.endpoints] == ["orders-a"]


def test_a_manifest_that_became_wrong_keeps_the_policy_in_force() -> None:
    right = tcp_service(timeouts={"request": "3s"})
    stage = Stage(right, WEB, SLICE)
    wrong = tcp_service(timeouts={"request": "soon"})
    wrong["metadata"]["generation"] += 1
    stage.publish(wrong)
    (told,) = services(stage.subscribe("web"))
    assert told.timeouts.request == 3_000_000_000
    (bare,) = services(Stage(wrong, WEB, SLICE).subscribe("web"))
    assert (bare.port, bare.timeouts.request, len(bare.endpoints)) == (3001, 0, 1)


def test_a_deleted_service_is_told_as_gone() -> None:
    stage = Stage(tcp_service(), tcp_service("billing"), WEB, SLICE)
    stream = stage.subscribe("web")
    assert len(services(stream)) == 2
    stage.publish(tcp_service(), deleted=True)
    assert decode(stream.take()).gone == ("shop/orders",)
    assert [each.name for each in services(stage.subscribe("web"))] == ["billing"]


def test_replicas_stay_where_the_service_that_lists_them_goes_first() -> None:
    listing = endpoint_slice("x", listed("orders-a", "10.0.0.1"))
    stage = Stage(tcp_service(), WEB, listing)
    following, subscription = Following(Snapshot()), stage.subscribe("web")
    told = follow(following, subscription)
    assert told.services[0].endpoints
    stage.publish(listing, deleted=True)
    assert follow(following, subscription) == told
    stage.publish(endpoint_slice("x"))
    follow(following, subscription)
    assert [each.key for each in following.kept()] == ["shop/orders"], "a reader keeps those that still answer"
    assert services(stage.subscribe("web"))[0].endpoints == ()


def test_a_reader_that_was_slow_is_given_what_it_missed_or_the_whole() -> None:
    stage = Stage(tcp_service(), WEB, SLICE)
    slow, quick = stage.subscribe("web"), stage.subscribe("web")
    following, other = Following(Snapshot()), Following(Snapshot())
    follow(following, slow)
    for count in range(1, 4 * KEPT_LINES):
        many = [listed(f"orders-{index}", f"10.0.{index // 200}.{index % 200}") for index in range(count % 50 + 50)]
        stage.publish(endpoint_slice("x", *many, revision=7 + count))
        follow(other, quick)
        if count in (KEPT_LINES, KEPT_LINES + 3):
            follow(following, slow)
            assert following.in_force == other.in_force
    missed = slow.take()
    assert missed.count(b"\n") == 1, "more than is kept is told whole"
    following.take(missed, 0)
    assert following.in_force == other.in_force


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_all_readers_end_with_the_same(seed: int) -> None:
    chance = random.Random(seed)
    stage = Stage(WEB, namespace())
    streams = [(stage.subscribe("web"), Following(Snapshot())) for _ in range(4)]
    for step in range(200):
        name = chance.choice(["orders", "billing", "math"])
        slice_of = endpoint_slice(
            f"{name}-x", *[listed(f"{name}-{n}", f"10.0.0.{n}") for n in range(chance.randrange(4))],
            service=f"{name}-replicas", revision=step + 1,
        )  # fmt: skip
        record = tcp_service(name, timeouts={"request": f"{chance.randrange(1, 4)}s"})
        record["metadata"]["generation"] = step
        body = chance.choice([slice_of, slice_of, record, pod("web", app="web", inject=chance.choice(["enabled", ""]))])
        stage.apply(
            body, deleted="addressType" not in body and "containers" not in body["spec"] and chance.random() < 0.2
        )
        if chance.random() < 0.7:
            stage.publisher.publish()
        for subscription, following in streams:
            if chance.random() < 0.3:
                follow(following, subscription)
    stage.publish(WEB)
    fresh = services(stage.subscribe("web"))
    for subscription, following in streams:
        follow(following, subscription)
        for kept in following.kept():
            following.lose(kept.key, kept.endpoints)
        assert list(following.in_force.services) == fresh


def test_a_stream_that_ends_leaves_nothing() -> None:
    stage = Stage(tcp_service(), WEB)
    stream = stage.subscribe("web")
    assert stage.publisher.streams == 1
    stage.publisher.unsubscribe(stream)
    assert stage.publisher.streams == 0
    assert not stage.publisher._topics


def test_a_pod_that_has_gone_keeps_what_it_was_told() -> None:
    stage = Stage(tcp_service(), WEB, SLICE)
    stream = stage.subscribe("web")
    stage.publish(WEB, deleted=True)
    stage.publish(tcp_service("billing"))
    assert [each.name for each in services(stream)] == ["orders"]


# Who is told of what


def view(*bodies: dict[str, Any], of: dict[str, Any]) -> set[str]:
    stage = Stage(*bodies, of)
    found = stage.state.pod(("shop", of["metadata"]["name"]))
    assert found is not None
    return {"/".join(key) for key in view_of(stage.state, found)}


def elsewhere(**allowed: Any) -> dict[str, Any]:
    """Make a TcpService of the namespace `bank` that lets pods of some namespaces call."""
    made = tcp_service("payments")
    made["metadata"] |= {"namespace": "bank", "uid": "p", "generation": len(str(allowed))}
    if allowed:
        made["spec"]["allowedCallers"] = {"namespaces": allowed}
    return made


BOTH = (tcp_service(), tcp_service("billing"), elsewhere(**{"from": "All"}))


@pytest.mark.parametrize(
    ("of", "told"),
    [
        (pod("a"), {"shop/orders"}),
        (pod("a", app="web"), set()),
        (pod("a", app="web", inject="enabled"), {"shop/orders", "shop/billing"}),
        (pod("a", app="web", inject="enabled", calls="billing"), {"shop/billing"}),
        (pod("a", app="web", inject="enabled", calls=" billing , payments.bank"), {"shop/billing", "bank/payments"}),
        (pod("a", app="web", inject="enabled", calls="unknown, ,x.y"), set()),
        (pod("a", inject="enabled", calls=""), {"shop/orders"}),
        (pod("a", app="web", calls="billing"), set()),
    ],
)
def test_a_pod_is_told_what_it_serves_and_calls(of: dict[str, Any], told: set[str]) -> None:
    assert view(*BOTH, of=of) == told


@pytest.mark.parametrize(
    ("allowed", "is_told"),
    [
        ({}, False), ({"from": "Same"}, False), ({"from": "All"}, True),
        ({"from": "Selector", "selector": {"tcpservice.dev/team": "web"}}, True),
        ({"from": "Selector", "selector": {"tcpservice.dev/team": "other"}}, False),
    ],
)  # fmt: skip
def test_a_pod_of_another_namespace_is_told_where_the_tcp_service_allows_it(
    allowed: dict[str, Any], is_told: bool
) -> None:
    caller = pod("web", app="web", inject="enabled", calls="payments.bank")
    stage = Stage(elsewhere(), namespace(team="web"), caller)
    stream, following = stage.subscribe("web"), Following(Snapshot())
    assert follow(following, stream).services == ()
    stage.publish(elsewhere(**allowed))
    assert [each.key for each in follow(following, stream).services] == ["bank/payments"] * is_told
    stage.publish(namespace(team="another"))
    told = [each.key for each in follow(following, stream).services]
    assert told == ["bank/payments"] * (allowed.get("from") == "All")


def test_a_namespace_speaks_for_its_pods_unless_they_do() -> None:
    calling = namespace(inject="enabled")
    assert view(*BOTH, calling, of=pod("a", app="web")) == {"shop/orders", "shop/billing"}
    assert view(*BOTH, calling, of=pod("a", app="web", inject="disabled")) == set()


def test_a_pod_without_a_selector_serves_what_the_service_of_that_name_selects() -> None:
    bare = tcp_service()
    del bare["spec"]["selector"]
    assert view(bare, of=pod("a")) == set()
    assert view(bare, service(), of=pod("a")) == {"shop/orders"}


def test_views_follow_labels_and_services() -> None:
    stage = Stage(tcp_service(), namespace(), pod("web", app="web"))
    stream, following = stage.subscribe("web"), Following(Snapshot())

    def told() -> list[str]:
        return [each.name for each in follow(following, stream).services]

    assert told() == []
    stage.publish(namespace(inject="enabled"))
    assert stage.woken[-1:] == [("shop", "web")]
    assert told() == ["orders"]
    stage.publish(tcp_service("billing"))
    assert told() == ["billing", "orders"]
    stage.publish(pod("web", app="web", calls="billing"))
    assert told() == ["billing"]
    stage.publish(namespace(), deleted=True)
    assert told() == []


def test_a_new_tcp_service_is_one_service_for_callers_of_a_whole_namespace() -> None:
    stage = Stage(tcp_service(), namespace(inject="enabled"), pod("web", app="web"), pod("app"), SLICE)
    streams = [stage.subscribe(name) for name in ("web", "app", "web")]
    for stream in streams:
        stream.take()
    assert len(stage.publisher._topics) == 1
    stage.publish(tcp_service("billing"))
    for stream in streams:
        update = decode(stream.take())
        assert (update.base, [each.name for each in update.services]) == (1, ["billing"])
    stage.publish(pod("web", app="web", calls="orders"))
    assert {decode(stream.take()).base for stream in (streams[0], streams[2])} == {None}, "another topic, whole"
    assert decode(streams[1].take()).base == 2, "the others had no change"
    assert sorted(map(len, stage.publisher._topics)) == [1, 2]


def test_a_port_shared_with_a_later_service_leads_to_the_app_until_the_pods_are_recreated() -> None:
    track = {"track": "canary"}
    stage = Stage(tcp_service(), service(), pod("a"), pod("c", labels=track))
    stream, following = stage.subscribe("a"), Following(Snapshot())
    assert [each.inbound_to_app for each in follow(following, stream).services] == [False]
    canary = service("orders-canary", selector={"app": "orders", **track})
    stage.publish(canary)
    assert [each.inbound_to_app for each in follow(following, stream).services] == [True]
    stage.publish(pod("c", labels=track, target="none"))
    assert [each.inbound_to_app for each in follow(following, stream).services] == [False]
    stage.publish(pod("c", labels=track))
    stage.publish(canary, deleted=True)
    assert [each.inbound_to_app for each in follow(following, stream).services] == [False]


def test_a_pod_is_reached_at_its_app_while_its_sidecar_is_older_than_the_tcp_service() -> None:
    older = pod("orders-a", arguments=["--app=shop/billing=localhost:3002"])
    stage = Stage(tcp_service(), WEB, older, SLICE)
    (told,) = services(stage.subscribe("web"))
    assert [(each.port, each.mesh) for each in told.endpoints] == [(3001, False)]
    newer = pod("orders-a", arguments=["--app=shop/orders=localhost:3001"])
    newer["metadata"]["uid"] = "another"
    stage.publish(newer)
    (told,) = services(stage.subscribe("web"))
    assert [(each.port, each.mesh) for each in told.endpoints] == [(15801, True)]
