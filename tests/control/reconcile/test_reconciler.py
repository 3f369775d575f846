"""The loop that makes plans true: writes what differs, nothing else, and not against somebody for ever."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from control.objects import pod, service, tcp_service
from tcpservice_operator.api.plain_objects import Body, Key
from tcpservice_operator.cache.cluster_state import ClusterState
from tcpservice_operator.kube.kube_client import ApiError
from tcpservice_operator.reconcile.reconciler import Reconciler

NOW = "2026-01-01T00:00:00Z"


class Server:
    """Keeps what is written as an API server does, and shows it to the operator."""

    def __init__(self, state: ClusterState) -> None:
        self.state = state
        self.writes: Counter[str] = Counter()
        self.events: list[str] = []
        self.evicted: list[str] = []
        self.desired: dict[str, int | None] = {}
        self.refuse: list[str] = []
        self.error = ApiError(503, "come back later")
        self.released: list[Body] = []

    async def apply_service(self, document: Body) -> None:
        self._count("service")
        body: dict[str, Any] = {**document, "metadata": {**document["metadata"], "uid": "made"}}
        self.state.apply_service_event(body)

    async def release_service(self, change: Body) -> None:
        self._count("release")
        self.released.append(change)

    async def apply_status(self, key: Key, status: Body) -> None:
        self._count("status")
        record = self.state.tcp_services[key]
        metadata = {**record.document["metadata"], "uid": record.uid, "generation": record.generation}
        self.state.apply_tcp_service_event({**record.document, "metadata": metadata, "status": status})

    async def evict(self, pod: Key) -> None:
        self._count("eviction")
        self.evicted.append(pod[1])

    async def desired_pods(self, namespace: str, workload: str) -> int | None:
        return self.desired.get(f"{namespace}/{workload}", 0)

    async def post_event(self, document: Body) -> None:
        self._count("event")
        self.events.append(document["reason"])

    def _count(self, kind: str) -> None:
        if kind in self.refuse:
            raise self.error
        self.writes[kind] += 1


def stage(
    *bodies: dict[str, Any], grace_period: float = 0.0, replacement_timeout: float = 60.0
) -> tuple[ClusterState, Server, Reconciler, dict[str, bool]]:
    state = ClusterState()
    for body in bodies:
        if body.get("kind") == "TcpService":
            state.apply_tcp_service_event(body)
        else:
            (state.apply_pod_event if "containers" in body["spec"] else state.apply_service_event)(body)
    server, leads = Server(state), {"now": True}
    return (
        state,
        server,
        Reconciler(state, server, lambda: leads["now"], lambda: NOW, grace_period, replacement_timeout),
        leads,
    )


async def settle(reconciler: Reconciler, state: ClusterState, rounds: int = 3) -> None:
    for _ in range(rounds):
        for key in list(state.tcp_services):
            await reconciler.reconcile(key)


def test_a_look_at_500_services_that_are_as_planned_writes_nothing() -> None:
    bodies = [tcp_service(f"s{number}") for number in range(500)]
    state, server, reconciler, _ = stage(*bodies, *[pod(f"p{n}", app=f"s{n}") for n in range(500)])
    asyncio.run(settle(reconciler, state))
    assert (server.writes["service"], server.writes["status"]) == (1000, 1000), "made, and told twice"
    server.writes.clear()
    asyncio.run(settle(reconciler, state, rounds=1))
    assert not server.writes


def test_people_have_their_time_to_make_the_service_themselves() -> None:
    """One `kubectl apply` of both fails if another client creates the Service in between."""
    state, server, reconciler, _ = stage(tcp_service(), grace_period=3600.0)
    asyncio.run(settle(reconciler, state))
    assert server.writes["service"] == 1, "the one of its replicas is nobody else's"
    state.apply_service_event(service())
    server.writes.clear()
    asyncio.run(settle(reconciler, state))
    assert not server.writes["service"]


def test_a_service_that_nobody_makes_is_made_when_their_time_is_over() -> None:
    async def scene() -> None:
        reconciler.touch(state.tcp_services)
        running = asyncio.create_task(reconciler.run())
        while server.writes["service"] < 2:
            await asyncio.sleep(0.01)
        running.cancel()

    state, server, reconciler, _ = stage(tcp_service(), grace_period=0.1)
    asyncio.run(asyncio.wait_for(scene(), 10))


def test_who_does_not_lead_writes_nothing() -> None:
    state, server, reconciler, leads = stage(tcp_service())
    leads["now"] = False
    asyncio.run(settle(reconciler, state))
    assert not server.writes


def test_events_are_told_once_and_nothing_depends_on_them() -> None:
    state, server, reconciler, _ = stage(tcp_service(), tcp_service("zz", selector=None))
    asyncio.run(settle(reconciler, state))
    assert server.events.count("NoSelector") == 1
    state, server, reconciler, _ = stage(tcp_service(), tcp_service("zz", selector=None))
    server.refuse.append("event")
    asyncio.run(settle(reconciler, state))
    assert state.tcp_services["shop", "zz"].status["conditions"][0]["reason"] == "NoSelector"


def test_refused_pods_are_told_once_for_each_owner_and_reason() -> None:
    def refused(name: str, why: str, app: str = "orders", **more: Any) -> dict[str, Any]:
        annotations = {"tcpservice.dev/not-injected": why}
        return pod(name, app=app, injected=False, annotations=annotations, **more)

    state, server, reconciler, _ = stage(tcp_service(), service(), refused("a", "x"), refused("b", "x"))
    asyncio.run(settle(reconciler, state))
    assert server.events.count("NotInjected") == 1
    for body in (refused("c", "y"), refused("web", "x", "web", inject="enabled"), refused("d", "x"), pod("e")):
        state.apply_pod_event(body)
        asyncio.run(settle(reconciler, state))
    assert server.events.count("NotInjected") == 3
    for name in ("a", "b", "d"):
        state.apply_pod_event(refused(name, "x"), deleted=True)
    asyncio.run(settle(reconciler, state))
    state.apply_pod_event(refused("a", "x"))
    asyncio.run(settle(reconciler, state))
    assert server.events.count("NotInjected") == 4


def test_a_service_that_is_refused_again_and_again_is_quoted_each_time() -> None:
    state, server, reconciler, _ = stage(tcp_service(), service(), pod("orders-a", app="orders"))
    server.refuse.append("service")
    server.error = ApiError(403, "Forbidden: exceeded quota: full")

    async def run() -> None:
        for _ in range(20):
            with pytest.raises(ApiError, match="exceeded quota"):
                await reconciler.reconcile(("shop", "orders"))

    asyncio.run(run())
    assert "exceeded quota: full" in programmed(state)[2]


def test_somebody_who_keeps_changing_a_service_is_not_fought_for_ever() -> None:
    state, server, reconciler, _ = stage(tcp_service())

    async def fight() -> None:
        await settle(reconciler, state)
        for number in range(100):
            state.apply_service_event(service(ours=True, selector={"app": f"theirs-{number}"}))
            await reconciler.reconcile(("shop", "orders"))

    with pytest.raises(
        ApiError, match="To see which one: kubectl get service -n shop orders -o yaml --show-managed-fields"
    ):
        asyncio.run(fight())
    assert server.writes["service"] <= 7


def test_what_was_refused_is_tried_again() -> None:
    state, server, reconciler, _ = stage(tcp_service())

    async def run() -> None:
        server.refuse.append("service")
        running = asyncio.create_task(reconciler.run())
        reconciler.touch(state.tcp_services)
        await asyncio.sleep(0.2)
        assert not server.writes
        server.refuse.clear()
        async with asyncio.timeout(10):
            while server.writes["service"] < 2:
                await asyncio.sleep(0.05)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(run())


def programmed(state: ClusterState) -> tuple[str, str, str]:
    """Return status, reason and message of the condition Programmed."""
    (tcp_service,) = state.tcp_services.values()
    (found,) = (one for one in tcp_service.status["conditions"] if one["type"] == "Programmed")
    return found["status"], found["reason"], found["message"]


@pytest.mark.parametrize("quota", [True, False])
def test_a_service_that_the_api_server_refuses_is_quoted_in_the_status_until_it_is_there(quota: bool) -> None:
    state, server, reconciler, _ = stage(tcp_service())
    server.refuse.append("service")
    server.error = ApiError(403, "exceeded quota: few" if quota else "denied by a policy")

    async def run() -> None:
        for _ in range(2):
            with pytest.raises(ApiError, match=str(server.error)):
                await reconciler.reconcile(("shop", "orders"))
        status, reason, message = programmed(state)
        assert (status, reason) == ("False", "ServiceRefused")
        assert message.startswith(f"The operator cannot write a Service. Service shop/orders-replicas: {server.error}")
        assert ("kubectl describe resourcequota -n shop" in message) == quota
        assert server.events == ["ServiceRefused"]
        server.refuse.clear()
        await settle(reconciler, state)

    asyncio.run(run())
    assert programmed(state)[:2] == ("True", "Programmed")


def test_a_change_of_a_service_that_is_refused_leaves_messages_served() -> None:
    state, server, reconciler, _ = stage(tcp_service(), pod("orders-a", app="orders"))

    async def run() -> None:
        await settle(reconciler, state)
        state.apply_service_event(service("orders-replicas", ours=True, selector={"app": "other"}))
        server.refuse.append("service")
        server.error = ApiError(403, "denied by a policy")
        with pytest.raises(ApiError):
            await reconciler.reconcile(("shop", "orders"))

    asyncio.run(run())
    assert programmed(state)[:2] == ("False", "ServiceRefused")
    (record,) = state.tcp_services.values()
    (ready,) = (one for one in record.status["conditions"] if one["type"] == "Ready")
    assert ready["status"] == "True"


def test_a_tcp_service_that_has_gone_needs_nothing() -> None:
    state, server, reconciler, _ = stage(tcp_service())
    asyncio.run(settle(reconciler, state))
    state.apply_tcp_service_event(tcp_service(), deleted=True)
    server.writes.clear()
    asyncio.run(reconciler.reconcile(("shop", "orders")))
    assert server.writes == {"release": 1}


SERVED = ["--app=shop/orders=localhost:3001"]
CALLED = ["--listen=shop/orders=127.77.1.1:3001"]


def test_the_service_of_the_replicas_stays_until_no_sidecar_resolves_it() -> None:
    """Sidecars that hear nothing resolve it; the Service of the TcpService's name would lead them to each other."""
    pods = [pod("a", arguments=SERVED), pod("web", app="web", arguments=CALLED), pod("other", arguments=[])]
    state, server, reconciler, _ = stage(tcp_service(), *pods)

    async def play() -> None:
        await settle(reconciler, state)
        replicas = state.services["shop", "orders-replicas"]
        assert (replicas.owner, replicas.made_for) == ("", "uid-orders")
        assert state.services["shop", "orders"].owner == "uid-orders"
        assert state.apply_tcp_service_event(tcp_service(), deleted=True) == {("shop", "orders")}
        await reconciler.reconcile(("shop", "orders"))
        for left in pods[:2]:
            assert server.released == []
            assert state.apply_pod_event(left, deleted=True) == {("shop", "orders")}
            await reconciler.reconcile(("shop", "orders"))

    asyncio.run(play())
    (change,) = server.released
    (owner,) = change["metadata"]["ownerReferences"]
    assert (change["metadata"]["name"], change["metadata"]["uid"]) == ("orders-replicas", "made")
    assert (owner["kind"], owner["name"], owner["uid"]) == ("TcpService", "orders", "uid-orders")


def test_a_new_leader_knows_what_outlived_its_tcp_service() -> None:
    state, server, reconciler, _ = stage(tcp_service(), pod("a", arguments=SERVED))
    asyncio.run(settle(reconciler, state))
    state.apply_tcp_service_event(tcp_service(), deleted=True)
    assert state.all_unreleased() == {("shop", "orders")}
    body = {"metadata": {"namespace": "shop", "name": "stock-replicas", "uid": "1"}, "spec": {}}
    state.apply_service_event(body)
    assert state.all_unreleased() == {("shop", "orders")}, "the operator did not create the other one"
    assert not server.released


def test_a_tcp_service_that_is_made_anew_has_its_services_again() -> None:
    state, server, reconciler, _ = stage(tcp_service())
    asyncio.run(settle(reconciler, state))
    state.apply_tcp_service_event(tcp_service(), deleted=True)
    state.apply_tcp_service_event(tcp_service(uid="another"))
    asyncio.run(settle(reconciler, state))
    assert state.services["shop", "orders"].owner == "another", "or the garbage collector would delete it"
    assert state.services["shop", "orders-replicas"].made_for == "another"
    assert not server.released


def bare(name: str, **more: Any) -> dict[str, Any]:
    return pod(name, injected=False, **more)


def owned_by(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "metadata": {**body["metadata"], "ownerReferences": [{"kind": kind, "name": "orders"}]}}


@pytest.mark.parametrize(
    ("pods", "evicted"),
    [
        ([bare("a"), bare("b")], ["a"]),
        ([pod("a"), bare("b")], ["b"]),
        ([pod("a"), pod("b")], []),
        ([bare("a"), bare("b", ready=False)], []),
        ([bare("a"), bare("b", leaving=True)], []),
        ([bare("a", annotations={"tcpservice.dev/not-injected": "it runs on Windows"}), bare("b")], ["b"]),
        ([bare("a", hostNetwork=True)], []),
        ([{**bare("a"), "metadata": {**bare("a")["metadata"], "ownerReferences": []}}], []),
        ([owned_by("Job", bare("a"))], []),
        ([owned_by("StatefulSet", bare("a"))], ["a"]),
        ([owned_by("DaemonSet", bare("a"))], ["a"]),
    ],
)
def test_pods_without_a_sidecar_are_evicted_one_at_a_time_where_that_is_asked_for(
    pods: list[dict[str, Any]], evicted: list[str]
) -> None:
    for restart in ("Evict", "Manual"):
        state, server, reconciler, _ = stage(tcp_service(injection={"restart": restart}), service(), *pods)
        asyncio.run(reconciler.reconcile(("shop", "orders")))
        assert server.evicted == (evicted if restart == "Evict" else [])
        assert state.tcp_services


WORKLOAD = "shop/ReplicaSet/orders-5d9f"


def test_a_pod_that_does_not_come_back_is_the_last_one_to_be_evicted() -> None:
    """The API server refuses its replacement, so that the pods that are left are all ready."""
    state, server, reconciler, _ = stage(
        tcp_service(injection={"restart": "Evict"}), service(), bare("a"), bare("b"), bare("c"), replacement_timeout=0.0
    )
    server.desired[WORKLOAD] = 3

    def message() -> str:
        conditions = state.tcp_services["shop", "orders"].status["conditions"]
        return str(next(one["message"] for one in conditions if one["type"] == "Injected"))

    async def play() -> None:
        await settle(reconciler, state, 1)
        state.apply_pod_event(bare("a"), deleted=True)
        await settle(reconciler, state, 4)
        assert server.evicted == ["a"], "two of three are ready"
        assert server.events.count("EvictingStopped") == 1
        command = "kubectl describe -n shop replicaset/orders-5d9f"
        assert f"ReplicaSet/orders-5d9f has 2 ready pods of 3. To see why: {command}" in message()
        state.apply_pod_event(pod("d"))
        await settle(reconciler, state, 2)
        assert server.evicted[1:] == ["b", "b"], "it came back, and the next one goes"
        assert "one at a time" in message()

    asyncio.run(play())


def test_a_workload_that_cannot_be_read_loses_no_pod() -> None:
    for desired in (None, 2):
        state, server, reconciler, _ = stage(tcp_service(injection={"restart": "Evict"}), service(), bare("a"))
        server.desired[WORKLOAD] = desired
        asyncio.run(settle(reconciler, state, 2))
        assert server.evicted == []


def test_evicting_stops_where_it_does_not_help() -> None:
    state, server, reconciler, leads = stage(
        tcp_service(injection={"restart": "Evict"}), service(), bare("a"), bare("b")
    )

    async def play() -> None:
        await settle(reconciler, state, 1)
        state.apply_pod_event(bare("a"), deleted=True)
        state.apply_pod_event(bare("c"))
        state.apply_pod_event(bare("b"), deleted=True)
        state.apply_pod_event(pod("b"))
        await settle(reconciler, state)
        assert server.evicted == ["a"], "c came in the place of a, and lacks it, too"
        assert server.events.count("EvictingStopped") == 1
        leads["now"] = False
        state.apply_pod_event(bare("c"), deleted=True)
        await settle(reconciler, state)

    asyncio.run(play())
    assert server.events.count("Evicted") == 1


def test_a_disruption_budget_is_waited_for_and_named() -> None:
    state, server, reconciler, _ = stage(tcp_service(injection={"restart": "Evict"}), service(), bare("a"))
    server.refuse.append("eviction")
    server.error = ApiError(429, "TooManyRequests: the disruption budget orders needs 1 healthy pods and has 1")
    with pytest.raises(ApiError):
        asyncio.run(settle(reconciler, state, 1))
    with pytest.raises(ApiError):
        asyncio.run(settle(reconciler, state, 1))
    conditions = state.tcp_services["shop", "orders"].status["conditions"]
    message = next(one["message"] for one in conditions if one["type"] == "Injected")
    assert (
        "does not allow the operator to evict a now: TooManyRequests: the disruption budget orders needs 1" in message
    )
    server.refuse.clear()
    asyncio.run(settle(reconciler, state, 1))
    assert server.evicted == ["a"]


def test_pods_are_evicted_again_after_all_had_the_sidecar() -> None:
    """A second port of the TcpService, for example, needs another sidecar."""
    state, server, reconciler, _ = stage(tcp_service(injection={"restart": "Evict"}), service(), bare("a"))

    async def play() -> None:
        await settle(reconciler, state, 1)
        state.apply_pod_event(bare("a"), deleted=True)
        state.apply_pod_event(pod("b"))
        await settle(reconciler, state, 1)
        older = pod("b", arguments=["--listen=shop/other=127.77.0.1:3001"])
        older["metadata"]["uid"] = "made-for-less"
        state.apply_pod_event(older)
        await settle(reconciler, state, 1)

    asyncio.run(play())
    assert server.evicted == ["a", "b"]
