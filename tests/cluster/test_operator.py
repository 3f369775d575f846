"""The operator as a process, against a real API server."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.apiserver import ApiServer
from cluster.running import (
    COLLECTOR_SECONDS,
    SECONDS,
    SERVICES,
    Operator,
    condition,
    create,
    empty,
    make_ready,
    shell,
    wait_for,
)
from control.objects import pod, service, tcp_service
from interop.processes import Child


@pytest.fixture(autouse=True)
def _clean(api: ApiServer) -> Iterator[None]:
    yield
    empty(api)


def test_from_apply_to_ready(api: ApiServer) -> None:
    with Operator(api) as operator:
        create(api, tcp_service())
        wait_for("programmed", lambda: condition(api, "Programmed") == ("True", "Programmed"), operator)
        assert condition(api, "Ready") == ("False", "NoReplicas")
        made = api.get("/api/v1/namespaces/shop/services/orders-replicas")
        assert made["spec"]["clusterIP"] == "None"
        create(api, pod("orders-a"))
        create(api, pod("orders-b", injected=False))
        wait_for("ready", lambda: condition(api, "Ready") == ("True", "Serving"), operator)
        wait_for("counted", lambda: condition(api, "Injected") == ("False", "PodsLackSidecar"), operator)
        listed = api.kubectl("get", "tcps", "-n", "shop").splitlines()[1].split()
        assert listed[:5] == ["orders", "True", "2", "1", "3001"]
        operator.child.signal(signal.SIGTERM)
        assert operator.child.wait(SECONDS) == 0


def test_a_quota_that_refuses_a_service_is_quoted_in_the_status(api: ApiServer) -> None:
    there = len(api.get("/api/v1/namespaces/shop/services")["items"])
    hard = {"services": str(there + 1)}  # for the Service of callers, not for that of the replicas
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": hard}}
    api.kubectl("create", "-n", "shop", "-f", "-", text=json.dumps(quota))
    try:
        api.kubectl(
            "wait", "-n", "shop", "resourcequota/few", "--for=jsonpath={.status.used.services}", "--timeout=60s"
        )
        with Operator(api, forbidden_for_a_while=True) as operator:
            create(api, tcp_service())
            wait_for("reported", lambda: condition(api, "Programmed") == ("False", "ServiceRefused"), operator)
            (message,) = [
                one["message"]
                for one in api.get(f"{SERVICES}/orders")["status"]["conditions"]
                if one["type"] == "Programmed"
            ]
            assert "exceeded quota: few" in message
            assert "kubectl describe resourcequota -n shop" in message
            api.kubectl("delete", "resourcequota", "-n", "shop", "few")
            wait_for("programmed", lambda: condition(api, "Programmed") == ("True", "Programmed"), operator)
    finally:
        api.kubectl("delete", "resourcequota", "-n", "shop", "few", "--ignore-not-found")


def test_nothing_is_written_where_all_is_as_planned(api: ApiServer) -> None:
    create(api, service())
    create(api, tcp_service())
    with Operator(api) as operator:
        wait_for("programmed", lambda: condition(api, "Programmed")[0] == "True", operator)
        before = versions(api)
    with Operator(api, "two") as operator:
        wait_for("it leads", lambda: "two is now the leader" in operator.child.stderr, operator)
        create(api, tcp_service("billing"))
        wait_for("it works", lambda: condition(api, "Programmed", "billing")[0] == "True", operator)
        assert {key: value for key, value in versions(api).items() if key in before} == before
    untouched = api.get("/api/v1/namespaces/shop/services/orders")
    assert {entry["manager"] for entry in untouched["metadata"]["managedFields"]} == {"kubectl-client-side-apply"}


def versions(api: ApiServer) -> dict[str, str]:
    found = [*api.get("/api/v1/namespaces/shop/services")["items"], *api.get(SERVICES)["items"]]
    return {item["metadata"]["uid"]: item["metadata"]["resourceVersion"] for item in found}


def test_a_command_of_a_condition_does_what_it_says(api: ApiServer) -> None:
    create(api, service(ports=[{"name": "x", "port": 3001, "targetPort": 3001}]))
    create(api, tcp_service())
    create(api, pod("orders-a"))
    with Operator(api) as operator:
        wait_for("the condition", lambda: condition(api, "InboundReady") == ("False", "NumericTargetPort"), operator)
        (message,) = [
            one["message"]
            for one in api.get(f"{SERVICES}/orders")["status"]["conditions"]
            if one["type"] == "InboundReady"
        ]
        shell(api, message[message.index("kubectl") :].partition("\n")[0])
        wait_for(
            "InboundReady is True again", lambda: condition(api, "InboundReady") == ("True", "InboundReady"), operator
        )


def test_when_the_leader_dies_another_leads(api: ApiServer) -> None:
    with Operator(api, "first") as first:
        wait_for("the first leads", lambda: "first is now the leader" in first.child.stderr, first)
        with Operator(api, "second") as second:
            time.sleep(0.5)
            first.child.kill()
            killed = time.monotonic()
            wait_for("the second leads", lambda: "second is now the leader" in second.child.stderr, second, seconds=90)
            assert time.monotonic() - killed < 60
            create(api, tcp_service())
            wait_for("it works", lambda: condition(api, "Programmed")[0] == "True", second)


def test_the_api_server_goes_and_comes_back(api: ApiServer) -> None:
    # An API server that has just started does not know its own roles yet.
    with Operator(api, forbidden_for_a_while=True) as operator:
        create(api, tcp_service())
        wait_for("programmed", lambda: condition(api, "Programmed")[0] == "True", operator)
        api.child("kube-apiserver").kill()
        time.sleep(1)
        api.start("kube-apiserver")
        create(api, tcp_service("billing"))
        wait_for("it works again", lambda: condition(api, "Programmed", "billing")[0] == "True", operator)
        assert operator.child.alive


def test_what_it_made_goes_with_the_tcp_service(api: ApiServer) -> None:
    with Operator(api) as operator:
        create(api, tcp_service())
        wait_for("programmed", lambda: condition(api, "Programmed")[0] == "True", operator)
        api.kubectl("delete", "tcps", "-n", "shop", "orders")
        made = "/api/v1/namespaces/shop/services"
        gone = "both Services are gone"
        wait_for(gone, lambda: not api.get(made)["items"], operator, seconds=COLLECTOR_SECONDS)


REPLICAS = "/api/v1/namespaces/shop/services/orders-replicas"


def with_sidecar(name: str) -> dict[str, Any]:
    """Make a pod whose sidecar serves."""
    return pod(name, arguments=["--app=shop/orders=localhost:3001"])


@pytest.mark.parametrize("order", ["operator first", "TcpService first"])
def test_removing_the_product_leaves_sidecars_the_replicas(api: ApiServer, order: str) -> None:
    """In either order; the garbage collector has deleted what the TcpService owned."""
    with Operator(api) as operator:
        create(api, tcp_service())
        create(api, with_sidecar("orders-a"))
        wait_for("programmed", lambda: condition(api, "Programmed")[0] == "True", operator)
        if order == "TcpService first":
            api.kubectl("delete", "tcps", "-n", "shop", "orders")
            collected(api, operator)
    if order == "operator first":
        api.kubectl("delete", "tcps", "-n", "shop", "orders")
        collected(api, operator)
    assert api.get(REPLICAS)["spec"]["selector"] == {"app": "orders"}
    with Operator(api, "later") as operator:
        wait_for("it leads", lambda: operator.figure("leading"), operator)
        assert "ownerReferences" not in api.get(REPLICAS)["metadata"]
        api.kubectl("delete", "pod", "-n", "shop", "orders-a", "--grace-period=0", "--force")
        wait_for("it goes with the last sidecar", lambda: not api.get(REPLICAS), operator, seconds=COLLECTOR_SECONDS)


def collected(api: ApiServer, operator: Operator) -> None:
    owned = "/api/v1/namespaces/shop/services/orders"
    wait_for("what it owned is gone", lambda: not api.get(owned), operator, seconds=COLLECTOR_SECONDS)


def test_services_stay_where_tcp_services_are_orphaned(api: ApiServer) -> None:
    """As the documented removal does, for the Services that the operator made."""
    with Operator(api) as operator:
        create(api, tcp_service())
        wait_for("programmed", lambda: condition(api, "Programmed")[0] == "True", operator)
        api.kubectl("delete", "tcps", "-n", "shop", "--all", "--cascade=orphan", "--timeout=180s")
        wait_for("the replicas go", lambda: not api.get(REPLICAS), operator, seconds=COLLECTOR_SECONDS)
        left = api.get("/api/v1/namespaces/shop/services/orders")
        assert left["spec"]["selector"] == {"app": "orders"}
        assert "ownerReferences" not in left["metadata"]


def deployed(api: ApiServer, replicas: int) -> None:
    """Make a Deployment, and its pods ready, as a kubelet does."""
    template = {
        "metadata": {"labels": {"app": "orders"}},
        "spec": {
            "containers": [{"name": "app", "image": "none", "ports": [{"name": "nestjs", "containerPort": 3001}]}]
        },
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "orders"}}, "template": template}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "orders"}, "spec": spec}
    assert api.post("/apis/apps/v1/namespaces/shop/deployments", body)[0] == 201
    wait_for("the pods are there", lambda: len(names(api)) == replicas)
    for name in names(api):
        make_ready(api, name)


def fill_quota(api: ApiServer) -> None:
    """Refuse every new pod; the status is what Kubernetes' quota controller writes."""
    quotas = "/api/v1/namespaces/shop/resourcequotas"
    hard = {"hard": {"pods": "0"}}
    body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full"}, "spec": hard}
    assert api.post(quotas, body)[0] == 201
    status = {"status": {**hard, "used": {"pods": "0"}}}
    assert api.send("PATCH", f"{quotas}/full/status", status, "application/merge-patch+json")[0] == 200
    probe = {"metadata": {"name": "probe"}, "spec": {"containers": [{"name": "app", "image": "none"}]}}
    wait_for("it refuses", lambda: api.send("POST", "/api/v1/namespaces/shop/pods?dryRun=All", probe)[0] == 403)


def names(api: ApiServer) -> set[str]:
    return {item["metadata"]["name"] for item in api.get("/api/v1/namespaces/shop/pods")["items"]}


def reasons(api: ApiServer) -> set[str]:
    return {item["reason"] for item in api.get("/api/v1/namespaces/shop/events")["items"]}


def test_evicting_stops_at_the_first_pod_that_does_not_come_back(api: ApiServer) -> None:
    """A quota refuses every replacement."""
    deployed(api, 3)
    before = names(api)
    fill_quota(api)
    try:
        create(api, tcp_service(injection={"restart": "Evict"}))
        with Operator(api) as operator:
            wait_for("one is evicted", lambda: len(names(api)) == 2, operator)
            wait_for("its replacement is refused", lambda: "FailedCreate" in reasons(api), operator)
            count = "reconcile_duration_seconds_count"
            for number in range(3):
                looks = operator.figure(count)
                api.kubectl("label", "pod", "-n", "shop", min(names(api)), f"seen={number}", "--overwrite")
                wait_for("it looks again", lambda looks=looks: operator.figure(count) > looks, operator)  # type: ignore[misc]
            assert len(names(api) & before) == 2
    finally:
        api.kubectl("delete", "resourcequota", "-n", "shop", "full")
        api.kubectl("delete", "deployment", "-n", "shop", "orders")


def test_evicting_goes_on_where_pods_come_back(api: ApiServer) -> None:
    deployed(api, 2)
    before = names(api)
    create(api, tcp_service(injection={"restart": "Evict"}))
    try:
        with Operator(api) as operator:
            wait_for("one is evicted", lambda: len(names(api) & before) == 1, operator)
            wait_for("another one is there", lambda: len(names(api)) == 2, operator)
            (new,) = names(api) - before
            make_ready(api, new)
            wait_for(
                "it says why it stops", lambda: "EvictingStopped" in reasons(api) or not names(api) & before, operator
            )
    finally:
        api.kubectl("delete", "deployment", "-n", "shop", "orders")


def test_without_a_cluster_it_says_so() -> None:
    child = Child(
        [sys.executable, "-m", "tcpservice_operator.main"], env={"KUBECONFIG": "/none", "HOME": "/none"}
    ).start()
    assert child.wait(SECONDS) == 2
    child.stop()
    assert child.stderr.startswith("tcpservice-operator: no cluster is configured: "), child.stderr
    assert child.stderr.count("\n") == 1
