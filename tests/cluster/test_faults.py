"""The operator against a real API server that stalls, restarts and forgets, against others who write, and itself."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import pytest

from cluster.apiserver import ADMIN, ApiServer
from cluster.dying import DIED
from cluster.running import SECONDS, SERVICES, Operator, condition, create, empty, wait_for
from control.objects import tcp_service

MANY = 5000
TIMED_OUT = 504
"""What the API server says where a request takes longer than a minute."""
PODS = "/api/v1/namespaces/shop/pods"
MADE = "/api/v1/namespaces/shop/services"


@pytest.fixture(autouse=True)
def _clean(api: ApiServer) -> Iterator[None]:
    yield
    empty(api)


def is_programmed(api: ApiServer, name: str = "orders") -> bool:
    return condition(api, "Programmed", name) == ("True", "Programmed")


def post_all(api: ApiServer, path: str, documents: list[dict[str, Any]]) -> None:
    """Create many objects quickly."""

    async def run() -> None:
        trust = ssl.create_default_context(cafile=str(api.authority))
        headers = {"Authorization": f"Bearer {ADMIN}"}
        connector = aiohttp.TCPConnector(ssl=trust, limit=32)
        async with aiohttp.ClientSession(api.url, connector=connector, headers=headers) as session:

            async def post(document: dict[str, Any]) -> None:
                async with session.post(path, json=document) as answer:
                    assert answer.status == 201, await answer.text()

            await asyncio.gather(*map(post, documents))

    asyncio.run(run())


def test_a_new_leader_writes_nothing_where_500_services_are_as_planned(api: ApiServer) -> None:
    documents = [tcp_service(f"s{number}") for number in range(500)]
    for document in documents:
        document["metadata"] = {"name": document["metadata"]["name"]}
    post_all(api, SERVICES, documents)
    with Operator(api) as operator:
        wait_for("all are programmed", lambda: programmed(api) == 500, operator, seconds=300)
        wait_for("it is done", lambda: is_quiet(operator), operator)
        operator.child.signal(signal.SIGTERM)
        assert operator.child.wait(SECONDS) == 0
    with Operator(api, "two") as operator:
        wait_for("it leads", lambda: operator.figure("leading"), operator)
        wait_for("it has looked at all", lambda: operator.figure("reconcile_duration_seconds_count") >= 500, operator)
        time.sleep(1)
        assert operator.figure("writes_total") == 0


def programmed(api: ApiServer) -> int:
    """Count the TcpServices whose Services are in place."""
    statuses = (item.get("status", {}).get("conditions", []) for item in api.get(SERVICES)["items"])
    return sum(any(one["reason"] == "Programmed" for one in conditions) for conditions in statuses)


def is_quiet(operator: Operator) -> bool:
    """Whether it writes nothing for a second."""
    before = operator.figure("writes_total")
    time.sleep(1)
    return operator.figure("writes_total") == before


def test_killed_after_any_write_the_next_one_makes_it_right(api: ApiServer) -> None:
    for last, own in itertools.chain([(1, True), (2, True)], zip(itertools.count(1), itertools.repeat(False))):
        empty(api, own=own)
        create(api, tcp_service())
        with Operator(api, program="cluster.dying", env={"DIE_AFTER": str(last)}) as dying:
            wait_for("it died or was done", lambda: not dying.child.alive or is_done(api), dying)
            time.sleep(0.5)
            if dying.child.alive:
                break
            assert dying.child.returncode == DIED
        with Operator(api) as operator:
            wait_for("all is right", lambda: is_done(api), operator)
    assert last > 4, "there are not so few writes"


def is_done(api: ApiServer) -> bool:
    """Whether everything is there that one TcpService needs; Events are told once, by whoever lives to do so."""
    namespaces = len(api.get("/api/v1/namespaces")["items"])
    maps = api.get("/api/v1/configmaps?fieldSelector=metadata.name=tcpservice-ca")["items"]
    return is_programmed(api) and len(maps) == namespaces


def test_a_leader_that_was_paused_writes_nothing_when_it_wakes(api: ApiServer) -> None:
    with Operator(api, "first") as first:
        wait_for("the first leads", lambda: "first is now the leader" in first.stderr, first)
        first.child.signal(signal.SIGSTOP)
        try:
            paused = time.monotonic()
            with Operator(api, "second") as second:
                wait_for("the second leads", lambda: "second is now the leader" in second.stderr, second, seconds=90)
                assert 9 < time.monotonic() - paused < 60
                create(api, tcp_service())
                wait_for("the second works", lambda: is_programmed(api), second)
                first.child.signal(signal.SIGCONT)
                written = first.figure("writes_total")
                wait_for("the first notices", lambda: "first is no longer the leader" in first.stderr, first)
                create(api, tcp_service("billing"))
                wait_for("the second works on", lambda: is_programmed(api, "billing"), second)
                assert (first.figure("leading"), second.figure("leading")) == (0, 1)
                assert first.figure("writes_total") == written
        finally:
            first.child.signal(signal.SIGCONT)


def test_a_store_that_stalls_stops_nothing_for_good(api: ApiServer) -> None:
    with Operator(api, forbidden_for_a_while=True) as operator:
        create(api, tcp_service())
        wait_for("it works", lambda: is_programmed(api), operator)
        api.child("etcd").signal(signal.SIGSTOP)
        try:
            wait_for("it stops leading", lambda: "is no longer the leader" in operator.stderr, operator)
        finally:
            api.child("etcd").signal(signal.SIGCONT)
        wait_for("the store answers", lambda: api.get("/readyz") == "ok", operator)
        create(api, tcp_service("billing"))
        wait_for("it works again", lambda: is_programmed(api, "billing"), operator)
        assert operator.child.alive


def test_a_watch_that_is_too_old_begins_anew(api: ApiServer) -> None:
    with Operator(api, forbidden_for_a_while=True) as operator:
        create(api, tcp_service())
        wait_for("it works", lambda: is_programmed(api), operator)
        old = api.get(SERVICES)["metadata"]["resourceVersion"]
        operator.child.signal(signal.SIGSTOP)
        try:
            api.child("kube-apiserver").kill()
            api.start("kube-apiserver")
            create(api, tcp_service("billing"))
            api.kubectl("delete", "tcps", "-n", "shop", "orders")
            api.child("kube-apiserver").kill()
            api.start("kube-apiserver")
            watched = api.get(f"{SERVICES}?watch=true&timeoutSeconds=1&resourceVersion={old}")
            assert watched is None or watched["object"]["code"] == 410, "the old version is gone"
        finally:
            operator.child.signal(signal.SIGCONT)
        wait_for("it knows the new one", lambda: is_programmed(api, "billing"), operator)
        wait_for("it knows that one is gone", lambda: operator.figure("services") == 1, operator)


def test_a_service_that_another_client_applies_later_is_kept(api: ApiServer) -> None:
    ports = [{"name": "nestjs", "port": 3001, "targetPort": 9999}]
    theirs = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "orders"}, "spec": {"ports": ports}}
    path = "/api/v1/namespaces/shop/services/orders"
    with Operator(api) as operator:
        create(api, tcp_service())
        wait_for("it works", lambda: is_programmed(api), operator)
        assert api.get(path)["metadata"]["ownerReferences"]
        api.kubectl("apply", "-n", "shop", "--server-side", "--force-conflicts", "-f", "-", text=json.dumps(theirs))
        wait_for(
            "the owner reference is removed", lambda: not api.get(path)["metadata"].get("ownerReferences"), operator
        )
        wait_for(
            "the condition InboundReady", lambda: condition(api, "InboundReady")[1] == "NumericTargetPort", operator
        )
        assert api.get(path)["spec"]["ports"][0]["targetPort"] == 9999
        api.kubectl("delete", "tcps", "-n", "shop", "orders")
        wait_for("it is deleted", lambda: operator.figure("services") == 0, operator)
        assert api.get(path), "it stays"
    api.kubectl("delete", "service", "-n", "shop", "orders")


def test_who_changes_the_service_of_the_replicas_is_named_and_not_fought_for_ever(api: ApiServer) -> None:
    ports = [{"name": "app", "port": 3001, "targetPort": 9999}]
    metadata = {"name": "orders-replicas"}
    theirs = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": ports}}
    with Operator(api) as operator:
        create(api, tcp_service())
        wait_for("it works", lambda: is_programmed(api), operator)

        def fight() -> bool:
            api.kubectl(
                "apply", "-n", "shop", "--server-side", "--force-conflicts", "--field-manager=theirs", "-f", "-",
                text=json.dumps(theirs),
            )  # fmt: skip
            said = "another client repeatedly changes the Service shop/orders-replicas. To see which one: kubectl"
            return said in operator.stderr

        wait_for("it gives way", fight, operator)
        assert operator.figure("writes_total") < 40


def test_a_flood_of_events_ends_right(api: ApiServer) -> None:
    spec, labels = {"containers": [{"name": "app", "image": "none"}]}, {"app": "orders"}
    pods = [{"metadata": {"name": f"p{number}", "labels": labels}, "spec": spec} for number in range(MANY)]
    with Operator(api) as operator:
        create(api, tcp_service())
        wait_for("it works", lambda: is_programmed(api), operator)
        with ThreadPoolExecutor() as beside:
            flood = beside.submit(post_all, api, PODS, pods)
            flood.result()
        wait_for("all are counted", lambda: total(api) == MANY, operator, seconds=180)
        while (answer := api.send("DELETE", f"{PODS}?gracePeriodSeconds=0"))[0] == TIMED_OUT:
            pass  # what is left is deleted by the next request
        assert answer[0] == 200, answer
        wait_for("none is counted", lambda: total(api) == 0, operator, seconds=180)
        assert operator.figure("leading") == 1


def total(api: ApiServer) -> int:
    count: int = api.get(f"{SERVICES}/orders")["status"]["replicas"]["total"]
    return count
