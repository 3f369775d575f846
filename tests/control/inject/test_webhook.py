"""The webhook's answers: by what the API server has now, or else by what is known."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from control.objects import endpoint_slice, listed, namespace, pod, service, tcp_service
from tcpservice_operator.cache.cluster_state import ClusterState
from tcpservice_operator.inject.sidecar_options import Options
from tcpservice_operator.inject.webhook import READ_NOW_S, Webhook
from tcpservice_operator.kube.kube_client import ApiError

Look = Callable[[ClusterState], Awaitable[ClusterState]]


def answer(
    state: ClusterState, body: dict[str, Any], look: Look, read_now_seconds: float = READ_NOW_S
) -> dict[str, Any]:
    async def tell(_: str) -> None:
        return

    async def run() -> dict[str, Any]:
        webhook = Webhook(
            state, Options(image="sidecar:1"), lambda _: look(state), tell, read_now_seconds=read_now_seconds
        )
        return await webhook.answer("shop", body)

    return asyncio.run(run())


def arguments(answered: dict[str, Any]) -> list[str]:
    """Return what the sidecar is given by a patch, nothing where there is none."""
    operations = json.loads(base64.b64decode(answered.get("patch", base64.b64encode(b"[]"))))
    values = [each["value"] for each in operations if each["path"].startswith("/spec/initContainers")]
    given: list[str] = [word for each in values for word in (each[0] if isinstance(each, list) else each)["args"]]
    return given


def known() -> ClusterState:
    """Know a namespace whose pods call, and one TcpService of it."""
    state = ClusterState()
    state.apply_namespace_event(namespace(inject="enabled"))
    state.apply_tcp_service_event(tcp_service("older", port=4001))
    return state


def web(**more: Any) -> dict[str, Any]:
    return pod("web", app="web", injected=False, **more)


def called(answered: dict[str, Any]) -> list[str]:
    given = [each.removeprefix("--listen=") for each in arguments(answered) if each.startswith("--listen=")]
    return [each.partition("=")[0] for each in given]


async def fresh(state: ClusterState) -> ClusterState:
    return state.as_of("shop", [tcp_service("older", port=4001), tcp_service("newer", port=4002)], [])


async def refused(_: ClusterState) -> ClusterState:
    raise ApiError(0, "gone")


async def slow(state: ClusterState) -> ClusterState:
    await asyncio.sleep(60)
    return state


@pytest.mark.parametrize(
    ("look", "seconds", "expected"),
    [(fresh, 60.0, ["shop/newer", "shop/older"]), (refused, 60.0, ["shop/older"]), (slow, 0.05, ["shop/older"])],
)
def test_a_tcp_service_that_no_event_told_of_is_called_too(look: Look, seconds: float, expected: list[str]) -> None:
    assert called(answer(known(), web(), look, seconds)) == expected


def test_one_that_has_gone_is_called_no_more_and_nothing_that_is_known_changes() -> None:
    state = known()

    async def look(state: ClusterState) -> ClusterState:
        return state.as_of("shop", [], [])

    assert answer(state, web(), look) == {}
    assert list(state.tcp_services) == [("shop", "older")]


def test_services_that_no_event_told_of_count() -> None:
    async def look(state: ClusterState) -> ClusterState:
        bare = tcp_service(targetPort=None)
        return state.as_of("shop", [bare], [service(ports=[{"port": 3001, "targetPort": "nestjs"}])])

    assert "--app=shop/orders=localhost:3001" in arguments(answer(known(), pod("a", injected=False), look))


def test_what_a_pod_calls_by_name_is_waited_for_and_missed_aloud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tcpservice_operator.inject.webhook._PAUSES_S", (0.0, 0.01, 0.01))
    looks: list[int] = []

    async def look(state: ClusterState) -> ClusterState:
        looks.append(1)
        return await fresh(state) if len(looks) > 2 else state

    assert called(answer(known(), web(calls="newer"), look)) == ["shop/newer"]
    said = answer(known(), web(calls="older, unknown.bank"), fresh)
    assert called(said) == ["shop/older"]
    missing = "the TcpService bank/unknown does not exist, or does not allow calls from this namespace"
    assert said["warnings"] == [f"tcpservice: {missing}"]
    said = answer(known(), web(calls="missing"), fresh)
    assert said["warnings"] == ["tcpservice: no sidecar, because the TcpService shop/missing does not exist"]
    operations = json.loads(base64.b64decode(said["patch"]))
    assert [each["path"] for each in operations] == ["/metadata/annotations/tcpservice.dev~1not-injected"]


def test_a_new_tcp_service_whose_service_has_endpoints_is_called_through_the_sidecar_at_once() -> None:
    """Its pods serve already; a caller that is created at the same time does not go past its sidecar for good."""
    state, looks = known(), list[int]()
    slices = endpoint_slice("there", listed("a", "198.18.0.7"), service="newer")
    state.apply_slice_event({**slices, "ports": [{"name": "", "port": 3001}]})

    async def look(state: ClusterState) -> ClusterState:
        looks.append(1)
        there = service("newer", selector={"app": "newer"}, ports=[{"port": 4002, "targetPort": "nestjs"}])
        return state.as_of("shop", [tcp_service("newer", port=4002)], [there])

    assert called(answer(state, web(), look)) == ["shop/newer"]
    assert looks == [1]
