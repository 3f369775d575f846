"""A list of a kind finds objects that were deleted while the watch was interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from control.objects import endpoint_slice, listed, namespace, network_policy, pod, service, tcp_service
from tcpservice_operator.api.plain_objects import Body, Key
from tcpservice_operator.cache.cluster_state import MOST_DELETED, ClusterState
from tcpservice_operator.cache.kinds import KINDS, Collection, Kind, collections
from tcpservice_operator.cache.listing import Lister
from tcpservice_operator.cache.watching import Watcher
from tcpservice_operator.kube.kube_client import ApiError, Page


def failed(name: str) -> dict[str, Any]:
    """Make an Event of a workload that cannot create pods."""
    about = {"kind": "ReplicaSet", "name": name}
    return {"metadata": {"name": name, "namespace": "shop"}, "involvedObject": about, "message": "no"}


OBJECTS: dict[str, list[dict[str, Any]]] = {
    "namespaces": [namespace("shop"), namespace("bank")],
    "services": [service(), service("billing")],
    "endpointslices": [
        endpoint_slice("x", listed("a", "10.0.0.1")),
        endpoint_slice("y", listed("b", "10.0.0.2")),
    ],
    "events": [failed("x"), failed("y")],
    "networkpolicies": [network_policy(), network_policy(name="more")],
    "pods": [pod("a"), pod("b")],
    "tcpservices": [tcp_service(), tcp_service("billing")],
}


class Server:
    """Lists objects, one a page; `fails` lists are refused."""

    def __init__(self, bodies: list[dict[str, Any]]) -> None:
        self.bodies = bodies
        self.fails = 0
        self.lists = 0
        self.watched: list[str] = []
        self.events: list[Any] = []

    async def pages(self, plural: str, namespace: str) -> AsyncIterator[Page]:
        assert plural
        self.lists += 1
        if self.fails:
            self.fails -= 1
            raise ApiError(0, "gone")
        yield Page(str(self.lists), [])
        for body in list(self.bodies):
            if namespace in ("", body["metadata"].get("namespace", body["metadata"]["name"])):
                yield Page("of another page", [body])

    async def changes(self, plural: str, namespace: str, version: str) -> AsyncIterator[Body]:
        assert plural
        assert namespace == ""
        self.watched.append(version)
        while self.events:
            event = self.events.pop(0)
            if isinstance(event, ApiError):
                raise event
            yield event
        await asyncio.sleep(0.01)


def reader_of(state: ClusterState, server: Server) -> tuple[Lister, set[Key]]:
    touched: set[Key] = set()
    return Lister(state, server, touched.update), touched


def names(state: ClusterState, kind: Kind) -> set[str]:
    return {body["metadata"]["name"] for body in kind.known(state)}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.plural)
def test_what_is_not_there_any_more_is_forgotten(kind: Kind) -> None:
    state = ClusterState()
    server = Server(list(OBJECTS[kind.plural]))
    lister, _ = reader_of(state, server)
    asyncio.run(lister.list(Collection(kind)))
    first, second = (body["metadata"]["name"] for body in server.bodies[:2])
    assert names(state, kind) == {first, second}
    asyncio.run(lister.list(Collection(kind)))
    assert names(state, kind) == {first, second}
    del server.bodies[0]
    asyncio.run(lister.list(Collection(kind)))
    assert names(state, kind) == {second}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.plural)
def test_a_list_of_one_namespace_removes_nothing_of_another(kind: Kind) -> None:
    state = ClusterState()
    original = OBJECTS[kind.plural][0]
    metadata = {"name": "bank"} if kind.plural == "namespaces" else {"namespace": "bank", "name": "other"}
    server = Server([original, {**original, "metadata": {**original["metadata"], **metadata}}])
    lister, _ = reader_of(state, server)
    for collection in collections(["shop", "bank"]):
        if collection.kind is kind:
            asyncio.run(lister.list(collection))
    assert len(names(state, kind)) == 2
    server.bodies.clear()
    asyncio.run(lister.list(Collection(kind, "shop")))
    assert names(state, kind) == {metadata["name"]}


def test_who_is_concerned_is_told() -> None:
    state = ClusterState()
    for body in OBJECTS["tcpservices"]:
        state.apply_tcp_service_event(body)
    server = Server([pod("a")])
    lister, touched = reader_of(state, server)
    kind = next(kind for kind in KINDS if kind.plural == "pods")
    asyncio.run(lister.list(Collection(kind)))
    assert touched == {("shop", "orders")}
    touched.clear()
    server.bodies.clear()
    asyncio.run(lister.list(Collection(kind)))
    assert touched == {("shop", "orders")}


def test_many_wishes_are_one_reading_and_a_failed_one_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tcpservice_operator.cache.listing._SETTLE_S", 0.01)
    monkeypatch.setattr("tcpservice_operator.cache.listing._RETRY_S", 0.01)
    state = ClusterState()
    server = Server([pod("a")])
    server.fails = 2
    lister, _ = reader_of(state, server)
    kind = next(kind for kind in KINDS if kind.plural == "pods")

    async def run() -> None:
        running = asyncio.create_task(lister.run())
        for _ in range(50):
            lister.list_soon(Collection(kind))
        async with asyncio.timeout(5):
            while state.pod(("shop", "a")) is None:
                await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(run())
    assert server.lists == 3


def event(kind: str, body: dict[str, Any], version: int) -> dict[str, Any]:
    return {"type": kind, "object": {**body, "metadata": {**body["metadata"], "resourceVersion": str(version)}}}


def test_what_is_followed_goes_on_where_it_broke_off_or_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tcpservice_operator.cache.watching._FIRST_PAUSE_S", 0.01)
    state, server = ClusterState(), Server([pod("a"), pod("b")])
    lister, touched = reader_of(state, server)
    heard: list[int] = []
    kind = next(kind for kind in KINDS if kind.plural == "pods")
    state.apply_tcp_service_event(tcp_service())
    server.events = [
        event("ADDED", pod("c"), 10),
        event("BOOKMARK", {"metadata": {}}, 11),
        ApiError(0, "broken off"),
        event("DELETED", pod("a"), 12),
        ApiError(410, "Expired"),
    ]

    async def run() -> None:
        watcher = Watcher(Collection(kind), state, server, lister, touched.update, lambda: heard.append(1))
        running = asyncio.create_task(watcher.run())
        async with asyncio.timeout(5):
            while state.pod(("shop", "c")) is None:
                await asyncio.sleep(0)
            server.bodies = [pod("b"), pod("d")]
            while state.pod(("shop", "d")) is None:
                await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(run())
    assert server.lists == 2
    assert len(heard) == 3, "of each event and bookmark"
    assert server.watched[:3] == ["1", "11", "2"]
    assert names(state, kind) == {"b", "d"}
    assert touched == {("shop", "orders")}


def versioned(version: int, port: int = 3001, name: str = "orders") -> dict[str, Any]:
    body = tcp_service(name, port=port)
    return {**body, "metadata": {**body["metadata"], "resourceVersion": str(version), "generation": version}}


def ports(state: ClusterState) -> list[int]:
    return [each.document["spec"]["port"] for each in state.tcp_services.values()]


def test_a_list_that_is_older_than_an_event_changes_nothing() -> None:
    state = ClusterState()
    state.apply_tcp_service_event(versioned(7, port=4000))
    assert state.apply_tcp_service_event(versioned(5, port=3000)) == set()
    assert ports(state) == [4000]
    state.apply_tcp_service_event(versioned(9), deleted=True)
    for version in (7, 9):
        assert state.apply_tcp_service_event(versioned(version)) == set()
    assert ports(state) == [], "it was deleted after that"
    state.apply_tcp_service_event(versioned(12, port=5000))
    assert ports(state) == [5000], "it was created again"


def test_a_list_removes_no_tcp_service_that_was_created_again_meanwhile() -> None:
    state = ClusterState()
    state.apply_tcp_service_event(versioned(3))
    (known,) = state.known_tcp_services()
    state.apply_tcp_service_event(versioned(6), deleted=True)
    state.apply_tcp_service_event(versioned(8, port=4000))
    state.apply_tcp_service_event(known, deleted=True)
    assert ports(state) == [4000]
    (known,) = state.known_tcp_services()
    state.apply_tcp_service_event(known, deleted=True)
    assert ports(state) == []


def test_what_is_kept_of_deleted_tcp_services_is_bounded() -> None:
    state = ClusterState()
    state.apply_tcp_service_event(versioned(1, name="stays"))
    for number in range(3 * MOST_DELETED):
        state.apply_tcp_service_event(versioned(number + 2, name=f"s{number}"))
        state.apply_tcp_service_event(versioned(number + 2, name=f"s{number}"), deleted=True)
    assert len(state._newest) <= MOST_DELETED + 2
    assert state.apply_tcp_service_event(versioned(1, name="stays")) == set(), "its version is still known"
    assert state.apply_tcp_service_event(versioned(2, name="stays")) == {("shop", "stays")}


def test_a_list_of_what_is_known_concerns_no_tcp_service() -> None:
    state = ClusterState()
    server = Server([versioned(7), versioned(8, name="billing")])
    lister, touched = reader_of(state, server)
    (kind,) = [kind for kind in KINDS if kind.by_kopf]
    asyncio.run(lister.list(Collection(kind)))
    assert touched == {("shop", "orders"), ("shop", "billing")}
    touched.clear()
    server.bodies[0] = versioned(9)
    asyncio.run(lister.list(Collection(kind)))
    assert touched == {("shop", "orders")}


def test_requests_that_go_on_coming_are_one_list_and_do_not_hold_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tcpservice_operator.cache.listing._SETTLE_S", 0.01)
    state = ClusterState()
    server = Server([pod("a")])
    lister, _ = reader_of(state, server)
    (kind,) = [kind for kind in KINDS if kind.plural == "pods"]

    async def run() -> None:
        running = asyncio.create_task(lister.run())
        for requests in range(1, 1_000_000):
            lister.list_soon(Collection(kind))
            await asyncio.sleep(0)
            if server.lists:
                assert requests > 1
                break
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(run())
    assert server.lists == 1
