"""The client of the API server, where something else answers in its place: a proxy, a balancer, an old server."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from kubernetes.aio import client

from tcpservice_operator.cluster import ApiError, Cluster

Ask = Callable[[Cluster], Awaitable[Any]]


class Server:
    """Gives every request the same answer."""

    def __init__(self) -> None:
        self.status, self.kind, self.text = 200, "application/json", "{}"

    def __enter__(self) -> Server:
        script = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
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

    async def ask(cluster: Cluster) -> None:
        assert abs(await cluster.time() - datetime.now(UTC)) < timedelta(seconds=5)

    asked(server, ask)


async def _first_page(cluster: Cluster) -> None:
    async for _ in cluster.pages("pods"):
        return


async def _first_change(cluster: Cluster) -> None:
    async for _ in cluster.changes("pods", "1"):
        return


LEASE = {"metadata": {"namespace": "shop", "name": "one", "resourceVersion": "1"}}
QUESTIONS: dict[str, Ask] = {
    "anything": lambda cluster: cluster.ask("/version"),
    "text": lambda cluster: cluster.ask_text("/metrics"),
    "a list": _first_page,
    "a watch": _first_change,
    "one namespace": lambda cluster: cluster.list_in("shop", "tcpservices"),
    "a token": lambda cluster: cluster.review_token("x", "y"),
    "a Service": lambda cluster: cluster.apply_service(LEASE),
    "a status": lambda cluster: cluster.apply_status(("shop", "orders"), {}),
    "an Event": lambda cluster: cluster.post_event({**LEASE, "involvedObject": {}}),
    "an eviction": lambda cluster: cluster.evict(("shop", "a")),
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
        cluster = Cluster(client.ApiClient(client.Configuration(host=f"http://127.0.0.1:{server.port}")))
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
    with pytest.raises(ApiError, match="and no JSON: <h1>Please") as refused:
        asked(server, QUESTIONS[question])
    assert refused.value.status == 0


def test_what_is_not_there_is_none(server: Server) -> None:
    server.status, server.kind, server.text = 404, "text/plain", "404 page not found"

    async def ask(cluster: Cluster) -> None:
        assert await cluster.read_lease(("shop", "one")) is None
        assert await cluster.read_secret(("shop", "one")) is None
        assert await cluster.read_webhook("one") is None
        with pytest.raises(ApiError, match="404, and no JSON: 404 page not found"):
            await cluster.ask("/apis/tcpservice.dev/v1alpha1/tcpservices")

    asked(server, ask)


def test_words_are_kept_short(server: Server) -> None:
    server.status, server.text = 500, json.dumps(["x" * 5000])
    with pytest.raises(ApiError) as refused:
        asked(server, QUESTIONS["anything"])
    assert len(str(refused.value)) < 300
