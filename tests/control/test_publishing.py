"""What sidecars are told, and that it adds up to the same whoever reads how slowly: tables, and one property."""

from __future__ import annotations

import random
from typing import Any

import pytest

from control.objects import endpoint_slice, listed, namespace, pod, service, tcp_service
from tcpservice.following import Following
from tcpservice.snapshot import Service, Snapshot
from tcpservice.updates import decode
from tcpservice_operator.objects import Key
from tcpservice_operator.publishing import KEPT_LINES, Publisher, Subscription
from tcpservice_operator.state import State
from tcpservice_operator.views import view_of

ORDERS, BILLING = ("shop", "orders"), ("shop", "billing")


class Stage:
    """An operator's state and publisher, and streams that are followed as sidecars do."""

    def __init__(self, *bodies: dict[str, Any]) -> None:
        self.state = State()
        self.publisher = Publisher(self.state)
        self.woken: list[Key] = []
        self.see(*bodies)
        self.publisher.publish()

    def see(self, *bodies: dict[str, Any], gone: bool = False) -> None:
        for body in bodies:
            self.publisher.touch(_see(self.state, body)(body, gone=gone))

    def publish(self, *bodies: dict[str, Any], gone: bool = False) -> None:
        self.see(*bodies, gone=gone)
        self.publisher.publish()

    def subscribe(self, name: str) -> Subscription:
        key = ("shop", name)
        return self.publisher.subscribe(key, lambda: self.woken.append(key))


def _see(state: State, body: dict[str, Any]) -> Any:
    if body.get("kind") == "TcpService":
        return state.see_wanted
    if "addressType" in body:
        return state.see_slice
    if "spec" not in body:
        return state.see_namespace
    return state.see_pod if "containers" in body["spec"] else state.see_service


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
    stage.publish(tcp_service(), gone=True)
    assert [each.name for each in services(stream)] == ["billing"]


def test_replicas_stay_where_the_service_that_lists_them_goes_first() -> None:
    listing = endpoint_slice("x", listed("orders-a", "10.0.0.1"))
    stage = Stage(tcp_service(), WEB, listing)
    following, subscription = Following(Snapshot()), stage.subscribe("web")
    told = follow(following, subscription)
    assert told.services[0].endpoints
    stage.publish(listing, gone=True)
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
        wanted = tcp_service(name, timeouts={"request": f"{chance.randrange(1, 4)}s"})
        wanted["metadata"]["generation"] = step
        body = chance.choice([slice_of, slice_of, wanted, pod("web", app="web", inject=chance.choice(["enabled", ""]))])
        stage.see(body, gone="addressType" not in body and "containers" not in body["spec"] and chance.random() < 0.2)
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
    stage.publisher.drop(stream)
    assert stage.publisher.streams == 0
    assert not stage.publisher._topics


def test_a_pod_that_has_gone_keeps_what_it_was_told() -> None:
    stage = Stage(tcp_service(), WEB, SLICE)
    stream = stage.subscribe("web")
    stage.publish(WEB, gone=True)
    stage.publish(tcp_service("billing"))
    assert [each.name for each in services(stream)] == ["orders"]


# Who is told of what


def view(*bodies: dict[str, Any], of: dict[str, Any]) -> set[str]:
    stage = Stage(*bodies, of)
    found = stage.state.pod(("shop", of["metadata"]["name"]))
    assert found is not None
    return {"/".join(key) for key in view_of(stage.state, found)}


ELSEWHERE = {**tcp_service("payments"), "metadata": {"name": "payments", "namespace": "bank", "uid": "p"}}
BOTH = (tcp_service(), tcp_service("billing"), ELSEWHERE)


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
    stream = stage.subscribe("web")
    assert services(stream) == []
    stage.publish(namespace(inject="enabled"))
    assert stage.woken[-1:] == [("shop", "web")]
    assert [each.name for each in services(stream)] == ["orders"]
    stage.publish(tcp_service("billing"))
    assert [each.name for each in services(stream)] == ["billing", "orders"]
    stage.publish(pod("web", app="web", calls="billing"))
    assert [each.name for each in services(stream)] == ["billing"]
    stage.publish(namespace(), gone=True)
    assert services(stream) == []


def test_a_pod_is_reached_at_its_app_while_its_sidecar_is_older_than_the_tcp_service() -> None:
    older = pod("orders-a", arguments=["--app=shop/billing=localhost:3002"])
    stage = Stage(tcp_service(), WEB, older, SLICE)
    (told,) = services(stage.subscribe("web"))
    assert [(each.port, each.mesh) for each in told.endpoints] == [(3001, False)]
    stage.publish(pod("orders-a", arguments=["--app=shop/orders=localhost:3001"]))
    (told,) = services(stage.subscribe("web"))
    assert [(each.port, each.mesh) for each in told.endpoints] == [(15801, True)]
