"""What is in force in a sidecar that follows the operator: whatever comes, in whatever order, or fails to come."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from core.test_updates import endpoint, service
from tcpservice import updates
from tcpservice.following import PATIENCE, Following, endpoints_at
from tcpservice.snapshot import SECOND, Endpoint, Service, Snapshot
from tcpservice.updates import Change, Malformed, OutOfStep

BOOTSTRAP = Snapshot(services=(service(),))


def whole(*services: Service, version: int = 1, **revisions: int) -> bytes:
    return updates.join(version, revisions, services=map(updates.encode, services))


def step(base: int, *changes: Change, gone: tuple[str, ...] = (), **revisions: int) -> bytes:
    return updates.join(base + 1, revisions, base=base, changes=map(updates.encode, changes), gone=gone)


def added(*endpoints: Endpoint) -> Change:
    return Change(service="shop/orders", put=endpoints)


def names(following: Following, key: str = "shop/orders") -> list[str]:
    return [each.name for found in following.in_force.services if found.key == key for each in found.endpoints]


def awaited(following: Following) -> list[str]:
    return [each.key for each in following.in_force.services if each.awaited]


def test_a_whole_snapshot_then_changes() -> None:
    following = Following(BOOTSTRAP)
    assert (following.heard, awaited(following), names(following)) == (None, ["shop/orders"], [])
    assert following.take(whole(service(endpoint("a"))), 5)
    assert following.heard == 5
    assert (awaited(following), names(following)) == ([], ["a"])
    assert following.take(step(1, added(endpoint("b"))), 6)
    assert names(following) == ["a", "b"]
    assert not following.take(updates.join(2, {}, base=2), 7), "the heartbeat changes nothing"
    assert following.heard == 7


def test_a_stream_begins_with_a_whole_snapshot() -> None:
    following = Following(BOOTSTRAP)
    with pytest.raises(OutOfStep, match="a change of version 1, where version 0 was told"):
        following.take(step(1), 0)
    following.take(whole(service(endpoint("a"))), 0)
    following.begin()
    with pytest.raises(OutOfStep):
        following.take(step(1), 0)
    assert names(following) == ["a"]


def test_what_is_left_out_or_malformed_replaces_nothing() -> None:
    following = Following(BOOTSTRAP)
    following.take(whole(service(endpoint("a"))), 1)
    with pytest.raises(OutOfStep, match="a change of version 2, where version 1 was told"):
        following.take(step(2, added(endpoint("b"))), 2)
    with pytest.raises(Malformed):
        following.take(b'{"version":', 2)
    assert names(following) == ["a"]
    assert following.heard == 1


def test_an_older_snapshot_waits_until_its_operator_has_caught_up() -> None:
    following = Following(BOOTSTRAP)
    following.take(whole(service(endpoint("new")), slices=20, services=5), 0)
    following.begin()
    assert not following.take(whole(service(endpoint("old")), slices=19, services=9), 1)
    assert names(following) == ["new"]
    assert following.take(step(1, added(endpoint("newer")), slices=21, services=9), 2)
    assert names(following) == ["newer", "old"]


def test_an_operator_that_stays_behind_is_believed() -> None:
    following = Following(BOOTSTRAP)
    following.take(whole(service(endpoint("before")), slices=20), 0)
    following.begin()
    assert not following.take(whole(service(endpoint("restored")), slices=3), 10)
    assert not following.take(updates.join(1, {"slices": 3}, base=1), 9 + PATIENCE)
    assert following.take(updates.join(1, {"slices": 3}, base=1), 10 + PATIENCE)
    assert names(following) == ["restored"]
    assert not following.take(updates.join(1, {"slices": 3}, base=1), 11 + PATIENCE)


def test_an_update_that_is_accepted_late_discards_all_dns_results() -> None:
    following = Following(BOOTSTRAP)
    following.take(whole(service(endpoint("a")), slices=9), 1)
    following.resolve("shop/orders", [endpoint("by-name")])
    assert names(following) == ["by-name"]
    following.begin()
    assert not following.take(whole(service(endpoint("b")), slices=3), 10)
    assert names(following) == ["by-name"]
    assert following.take(updates.join(1, {"slices": 3}, base=1), 10 + PATIENCE), (
        "a heartbeat, with which it is believed"
    )
    assert names(following) == ["b"]


def test_own_services_stay_as_they_were_when_they_are_gone() -> None:
    other = service(endpoint("x"), name="billing")
    following = Following(BOOTSTRAP)
    following.take(whole(service(endpoint("a")), other), 0)
    assert following.take(step(1, gone=("shop/orders", "shop/billing")), 1)
    assert names(following) == ["a"]
    assert not names(following, "shop/billing"), "nobody here dials it"
    following.begin()
    assert not following.take(whole(version=9), 2)
    assert names(following) == ["a"]
    assert following.take(whole(service(endpoint("b")), version=10), 3)
    assert names(following) == ["b"]


def test_what_a_name_server_tells_holds_until_the_operator_speaks_of_the_service() -> None:
    following = Following(BOOTSTRAP)
    assert following.resolve("shop/orders", [endpoint("d"), endpoint("c")])
    assert names(following) == ["c", "d"]
    assert not following.resolve("shop/orders", [endpoint("c"), endpoint("d")])
    following.take(whole(service(endpoint("a"))), 0)
    assert names(following) == ["a"]
    following.resolve("shop/orders", [endpoint("e")])
    assert not following.take(updates.join(1, {}, base=1), 1), "the heartbeat says nothing of it"
    assert names(following) == ["e"]
    following.take(step(1, added(endpoint("b"))), 2)
    assert names(following) == ["a", "b"]
    assert not following.resolve("shop/unknown", [endpoint("z")])


def test_replicas_are_awaited_until_somebody_has_told_of_them() -> None:
    known, others = service(endpoint("a"), name="billing"), (service(name="mail"), service(name="stock"))
    following = Following(Snapshot(services=(service(), known, *others)))
    assert sorted(awaited(following)) == ["shop/mail", "shop/orders", "shop/stock"]
    assert following.to_ask_for() == {"shop/mail", "shop/orders", "shop/stock"}
    assert following.take(whole(service()), 0)
    assert awaited(following) == ["shop/mail", "shop/stock"], "that there is none is told too"
    assert following.to_ask_for() == {"shop/mail", "shop/stock"}
    assert following.resolve("shop/mail", [])
    assert not following.resolve("shop/mail", [])
    assert following.resolve("shop/stock", [endpoint("s")])
    assert awaited(following) == []
    assert following.to_ask_for() == {"shop/mail"}, "it is asked for again, as it may come"


def test_addresses_of_the_name_server_are_known_replicas_or_new_ones() -> None:
    known = Endpoint(host="10.0.0.1", port=15801, name="orders-a", mesh=True, app_port=3005, zone="west")
    unready = Endpoint(host="10.0.0.2", port=15801, name="orders-b", mesh=True, ready=False)
    hosts = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert endpoints_at(service(known, unready), hosts, {"10.0.0.3"}, 15801) == [
        known,
        Endpoint(host="10.0.0.2", port=3005, name="orders/10.0.0.2"),
        Endpoint(host="10.0.0.3", port=15801, name="orders/10.0.0.3", mesh=True, app_port=3005),
    ]


def test_apps_are_dialled_where_others_were_or_where_the_manifest_says() -> None:
    def port(of: Service) -> int:
        return endpoints_at(of, ["10.0.0.9"], set(), 15801)[0].port

    assert port(service()) == 3001
    assert port(replace(service(), app_port=3002)) == 3002
    seen = Endpoint(host="10.0.0.1", port=3003, name="a")
    assert port(replace(service(seen), app_port=3002)) == 3003


def test_the_patience_is_a_minute() -> None:
    assert PATIENCE == 60 * SECOND


def test_an_older_snapshot_is_not_enforced_by_a_name_server_either() -> None:
    other = service(endpoint("b"), name="billing")
    following = Following(BOOTSTRAP)
    following.take(whole(service(endpoint("new")), other, slices=20), 0)
    following.begin()
    following.take(whole(service(endpoint("old")), slices=19), 1)
    following.resolve("shop/billing", [endpoint("c")])
    assert names(following) == ["new"]


def test_a_stream_that_begins_anew_takes_nothing_away_when_a_name_is_resolved() -> None:
    following = Following(Snapshot(services=(service(), service(name="billing"))))
    following.take(whole(service(endpoint("a")), service(endpoint("b"), name="billing")), 0)
    following.begin()
    assert following.resolve("shop/billing", [endpoint("c")])
    assert (names(following), names(following, "shop/billing")) == (["a"], ["c"])
    assert following.to_ask_for() == set()


def readiness(following: Following) -> dict[str, bool]:
    return {each.name: each.ready for found in following.in_force.services for each in found.endpoints}


def test_a_list_that_becomes_empty_keeps_the_last_endpoints_until_they_are_lost() -> None:
    a, b = endpoint("a"), endpoint("b")
    following = Following(BOOTSTRAP)
    following.take(whole(service(a, b, replace(endpoint("ending"), terminating=True))), 0)
    assert not following.kept()
    assert following.take(step(1, Change(service="shop/orders", gone=("a", "b", "ending"))), 1)
    assert readiness(following) == {"a": False, "b": False}
    (kept,) = following.kept()
    assert following.lose("shop/orders", kept.endpoints[:1])
    assert readiness(following) == {"b": False}
    assert not following.take(updates.join(3, {}, base=2), 2)
    assert following.lose("shop/orders", kept.endpoints)
    assert readiness(following) == {}
    assert not following.kept()
    assert following.take(step(3, added(a)), 3)
    assert readiness(following) == {"a": True}


def test_a_new_list_takes_the_place_of_the_endpoints_that_were_kept() -> None:
    following = Following(BOOTSTRAP)
    following.take(whole(service(endpoint("a"))), 0)
    following.take(whole(service()), 1)
    assert readiness(following) == {"a": False}
    assert following.take(step(1, added(endpoint("b"))), 2)
    assert readiness(following) == {"b": True}
    following.take(whole(service()), 3)
    assert readiness(following) == {"b": False}
    assert following.resolve("shop/orders", [endpoint("c")])
    assert not following.kept(), "the name server tells what is there"
    assert following.take(whole(service()), 4)
    assert readiness(following) == {"c": False}


def test_there_is_nothing_to_keep_before_anybody_has_told() -> None:
    assert not Following(BOOTSTRAP).kept()


def test_what_a_name_server_tells_is_added_where_the_operator_speaks_but_none_of_its_endpoints_works() -> None:
    a, b, c = (Endpoint(host=f"10.0.0.{number}", port=3001, name=name) for number, name in enumerate("abc"))
    following = Following(BOOTSTRAP)
    following.take(whole(service(a, b)), 0)
    assert not following.resolve("shop/orders", [replace(a, name="orders/10.0.0.0")], instead=False)
    assert names(following) == ["a", "b"]
    assert following.to_ask_for() == {"shop/orders"}, "what was added is asked for until the operator speaks"
    assert following.resolve("shop/orders", [c], instead=False)
    assert names(following) == ["a", "b", "c"]
    assert following.resolve("shop/orders", [b], instead=False)
    assert names(following) == ["a", "b"], "the last answer of the name server counts"
    assert following.resolve("shop/orders", [c], instead=False)
    assert following.resolve("shop/orders", [c], instead=True)
    assert names(following) == ["c"]


def test_an_operator_that_has_caught_up_and_lags_again_has_its_time_anew() -> None:
    following = Following(BOOTSTRAP)
    following.take(whole(service(endpoint("new")), version=5, EndpointSlice=5), 0)
    old = whole(service(endpoint("old")), version=4, EndpointSlice=4)
    following.begin()
    assert not following.take(old, SECOND)
    following.begin()
    following.take(whole(service(endpoint("new")), version=5, EndpointSlice=5), 2 * SECOND)
    following.begin()
    assert not following.take(old, SECOND + PATIENCE)
    assert names(following) == ["new"]


def test_the_port_that_a_sidecar_took_over_by_its_name_is_no_port_of_other_pods_apps() -> None:
    told = Endpoint(host="10.0.0.1", port=15801, name="a", mesh=True, app_port=15820)
    known = replace(service(told), port=3001, app_port=None)
    (other,) = endpoints_at(known, ["10.0.0.2"], set(), 15801)
    assert (other.port, other.mesh) == (3001, False)
