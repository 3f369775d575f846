"""The stream of the real operator, asked as a sidecar asks, and as others do."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse, HTTPSConnection
from typing import Any

import pytest

from cluster.apiserver import ApiServer
from cluster.running import SECONDS, Operator, condition, create, empty, wait_for
from control.objects import pod, tcp_service

QUICK = ("--heartbeat", "200ms", "--unread", "1s")


@pytest.fixture(autouse=True)
def _clean(api: ApiServer) -> Iterator[None]:
    yield
    empty(api)


def trust(api: ApiServer) -> ssl.SSLContext:
    """Trust what the operator tells the namespace."""
    path = "/api/v1/namespaces/shop/configmaps/tcpservice-ca"
    found = wait_for("the authority is told", lambda: api.get(path))
    return ssl.create_default_context(cadata=found["data"]["ca.crt"])


def token(api: ApiServer, name: str, *, audience: str = "tcpservice.dev", bound: bool = True) -> str:
    """Get what a kubelet mounts into a pod."""
    uid = api.get(f"/api/v1/namespaces/shop/pods/{name}")["metadata"]["uid"]
    asked: dict[str, Any] = {"audiences": [audience]}
    if bound:
        asked["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}
    code, answer = api.post("/api/v1/namespaces/shop/serviceaccounts/default/token", {"spec": asked})
    assert code == 201, answer
    text: str = answer["status"]["token"]
    return text


@contextmanager
def stream(operator: Operator, context: ssl.SSLContext, authorization: str) -> Iterator[HTTPResponse]:
    """Ask for the stream."""
    host, _, port = operator.address("sidecars").partition(":")
    connection = HTTPSConnection(host, int(port), context=context, timeout=60)
    connection.request("GET", "/v1/discovery", headers={"Authorization": authorization} if authorization else {})
    try:
        yield connection.getresponse()
    finally:
        connection.close()


def line(answer: HTTPResponse) -> Any:
    return json.loads(answer.readline())


def test_the_whole_then_changes_then_heartbeats(api: ApiServer) -> None:
    with Operator(api, "one", *QUICK) as operator:
        create(api, tcp_service())
        create(api, pod("web", app="web", inject="enabled"))
        wait_for("it is made", lambda: condition(api, "Programmed")[0] == "True", operator)
        with stream(operator, trust(api), f"Bearer {token(api, 'web')}") as answer:
            assert answer.status == 200
            whole = line(answer)
            assert "base" not in whole
            assert [service["name"] for service in whole["services"]] == ["orders"]
            assert set(whole["revisions"]) == {"services", "slices"}
            create(api, tcp_service(timeouts={"request": "3s"}))
            while not (told := line(answer)).get("services"):
                assert told["base"] == told["version"], "nothing but heartbeats in between"
            assert told["base"] == whole["version"]
            assert told["services"][0]["timeouts"]["request"] == 3_000_000_000
            heartbeat = line(answer)
            assert (heartbeat["version"], heartbeat["base"], heartbeat.get("services")) == (2, 2, None)
            assert operator.figure("streams") == 1
            operator.child.signal(signal.SIGTERM)
            while (rest := answer.readline()) != b"":
                assert json.loads(rest)["version"] == 2, "it ends between two lines"
        assert operator.child.wait(SECONDS) == 0


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ("nobody", "expected a header Authorization: Bearer"),
        ("basic", "expected a header Authorization: Bearer"),
        ("made up", "the token is not valid"),
        ("of another audience", "the token is not valid: [invalid bearer token, token audiences"),
        ("of no pod", "the token of system:serviceaccount:shop:default is not bound to a pod"),
    ],
)
def test_others_are_refused_and_told_why(api: ApiServer, who: str, said: str) -> None:
    with Operator(api) as operator:
        create(api, pod("web", app="web"))
        given = {
            "nobody": "",
            "basic": "Basic YTpi",
            "made up": "Bearer made.up",
            "of another audience": f"Bearer {token(api, 'web', audience='vault')}",
            "of no pod": f"Bearer {token(api, 'web', bound=False)}",
        }[who]
        with stream(operator, trust(api), given) as answer:
            assert answer.status == 401
            assert said in answer.read().decode()
        assert operator.figure("streams") == 0


def test_a_pod_that_has_gone_is_not_told_of_what_its_successor_is(api: ApiServer) -> None:
    with Operator(api) as operator:
        create(api, pod("web", app="web"))
        old = token(api, "web")
        api.kubectl("delete", "pod", "-n", "shop", "web", "--grace-period=0", "--force")
        create(api, pod("web", app="web"))
        with stream(operator, trust(api), f"Bearer {old}") as answer:
            assert answer.status == 401


def test_one_copy_serves_so_many_and_says_when_it_is_full(api: ApiServer) -> None:
    with Operator(api, "one", "--streams", "1", *QUICK) as operator:
        create(api, pod("web", app="web"))
        context, bearer = trust(api), f"Bearer {token(api, 'web')}"
        with stream(operator, context, bearer) as first:
            assert first.status == 200
            line(first)
            with stream(operator, context, bearer) as second:
                assert second.status == 503
                assert "accepts no more streams" in second.read().decode()
        wait_for("the place is free again", lambda: operator.figure("streams") == 0, operator)
        with stream(operator, context, bearer) as third:
            assert third.status == 200


def test_a_reader_that_takes_nothing_is_cut_off(api: ApiServer) -> None:
    with Operator(api, "one", *QUICK) as operator:
        routes = [
            ROUTE | {"name": f"r{n}", "match": {"type": "Exact", "pattern": f"p{n}" + 240 * "x"}} for n in range(256)
        ]
        create(api, tcp_service(routes=routes))
        create(api, pod("web", app="web", inject="enabled"))
        context, bearer = trust(api), f"Bearer {token(api, 'web')}"
        host, _, port = operator.address("sidecars").partition(":")
        with socket.socket() as bare:
            bare.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            bare.connect((host, int(port)))
            with context.wrap_socket(bare, server_hostname=host) as secured:
                secured.sendall(f"GET /v1/discovery HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\n\r\n".encode())
                wait_for("it is served", lambda: operator.figure("streams") == 1, operator)
                generation = 0
                deadline = time.monotonic() + 180
                while operator.figure("streams") == 1:
                    assert time.monotonic() < deadline
                    generation += 1
                    spec = {"spec": {"timeouts": {"request": f"{generation}s"}}}
                    path = "/apis/tcpservice.dev/v1alpha1/namespaces/shop/tcpservices/orders"
                    api.send("PATCH", path, spec, "application/merge-patch+json")
                    time.sleep(0.05)


ROUTE: dict[str, Any] = {"idempotent": True, "timeouts": {"request": "2s", "backendRequest": "1s"}}


def test_wrong_flags_and_taken_ports_are_one_line(api: ApiServer) -> None:
    with Operator(api, "one", "--heartbeat", "soon") as operator:
        assert operator.child.wait(SECONDS) == 2
        assert operator.stderr == (
            "tcpservice-operator: --heartbeat: expected a duration such as 250ms, got 'soon' "
            "(see tcpservice-operator --help)\n"
        )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for flag in ("--listen", "--health"):
            with Operator(api, "one", flag, f"127.0.0.1:{port}") as operator:
                assert operator.child.wait(SECONDS) == 2
                wanted = f"{flag}: cannot listen on 127.0.0.1:{port}: another program listens there"
                assert wanted in operator.stderr.splitlines()[-1]
