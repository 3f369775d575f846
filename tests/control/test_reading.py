"""Reading a kind at once finds what went while nobody watched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from control.objects import endpoint_slice, listed, namespace, network_policy, pod, service, tcp_service
from tcpservice_operator.cluster import ApiError, Page
from tcpservice_operator.following import Follower
from tcpservice_operator.kinds import KINDS, Kind
from tcpservice_operator.objects import Body, Key
from tcpservice_operator.reading import Reader
from tcpservice_operator.state import State

OBJECTS: dict[str, list[dict[str, Any]]] = {
    "namespaces": [namespace("shop"), namespace("bank")],
    "services": [service(), service("billing")],
    "endpointslices": [
        endpoint_slice("x", listed("a", "10.0.0.1")),
        endpoint_slice("y", listed("b", "10.0.0.2")),
        endpoint_slice("z", service="somebodys"),
    ],
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

    async def pages(self, plural: str) -> AsyncIterator[Page]:
        assert plural
        self.lists += 1
        if self.fails:
            self.fails -= 1
            raise ApiError(0, "gone")
        yield Page(str(self.lists), [])
        for body in list(self.bodies):
            yield Page("of another page", [body])

    async def changes(self, plural: str, version: str) -> AsyncIterator[Body]:
        assert plural
        self.watched.append(version)
        while self.events:
            event = self.events.pop(0)
            if isinstance(event, ApiError):
                raise event
            yield event
        await asyncio.sleep(0.01)


def reader_of(state: State, server: Server) -> tuple[Reader, set[Key]]:
    touched: set[Key] = set()
    return Reader(state, server, touched.update), touched


def names(state: State, kind: Kind) -> set[str]:
    return {body["metadata"]["name"] for body in kind.known(state)}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.plural)
def test_what_is_not_there_any_more_is_forgotten(kind: Kind) -> None:
    state = State()
    server = Server(list(OBJECTS[kind.plural]))
    reader, _ = reader_of(state, server)
    asyncio.run(reader.read(kind))
    first, second = (body["metadata"]["name"] for body in server.bodies[:2])
    assert names(state, kind) == {first, second}
    asyncio.run(reader.read(kind))
    assert names(state, kind) == {first, second}
    del server.bodies[0]
    asyncio.run(reader.read(kind))
    assert names(state, kind) == {second}


def test_who_is_concerned_is_told() -> None:
    state = State()
    for body in OBJECTS["tcpservices"]:
        state.see_wanted(body)
    server = Server([pod("a")])
    reader, touched = reader_of(state, server)
    kind = next(kind for kind in KINDS if kind.plural == "pods")
    asyncio.run(reader.read(kind))
    assert touched == {("shop", "orders")}
    touched.clear()
    server.bodies.clear()
    asyncio.run(reader.read(kind))
    assert touched == {("shop", "orders")}


def test_many_wishes_are_one_reading_and_a_failed_one_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tcpservice_operator.reading._SETTLE_S", 0.01)
    monkeypatch.setattr("tcpservice_operator.reading._AGAIN_S", 0.01)
    state = State()
    server = Server([pod("a")])
    server.fails = 2
    reader, _ = reader_of(state, server)
    kind = next(kind for kind in KINDS if kind.plural == "pods")

    async def run() -> None:
        running = asyncio.create_task(reader.run())
        for _ in range(50):
            reader.let_read(kind)
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
    monkeypatch.setattr("tcpservice_operator.following._FIRST_PAUSE_S", 0.01)
    state, server = State(), Server([pod("a"), pod("b")])
    reader, touched = reader_of(state, server)
    kind = next(kind for kind in KINDS if kind.plural == "pods")
    state.see_wanted(tcp_service())
    server.events = [
        event("ADDED", pod("c"), 10),
        event("BOOKMARK", {"metadata": {}}, 11),
        ApiError(0, "broken off"),
        event("DELETED", pod("a"), 12),
        ApiError(410, "Expired"),
    ]

    async def run() -> None:
        running = asyncio.create_task(Follower(kind, state, server, reader, touched.update).run())
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
    assert server.watched[:3] == ["1", "11", "2"]
    assert names(state, kind) == {"b", "d"}
    assert touched == {("shop", "orders")}
