"""The operator as a process, against a real API server."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator

import pytest

from cluster.apiserver import ApiServer
from cluster.running import COLLECTOR_SECONDS, SERVICES, Operator, condition, create, empty, shell, wait_for
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
        assert listed[:5] == ["orders", "3001", "2", "1", "True"]
        operator.child.signal(signal.SIGTERM)
        assert operator.child.wait(10) == 0


def test_nothing_is_written_where_all_is_as_planned(api: ApiServer) -> None:
    create(api, service())
    create(api, tcp_service())
    with Operator(api) as operator:
        wait_for("programmed", lambda: condition(api, "Programmed")[0] == "True", operator)
        before = versions(api)
    with Operator(api, "two") as operator:
        wait_for("it leads", lambda: "two leads" in operator.child.stderr, operator)
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
        wait_for("told", lambda: condition(api, "FrontReady") == ("False", "NumericTargetPort"), operator)
        (message,) = [
            one["message"]
            for one in api.get(f"{SERVICES}/orders")["status"]["conditions"]
            if one["type"] == "FrontReady"
        ]
        shell(api, message[message.index("kubectl") :])
        wait_for("mended", lambda: condition(api, "FrontReady") == ("True", "FrontReady"), operator)


def test_when_the_leader_dies_another_leads(api: ApiServer) -> None:
    with Operator(api, "first") as first:
        wait_for("the first leads", lambda: "first leads" in first.child.stderr, first)
        with Operator(api, "second") as second:
            time.sleep(0.5)
            first.child.kill()
            killed = time.monotonic()
            wait_for("the second leads", lambda: "second leads" in second.child.stderr, second)
            assert time.monotonic() - killed < 20
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


def test_without_a_cluster_it_says_so() -> None:
    child = Child(
        [sys.executable, "-m", "tcpservice_operator.app"], env={"KUBECONFIG": "/none", "HOME": "/none"}
    ).start()
    assert child.wait(20) == 2
    child.stop()
    assert child.stderr.startswith("tcpservice-operator: no cluster is configured: "), child.stderr
    assert child.stderr.count("\n") == 1
