"""Replicas from EndpointSlices: each pod once, at its sidecar where it has one."""

from __future__ import annotations

from typing import Any

import pytest

from control.objects import endpoint_slice, listed
from tcpservice.snapshot import Endpoint
from tcpservice_operator.cache.endpoints import SidecarPorts, Slice, in_own_service, in_replicas, merge, read_slice

KEY = ("shop", "orders")


def read(body: dict[str, Any]) -> Slice:
    found = read_slice(body)
    assert found is not None
    return found


def endpoints(*bodies: dict[str, Any], unserved: str = "no-pod") -> tuple[Endpoint, ...]:
    slices = [read(body) for body in bodies]
    return merge((each.family, in_replicas(each, lambda pod: pod != unserved)) for each in slices)


def test_a_pod_whose_sidecar_does_not_serve_it_is_reached_at_its_app() -> None:
    both = endpoint_slice("x", listed("a", "10.0.0.1"), listed("b", "10.0.0.2"))
    found = [(each.name, each.port, each.mesh) for each in endpoints(both, unserved="b")]
    assert found == [("a", 15801, True), ("b", 3001, False)]
    both["ports"] = both["ports"][1:]
    assert [each.name for each in endpoints(both, unserved="b")] == ["a"], "no port of the app leads anywhere"


def test_a_slice_belongs_to_the_service_of_its_label() -> None:
    assert read(endpoint_slice("x", service="orders")).service == KEY
    body = endpoint_slice("x")
    del body["metadata"]["labels"]
    assert read_slice(body) is None


def test_slices_of_the_users_own_service_list_sidecars_by_what_the_pods_say() -> None:
    sidecars = {"a": SidecarPorts(15801, 3001), "b": SidecarPorts(15801, None)}
    own = {
        **endpoint_slice("x", *(listed(name, f"10.0.0.{ord(name)}") for name in "abc"), {"addresses": ["10.9.9.9"]}),
        "ports": [{"name": "http", "port": 80}, {"name": "tcp", "port": 3001}],
    }
    found = merge([("IPv4", in_own_service(read(own), "tcp", lambda pod, _: sidecars.get(pod)))])
    assert [(each.name, each.port, each.mesh, each.app_port) for each in found] == [
        ("10.9.9.9:3001", 3001, False, None), ("a", 15801, True, 3001), ("b", 15801, True, None),
        ("c", 3001, False, None),
    ]  # fmt: skip
    assert merge([("IPv4", in_own_service(read(own), "", lambda *_: None))]) == (), "the Service has no such port"


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
