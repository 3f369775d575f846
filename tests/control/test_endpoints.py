"""Replicas from EndpointSlices: each pod once, at its sidecar where it has one."""

from __future__ import annotations

from typing import Any

import pytest

from control.objects import endpoint_slice, listed
from tcpservice.snapshot import Endpoint
from tcpservice_operator.endpoints import merge, read_slice, service_of

KEY = ("shop", "orders")


def endpoints(*bodies: dict[str, Any], unserved: str = "") -> tuple[Endpoint, ...]:
    return merge((read_slice(body, KEY) for body in bodies), lambda endpoint: endpoint.name != unserved)


def test_a_pod_whose_sidecar_does_not_serve_it_is_reached_at_its_app() -> None:
    both = endpoint_slice("x", listed("a", "10.0.0.1"), listed("b", "10.0.0.2"))
    found = [(each.name, each.port, each.mesh) for each in endpoints(both, unserved="b")]
    assert found == [("a", 15801, True), ("b", 3001, False)]
    both["ports"] = both["ports"][1:]
    assert [each.name for each in endpoints(both, unserved="b")] == ["a"], "no port of the app leads anywhere"


@pytest.mark.parametrize(
    ("service", "key"),
    [("orders-replicas", KEY), ("orders", None), ("", None), ("a-replicas-replicas", ("shop", "a-replicas"))],
)
def test_only_slices_of_headless_services_count(service: str, key: object) -> None:
    assert service_of(endpoint_slice("x", service=service)) == key


def test_a_slice_without_labels_is_somebody_elses() -> None:
    body = endpoint_slice("x")
    del body["metadata"]["labels"]
    assert service_of(body) is None


def test_a_sidecar_is_reached_at_its_mesh_port_and_an_app_at_its_own() -> None:
    injected = endpoint_slice("x", listed("a", "10.0.0.1"), mesh=15801)
    bare = endpoint_slice("y", listed("b", "10.0.0.2"), mesh=None)
    assert endpoints(bare, injected) == (
        Endpoint(host="10.0.0.1", port=15801, name="a", mesh=True, app_port=3001, zone="west"),
        Endpoint(host="10.0.0.2", port=3001, name="b", zone="west"),
    )


def test_a_slice_whose_ports_no_pod_has_lists_nobody() -> None:
    assert endpoints({**endpoint_slice("x", listed("a", "10.0.0.1")), "ports": None}) == ()
    assert endpoints(endpoint_slice("x", {"addresses": []})) == ()


@pytest.mark.parametrize(
    ("conditions", "state"),
    [
        ({}, (True, True, False)),
        ({"ready": True, "serving": True, "terminating": False}, (True, True, False)),
        ({"ready": False, "serving": True, "terminating": True}, (False, True, True)),
        ({"ready": False}, (False, False, False)),
        (None, (True, True, False)),
    ],
)
def test_states(conditions: object, state: tuple[bool, bool, bool]) -> None:
    (found,) = endpoints(endpoint_slice("x", {**listed("a", "10.0.0.1"), "conditions": conditions}))
    assert (found.ready, found.serving, found.terminating) == state


def test_a_pod_in_two_slices_is_one_replica() -> None:
    just_injected = [
        endpoint_slice("x", listed("a", "10.0.0.1"), mesh=None),
        endpoint_slice("y", listed("a", "10.0.0.1")),
    ]
    for bodies in (just_injected, just_injected[::-1]):
        assert [(found.name, found.mesh) for found in endpoints(*bodies)] == [("a", True)]
    both = [
        endpoint_slice("six", listed("a", "fd00::1"), family="IPv6"),
        endpoint_slice("four", listed("a", "10.0.0.1")),
    ]
    for bodies in (both, both[::-1]):
        assert [found.host for found in endpoints(*bodies)] == ["10.0.0.1"]


def test_addresses_without_a_pod_are_replicas_of_their_own() -> None:
    bare = [{"addresses": ["10.0.0.1"]}, {"addresses": ["fd00::1"]}]
    assert [found.name for found in endpoints(endpoint_slice("x", *bare))] == ["10.0.0.1:15801", "[fd00::1]:15801"]


def test_of_two_pods_with_one_name_the_staying_one_counts() -> None:
    old = {**listed("a-0", "10.0.0.1", uid="old"), "conditions": {"ready": False, "terminating": True}}
    new = listed("a-0", "10.0.0.2", uid="new")
    for bodies in ((old, new), (new, old)):
        assert [found.host for found in endpoints(endpoint_slice("x", *bodies))] == ["10.0.0.2"]
