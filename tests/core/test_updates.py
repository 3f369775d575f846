"""What is streamed to sidecars: changes add up to the whole, and what is wrong with a line is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tcpservice import updates
from tcpservice.snapshot import Endpoint, Limits, MatchType, Route, Service, Snapshot, Timeouts
from tcpservice.updates import Change, Malformed, OutOfStep, Update

NAMES = ("a", "b", "c", "d")


def endpoint(name: str, host: str = "10.0.0.1", *, ready: bool = True) -> Endpoint:
    return Endpoint(host=host, port=3001, name=name, ready=ready)


def service(*endpoints: Endpoint, name: str = "orders", request: int = 0) -> Service:
    ordered = tuple(sorted(endpoints, key=lambda each: each.name))
    return Service(namespace="shop", name=name, port=3001, timeouts=Timeouts(request=request), endpoints=ordered)


ENDPOINTS = st.builds(endpoint, st.sampled_from(NAMES), st.sampled_from(["10.0.0.1", "10.0.0.2"]), ready=st.booleans())
SERVICES = st.builds(
    lambda name, request, found: service(*{each.name: each for each in found}.values(), name=name, request=request),
    st.sampled_from(["orders", "billing", "math"]), st.sampled_from([0, 5]), st.lists(ENDPOINTS, max_size=4),
)  # fmt: skip
SNAPSHOTS = st.lists(SERVICES, max_size=3, unique_by=lambda each: each.key).map(
    lambda found: Snapshot(services=tuple(sorted(found, key=lambda each: each.key)))
)


def line_between(before: Snapshot, after: Snapshot) -> bytes:
    """Write what leads from one snapshot to another, as the operator does."""
    old, new = ({each.key: each for each in snapshot.services} for snapshot in (before, after))
    whole, changes = [], []
    for key, wanted in new.items():
        change = updates.difference(old[key], wanted) if key in old else None
        if change is None:
            whole.append(updates.encode(wanted))
        elif change.put or change.gone:
            changes.append(updates.encode(change))
    gone = [key for key in old if key not in new]
    return updates.join(2, {"slices": 7}, base=1, services=whole, changes=changes, gone=gone)


@given(SNAPSHOTS, SNAPSHOTS)
def test_changes_add_up_to_the_whole(before: Snapshot, after: Snapshot) -> None:
    line = line_between(before, after)
    assert line.endswith(b"\n")
    assert b"\n" not in line[:-1]
    update = updates.decode(line)
    assert (update.base, update.version, update.revisions) == (1, 2, {"slices": 7})
    assert updates.apply(before, update) == after


@given(SNAPSHOTS, SNAPSHOTS)
def test_a_whole_line_replaces_what_was_there(before: Snapshot, after: Snapshot) -> None:
    update = updates.decode(updates.join(9, {}, services=map(updates.encode, after.services)))
    assert updates.apply(before, update) == after


def test_only_what_changed_of_the_endpoints_is_sent() -> None:
    before = service(endpoint("a"), endpoint("b"), endpoint("c"))
    after = service(endpoint("a"), endpoint("b", ready=False), endpoint("d"))
    change = updates.difference(before, after)
    assert change == Change(service="shop/orders", put=(endpoint("b", ready=False), endpoint("d")), gone=("c",))
    assert updates.difference(before, replace(after, limits=Limits(max_frame_size=1))) is None


def test_a_service_keeps_all_it_has_on_the_way() -> None:
    route = Route(name="sum", match=MatchType.EXACT, pattern="sum", idempotent=True)
    sent = replace(service(endpoint("a")), routes=(route,))
    (arrived,) = updates.decode(updates.join(1, {}, services=[updates.encode(sent)])).services
    assert arrived == sent


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"", "truncated"),
        (b"\xff\n", "malformed"),
        (b"[]", "Expected `object`"),
        (b"{}", "missing required field `version`"),
        (b'{"version":"1"}', "$.version"),
        (b'{"version":1,"services":[{"namespace":"shop","name":"orders"}]}', "missing required field `port`"),
        (b'{"version":1,"services":[{"namespace":"shop","name":"orders","port":70000}]}', "$.services[0].port"),
        (
            b'{"version":1,"services":[{"namespace":"s","name":"o","port":1,"timeouts":{"request":-1}}]}',
            "$.services[0].timeouts.request",
        ),
        (
            b'{"version":1,"changes":[{"service":"s/o","put":[{"host":"","port":1,"name":"a"}]}]}',
            "$.changes[0].put[0].host",
        ),
        (b'{"version":1,"services":[', "truncated"),
    ],
)
def test_a_line_that_is_no_update_is_refused_with_its_place(line: bytes, said: str) -> None:
    with pytest.raises(Malformed, match="the line begins with") as refused:
        updates.decode(line)
    assert said in str(refused.value)


def test_what_a_newer_operator_says_besides_is_left_alone() -> None:
    assert updates.decode(b'{"version":1,"weather":"fine","services":[]}') == Update(version=1)


def test_a_change_of_what_is_not_there_is_refused() -> None:
    with pytest.raises(OutOfStep, match="a change of shop/orders, which is not there"):
        updates.apply(Snapshot(), Update(version=2, base=1, changes=(Change(service="shop/orders"),)))


def test_what_went_already_may_go_again() -> None:
    there = Snapshot(services=(service(endpoint("a")),))
    update = Update(version=2, base=1, gone=("shop/math",), changes=(Change(service="shop/orders", gone=("z",)),))
    assert updates.apply(there, update) == there
