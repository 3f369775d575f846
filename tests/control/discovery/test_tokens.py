"""Who may follow: what a TokenReview says, asked once for many, and never kept for long."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tcpservice_operator.api.plain_objects import Body
from tcpservice_operator.discovery.tokens import (
    AT_ONCE,
    KEPT_S,
    MOST_CALLERS,
    MOST_REFUSALS,
    MOST_WAITING,
    Caller,
    TokenRefused,
    Tokens,
    read_review,
)
from tcpservice_operator.kube.kube_client import ApiError
from tcpservice_operator.kube.turns import TooManyWaiting


def review(**user: Any) -> dict[str, Any]:
    extra = {"authentication.kubernetes.io/pod-name": ["web"], "authentication.kubernetes.io/pod-uid": ["uid-web"]}
    return {
        "authenticated": True,
        "user": {"username": "system:serviceaccount:shop:default", "extra": extra, **user},
    }


def test_a_bound_token_is_its_pods() -> None:
    assert read_review(review()) == Caller(pod=("shop", "web"), uid="uid-web")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({}, "the API server did not authenticate it"),
        ({"error": 'token audiences ["api"] is invalid'}, "audiences"),
        ({"authenticated": False, "error": "expired"}, "expired"),
        (review(extra={}), "the token of system:serviceaccount:shop:default is not bound to a pod"),
        (review(extra=None), "not bound to a pod"),
        (review(username="admin"), "the token of admin is not bound to a pod"),
    ],
)
def test_all_others_are_refused_with_the_reason(status: dict[str, Any], words: str) -> None:
    verdict = read_review(status)
    assert isinstance(verdict, TokenRefused)
    assert words in str(verdict)


class Server:
    """Reviews tokens: those that begin with `web` are good."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.at_once = self.most = 0
        self.gone = False

    async def review_token(self, token: str, audience: str) -> Body:
        assert audience == "tcpservice.dev"
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        self.asked.append(token)
        if self.gone:
            raise ApiError(0, "gone")
        return review() if token.startswith("web") else {"error": "no"}


def test_a_verdict_is_kept_for_a_while() -> None:
    server, clock = Server(), {"now": 0.0}
    tokens = Tokens(server, "tcpservice.dev", lambda: clock["now"])

    async def run() -> None:
        for _ in range(3):
            assert (await tokens.caller("web", "10.0.0.1")).uid == "uid-web"
            with pytest.raises(TokenRefused):
                await tokens.caller("wrong", "10.0.0.1")
        assert server.asked == ["web", "wrong"]
        clock["now"] = KEPT_S
        await tokens.caller("web", "10.0.0.1")
        assert server.asked == ["web", "wrong", "web"]

    asyncio.run(run())


def test_many_at_once_ask_few_at_once() -> None:
    server = Server()
    tokens = Tokens(server, "tcpservice.dev", lambda: 0.0)

    async def run() -> None:
        await asyncio.gather(*(tokens.caller(f"web-{number}", f"10.0.0.{number}") for number in range(500)))
        await asyncio.gather(*(tokens.caller("web", "10.0.0.1") for _ in range(200)))

    asyncio.run(run())
    assert len(set(server.asked)) == 501
    assert server.asked.count("web") <= 16
    assert server.most <= 16


def test_an_api_server_that_is_gone_is_no_verdict() -> None:
    server = Server()
    server.gone = True
    tokens = Tokens(server, "tcpservice.dev", lambda: 0.0)

    async def run() -> None:
        with pytest.raises(ApiError):
            await tokens.caller("web", "10.0.0.1")
        server.gone = False
        assert (await tokens.caller("web", "10.0.0.1")).pod == ("shop", "web")

    asyncio.run(run())


def test_what_is_kept_is_bounded_and_wrong_tokens_replace_no_right_ones() -> None:
    server = Server()
    tokens = Tokens(server, "tcpservice.dev", lambda: 0.0)

    async def run() -> None:
        await tokens.caller("web", "10.0.0.1")
        for number in range(MOST_REFUSALS + 10):
            with pytest.raises(TokenRefused):
                await tokens.caller(f"wrong-{number}", "10.0.0.2")
        await tokens.caller("web", "10.0.0.1")

    asyncio.run(run())
    assert server.asked.count("web") == 1
    assert len(tokens._refusals) == MOST_REFUSALS
    assert tokens._callers.maxsize == MOST_CALLERS


def test_wrong_tokens_of_one_address_delay_no_other() -> None:
    class Slow(Server):
        async def review_token(self, token: str, audience: str) -> Body:
            await go.wait()
            return await super().review_token(token, audience)

    server, go = Slow(), asyncio.Event()
    tokens = Tokens(server, "tcpservice.dev", lambda: 0.0)

    async def run() -> None:
        flood = [asyncio.create_task(tokens.caller(f"wrong-{n}", "10.0.0.2")) for n in range(AT_ONCE + MOST_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyWaiting):
            await tokens.caller("wrong", "10.0.0.2")
        mine = asyncio.create_task(tokens.caller("web", "10.0.0.1"))
        await asyncio.sleep(0)
        go.set()
        await mine
        assert len(server.asked) <= 2 * AT_ONCE, "it did not wait behind the others"
        await asyncio.gather(*flood, return_exceptions=True)

    asyncio.run(run())
