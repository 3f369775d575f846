"""The client of the API server, where something else answers in its place: a proxy, a balancer, an old server."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import pytest
from kubernetes.aio import client

from tcpservice_operator.kube.kube_client import ApiError, KubeClient
from tcpservice_operator.main import warn_of_version

Ask = Callable[[KubeClient], Awaitable[Any]]


class Server:
    """Gives every request the same answer."""

    def __init__(self) -> None:
        self.status, self.kind, self.text = 200, "application/json", "{}"
        self.paths: list[str] = []

    def __enter__(self) -> Server:
        script = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                script.paths.append(self.path)
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body = script.text.encode()
                self.send_response(script.status)
                self.send_header("Content-Type", script.kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_PATCH = _answer  # noqa: N815 - the names that http.server looks for

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as script:
        yield script


def test_the_api_servers_time_is_that_of_its_answers(server: Server) -> None:
    server.status, server.kind, server.text = 200, "application/json", "{}"

    async def ask(cluster: KubeClient) -> None:
        assert abs(await cluster.time() - datetime.now(UTC)) < timedelta(seconds=5)

    asked(server, ask)


@pytest.mark.parametrize(("minor", "warned"), [("32", True), ("32+", True), ("33", False), ("36+", False)])
def test_a_kubernetes_that_is_too_old_is_a_line_in_the_log(
    server: Server, minor: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    server.status, server.kind, server.text = 200, "application/json", json.dumps({"major": "1", "minor": minor})

    async def ask(cluster: KubeClient) -> None:
        warn_of_version(await cluster.version())

    asked(server, ask)
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [line.partition(": ")[0] for line in said] == (["Kubernetes 1.32 is too old"] if warned else [])


async def _first_page(cluster: KubeClient) -> None:
    async for _ in cluster.pages("pods"):
        return


async def _first_change(cluster: KubeClient) -> None:
    async for _ in cluster.changes("pods", "", "1"):
        return


LEASE = {"metadata": {"namespace": "shop", "name": "one", "resourceVersion": "1"}}
QUESTIONS: dict[str, Ask] = {
    "anything": lambda cluster: cluster.ask("version"),
    "text": lambda cluster: cluster.ask_text("metrics"),
    "a list": _first_page,
    "a watch": _first_change,
    "one namespace": lambda cluster: cluster.list_in("shop", "tcpservices"),
    "a token": lambda cluster: cluster.review_token("x", "y"),
    "a Service": lambda cluster: cluster.apply_service(LEASE),
    "a status": lambda cluster: cluster.apply_status(("shop", "orders"), {}),
    "an Event": lambda cluster: cluster.post_event({**LEASE, "involvedObject": {}}),
    "an eviction": lambda cluster: cluster.evict(("shop", "a")),
    "a workload": lambda cluster: cluster.desired_pods("shop", "ReplicaSet/a"),
    "a webhook": lambda cluster: cluster.patch_webhook("x", []),
    "a Secret": lambda cluster: cluster.write_secret(LEASE),
    "a Lease": lambda cluster: cluster.write_lease(LEASE),
    "a Lease that is read": lambda cluster: cluster.read_lease(("shop", "one")),
}
ANSWERS = {
    "a proxy's page": (502, "text/html", "<html>\n<h1>Bad Gateway</h1></html>", 502),
    "too many requests": (429, "text/plain", "Too many requests, please try again later.", 429),
    "no words": (503, "text/plain", "", 503),
    "a message that is none": (403, "application/json", '{"reason": "Forbidden", "message": null}', 403),
    "a list in its place": (500, "application/json", "[]", 500),
}


def asked(server: Server, ask: Ask) -> None:
    async def run() -> None:
        cluster = KubeClient(client.Configuration(host=f"http://127.0.0.1:{server.port}"))
        try:
            await ask(cluster)
        finally:
            await cluster.close()

    asyncio.run(run())


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("answer", ANSWERS)
def test_whoever_says_no_is_quoted(server: Server, question: str, answer: str) -> None:
    server.status, server.kind, server.text, expected = ANSWERS[answer]
    with pytest.raises(ApiError) as refused:
        asked(server, QUESTIONS[question])
    assert refused.value.status == expected


@pytest.mark.parametrize("question", ["anything", "a list", "a watch", "one namespace", "a token"])
def test_a_page_in_place_of_an_answer_is_quoted(server: Server, question: str) -> None:
    server.status, server.kind, server.text = 200, "text/html", "<h1>Please\n log in</h1>\n"
    with pytest.raises(ApiError, match="not JSON: <h1>Please") as refused:
        asked(server, QUESTIONS[question])
    assert refused.value.status == 0


def test_what_is_not_there_is_none(server: Server) -> None:
    server.status, server.kind, server.text = 404, "text/plain", "404 page not found"

    async def ask(cluster: KubeClient) -> None:
        assert await cluster.read_lease(("shop", "one")) is None
        assert await cluster.read_secret(("shop", "one")) is None
        assert await cluster.read_webhook("one") is None
        with pytest.raises(ApiError, match="status 404, not JSON: 404 page not found"):
            await cluster.ask("apis", "tcpservice.dev", "v1alpha1", "tcpservices")

    asked(server, ask)


def test_words_are_kept_short(server: Server) -> None:
    server.status, server.text = 500, json.dumps(["x" * 5000])
    with pytest.raises(ApiError) as refused:
        asked(server, QUESTIONS["anything"])
    assert len(str(refused.value)) < 300


TRAVERSALS = [
    "../../../../api/v1/namespaces/tcpservice-system/secrets/tcpservice-ca?x=",
    "shop/pods/a?x=", "a?dryRun=All", "a#b", "a%2fb", "{plural}", "..%2f..", "a;b", "a b",
]  # fmt: skip


def lease_in(namespace: str, name: str) -> dict[str, Any]:
    return {"metadata": {"namespace": namespace, "name": name, "resourceVersion": "1"}}


NAMED: dict[str, Callable[[KubeClient, str, str], Awaitable[Any]]] = {
    "a list": lambda cluster, namespace, name: cluster.list_in(namespace, name),
    "an eviction": lambda cluster, namespace, name: cluster.evict((namespace, name)),
    "a workload": lambda cluster, namespace, name: cluster.desired_pods(namespace, f"ReplicaSet/{name}"),
    "a Service": lambda cluster, namespace, name: cluster.apply_service(lease_in(namespace, name)),
    "a ConfigMap": lambda cluster, namespace, name: cluster.apply_config_map(lease_in(namespace, name)),
    "a status": lambda cluster, namespace, name: cluster.apply_status((namespace, name), {}),
    "a Secret": lambda cluster, namespace, name: cluster.write_secret(lease_in(namespace, name)),
    "a Secret that is read": lambda cluster, namespace, name: cluster.read_secret((namespace, name)),
    "a webhook that is read": lambda cluster, _, name: cluster.read_webhook(name),
    "a Lease that is read": lambda cluster, namespace, name: cluster.read_lease((namespace, name)),
}


@pytest.mark.parametrize("question", NAMED)
@pytest.mark.parametrize("name", TRAVERSALS)
def test_a_name_never_changes_the_path_of_a_request(server: Server, question: str, name: str) -> None:
    """The path keeps its segments, whatever a namespace or an object is called."""
    server.status, server.kind, server.text = 200, "application/json", '{"items": [], "metadata": {}}'

    def path_for(namespace: str, name: str) -> str:
        server.paths.clear()
        asked(server, lambda cluster: NAMED[question](cluster, namespace, name))
        (path,) = server.paths
        return path.partition("?")[0]

    plain = path_for("ns", "name").split("/")
    hostile = path_for(name, name).split("/")
    assert len(hostile) == len(plain)
    for before, after in zip(plain, hostile, strict=True):
        assert unquote(after) == (name if before in ("ns", "name") else before)


@pytest.mark.parametrize("question", NAMED)
@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_moves_through_a_path_is_not_sent(server: Server, question: str, name: str) -> None:
    server.paths.clear()
    with pytest.raises(ApiError, match="is not the name of an object"):
        asked(server, lambda cluster: NAMED[question](cluster, name, name))
    assert server.paths == []
