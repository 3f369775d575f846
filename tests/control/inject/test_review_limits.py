"""The webhook's port, where any pod can connect: real connections on loopback, beside which a review is answered."""

from __future__ import annotations

import asyncio
import io
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
import trustme

from control.objects import namespace, pod, tcp_service
from tcpservice_operator.api.operator_metrics import OperatorMetrics
from tcpservice_operator.api.plain_objects import Body
from tcpservice_operator.cache.cluster_state import ClusterState
from tcpservice_operator.discovery.publisher import Publisher
from tcpservice_operator.discovery.streams import Discovery, StreamLimits
from tcpservice_operator.discovery.tokens import Tokens
from tcpservice_operator.http.connection_limits import MOST_IDLE
from tcpservice_operator.http.servers import Servers
from tcpservice_operator.inject.review_limits import BUDGET, LARGEST, OVERHEAD, ReviewBudget, ReviewRefused
from tcpservice_operator.inject.sidecar_options import Options
from tcpservice_operator.inject.webhook import Webhook

OTHER = "127.0.0.2"
"""The address of clients that are not the API server."""

SECONDS = 120.0
NEVER_S = 600.0
"""A limit that no test reaches, however slow the machine is."""

HUGE = 900_000
HELD = BUDGET // (HUGE + OVERHEAD)
"""How many bodies of that size the budget allows."""


class NoTokens:
    """Knows no token."""

    async def review_token(self, token: str, audience: str) -> Body:
        return {"authenticated": False, "error": f"no {token} for {audience}"}


class Port:
    """The HTTPS port of one copy of the operator."""

    def __init__(self, read: float) -> None:
        self.looked: list[str] = []
        self.held = asyncio.Event()
        self.held.set()
        self.state = state = ClusterState()
        state.apply_namespace_event(namespace(inject="enabled"))
        state.apply_tcp_service_event(tcp_service())
        options = Options(image="sidecar:1")
        self.metrics = OperatorMetrics()
        self.webhook = Webhook(
            state, options, self._look, self._tell, read_now_seconds=NEVER_S, read_seconds=read, metrics=self.metrics
        )

    def counted(self, outcome: str) -> float | None:
        """Return how many reviews ended so."""
        name, labels = "tcpservice_operator_review_duration_seconds_count", {"outcome": outcome}
        return self.metrics.registry.get_sample_value(name, labels)

    async def _look(self, where: str) -> ClusterState:
        self.looked.append(where)
        await self.held.wait()
        return self.state

    async def _tell(self, _: str) -> None:
        return

    async def connect(self, source: str = OTHER) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=self.trust, local_addr=(source, 0))

    async def ask(self, body: bytes | io.BytesIO, source: str = "127.0.0.1") -> tuple[int, bytes]:
        connector = aiohttp.TCPConnector(ssl=self.trust, local_addr=(source, 0))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.post(f"https://127.0.0.1:{self.port}/v1/inject", data=body) as answer,
        ):
            return answer.status, await answer.read()

    async def is_injected(self) -> bool:
        """Ask about a pod that serves, as the API server does."""
        status, text = await self.ask(review(pod("orders-a", injected=False)))
        assert status == 200, text
        return "patch" in json.loads(text)["response"]

    async def listen(self, serving: Servers) -> None:
        authority = trustme.CA()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        self.trust = ssl.create_default_context()
        authority.configure_trust(self.trust)
        publisher = Publisher(self.state)
        tokens = Tokens(NoTokens(), "tcpservice.dev", asyncio.get_running_loop().time)
        discovery = Discovery(self.state, publisher, tokens, StreamLimits())
        address = await serving.secure("127.0.0.1", 0, context, discovery, self.webhook)
        self.port = int(address.rpartition(":")[2])


@asynccontextmanager
async def listening(read: float, handshake: float) -> AsyncIterator[Port]:
    serving, port = Servers(handshake), Port(read)
    await port.listen(serving)
    try:
        yield port
    finally:
        await serving.stop()


def run(scene: Callable[[Port], Awaitable[None]], read: float = NEVER_S, handshake: float = NEVER_S) -> None:
    async def whole() -> None:
        async with asyncio.timeout(SECONDS), listening(read, handshake) as port:
            await scene(port)

    asyncio.run(whole())


def test_a_crowd_that_connects_at_once_is_served(caplog: pytest.LogCaptureFixture) -> None:
    """No connection is closed as idle before its first request is read, however many are opened at the same time."""

    async def scene(port: Port) -> None:
        answers = await asyncio.gather(*(port.ask(b"nonsense") for _ in range(2 * MOST_IDLE)))
        assert {status for status, _ in answers} == {400}

    run(scene)
    assert caplog.records == []


def test_reviews_are_counted_by_what_was_decided() -> None:
    async def scene(port: Port) -> None:
        assert await port.is_injected()
        for left_alone in (
            pod("web", app="web", injected=False, inject="disabled"),
            pod("a", injected=False, hostNetwork=True),
        ):
            await port.ask(review(left_alone))
        await port.ask(b"nonsense")
        counted = {outcome: port.counted(outcome) for outcome in ("injected", "left_alone", "failed", "dropped")}
        assert counted == {"injected": 1, "left_alone": 2, "failed": 1, "dropped": None}

    run(scene)


def review(body: dict[str, Any], where: Any = "shop", **more: Any) -> bytes:
    return json.dumps({"request": {"uid": "1", "namespace": where, "object": body, **more}}).encode()


async def is_closed(reader: asyncio.StreamReader) -> bool:
    """Whether the server closes a connection, with or without a last word."""
    with suppress(ConnectionError):
        await reader.read()
    return True


def start_of_a_body(size: int) -> bytes:
    """A request whose body never ends, with `size` bytes of it."""
    head = b"POST /v1/inject HTTP/1.1\r\nHost: operator\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + f"{size:x}\r\n".encode() + b"x" * size + b"\r\n"


WRONG = [
    "../../../../api/v1/namespaces/tcpservice-system/secrets/tcpservice-ca?x=",
    "", ".", "..", "Shop", "shop/pods", "shop?x=", "a" * 64, "shop\n2026-01-01 INFO one leads", None, 1, ["shop"],
]  # fmt: skip


@pytest.mark.parametrize("where", WRONG)
def test_a_namespace_that_is_no_name_is_refused_before_anything_is_asked(where: Any) -> None:
    async def scene(port: Port) -> None:
        status, text = await port.ask(review(pod("a", injected=False), where))
        assert status == 400
        assert b"expected an AdmissionReview" in text
        assert port.looked == []

    run(scene)


def test_a_review_of_another_kind_is_answered_without_a_patch() -> None:
    async def scene(port: Port) -> None:
        kind = {"group": "apps", "version": "v1", "kind": "Deployment"}
        status, text = await port.ask(review(pod("a", injected=False), kind=kind))
        assert status == 200
        assert json.loads(text)["response"] == {"uid": "1", "allowed": True}

    run(scene)


def test_two_reviews_of_one_pod_have_two_hook_keys() -> None:
    async def scene(port: Port) -> None:
        same = review(pod("orders-a", injected=False))
        assert (await port.ask(same))[1] != (await port.ask(same))[1]

    run(scene)


def test_a_body_that_is_too_large_is_refused() -> None:
    async def scene(port: Port) -> None:
        status, _ = await port.ask(io.BytesIO(b"x" * (LARGEST + 1)))
        assert status == 413
        reader, writer = await port.connect()
        writer.write(start_of_a_body(LARGEST + 1))
        assert b" 413 " in await reader.readline()
        writer.transport.abort()
        assert await port.is_injected()

    run(scene)


@pytest.mark.parametrize("source", [OTHER, "127.0.0.1"])
def test_bodies_that_never_end_hold_no_more_than_the_budget_and_no_review_up(source: str) -> None:
    async def scene(port: Port) -> None:
        budget = port.webhook._budget
        connections = [await port.connect(source) for _ in range(2 * HELD)]
        for _, writer in connections:
            writer.write(start_of_a_body(HUGE))
        while budget.refused < HELD:
            await asyncio.sleep(0.01)
            assert budget.cost <= BUDGET
        assert await port.is_injected()
        assert budget.count == HELD
        for _, writer in connections:
            writer.transport.abort()
        while budget.count:
            await asyncio.sleep(0.01)
        assert budget.refused == HELD
        assert budget.cost == 0

    run(scene)


def test_a_body_that_does_not_come_in_time_ends() -> None:
    async def scene(port: Port) -> None:
        reader, writer = await port.connect()
        writer.write(start_of_a_body(HUGE))
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"the request body did not arrive within 0.2 s" in answer
        assert port.counted("dropped") == 1
        assert port.webhook._budget.cost == 0
        writer.transport.abort()

    run(scene, read=0.2)


def test_a_connection_without_a_handshake_is_closed() -> None:
    async def scene(port: Port) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
        assert await is_closed(reader)
        writer.transport.abort()

    run(scene, handshake=0.2)


def test_connections_that_ask_nothing_are_closed_the_oldest_first() -> None:
    async def scene(port: Port) -> None:
        more = 40
        connections = [await port.connect() for _ in range(MOST_IDLE + more)]
        for reader, _ in connections[:more]:
            assert await is_closed(reader)
        assert await port.is_injected()
        _, youngest = connections[-1]
        assert not youngest.is_closing()
        for _, writer in connections:
            writer.transport.abort()

    run(scene)


def test_reviews_that_wait_for_the_api_server_leave_room_for_those_of_another_client() -> None:
    async def scene(port: Port) -> None:
        port.held.clear()
        body = review(pod("orders-a", injected=False))
        flood = [asyncio.create_task(port.ask(body, OTHER)) for _ in range(200)]
        mine = asyncio.create_task(port.is_injected())
        while port.webhook._budget.count < 201 or len(port.looked) < 16:
            await asyncio.sleep(0.01)
        assert len(port.looked) == 16, "no more than that ask at the same time"
        port.held.set()
        assert await mine
        assert {status for status, _ in await asyncio.gather(*flood)} == {200}

    run(scene)


def test_the_client_with_the_most_gives_way_by_its_largest_review() -> None:
    async def chunks(size: int, hold: asyncio.Event) -> AsyncIterator[bytes]:
        yield b"x" * size
        await hold.wait()

    async def scene() -> None:
        budget, hold = ReviewBudget(budget=400_000), asyncio.Event()

        async def send(client: str, size: int) -> int:
            async with budget.enter(client) as place:
                return len(await place.read(chunks(size, hold)))

        sent = [("many", 60_000), ("many", 90_000), ("many", 60_000), ("one", 120_000), ("one", 10_000)]
        tasks = [asyncio.create_task(send(*each)) for each in sent]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        hold.set()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each) for each in done] == [int, ReviewRefused, int, int, int]
        assert budget.cost == 0

    asyncio.run(scene())
