"""Reading a kind at once finds what went while nobody watched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from msgspec.structs import replace

from control.objects import endpoint_slice, listed, namespace, network_policy, pod, service, tcp_service
from tcpservice_operator.cluster import ApiError, Cluster
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
    """Lists objects; `fails` lists are refused."""

    def __init__(self, bodies: list[dict[str, Any]]) -> None:
        self.bodies = bodies
        self.fails = 0
        self.lists = 0

    async def listed(self, _: Cluster) -> AsyncIterator[Body]:
        self.lists += 1
        if self.fails:
            self.fails -= 1
            raise ApiError(0, "gone")
        for body in self.bodies:
            yield body


def reader_of(state: State) -> tuple[Reader, set[Key]]:
    touched: set[Key] = set()
    return Reader(state, cast("Cluster", None), touched.update), touched


def names(state: State, kind: Kind) -> set[str]:
    return {body["metadata"]["name"] for body in kind.known(state)}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource[-1])
def test_what_is_not_there_any_more_is_forgotten(kind: Kind) -> None:
    state = State()
    server = Server(list(OBJECTS[kind.resource[-1]]))
    reader, _ = reader_of(state)
    kind = replace(kind, listed=server.listed)
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
    reader, touched = reader_of(state)
    kind = next(kind for kind in KINDS if kind.resource[-1] == "pods")
    server = Server([pod("a")])
    asyncio.run(reader.read(replace(kind, listed=server.listed)))
    assert touched == {("shop", "orders")}
    touched.clear()
    server.bodies.clear()
    asyncio.run(reader.read(replace(kind, listed=server.listed)))
    assert touched == {("shop", "orders")}


def test_many_wishes_are_one_reading_and_a_failed_one_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tcpservice_operator.reading._SETTLE_S", 0.01)
    monkeypatch.setattr("tcpservice_operator.reading._AGAIN_S", 0.01)
    state = State()
    reader, _ = reader_of(state)
    server = Server([pod("a")])
    server.fails = 2
    kind = replace(next(kind for kind in KINDS if kind.resource[-1] == "pods"), listed=server.listed)

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
