"""Who may follow: what a TokenReview says, asked once for many, and never kept for long."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tcpservice_operator.cluster import ApiError
from tcpservice_operator.objects import Body
from tcpservice_operator.tokens import KEPT_S, MOST_KEPT, Caller, Refused, Tokens, read_review


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
        ({}, "the API server does not know it"),
        ({"error": 'token audiences ["api"] is invalid'}, "audiences"),
        ({"authenticated": False, "error": "expired"}, "expired"),
        (review(extra={}), "the token of system:serviceaccount:shop:default is not bound to a pod"),
        (review(extra=None), "not bound to a pod"),
        (review(username="admin"), "the token of admin is not bound to a pod"),
    ],
)
def test_all_others_are_refused_with_the_reason(status: dict[str, Any], words: str) -> None:
    verdict = read_review(status)
    assert isinstance(verdict, Refused)
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
            assert (await tokens.caller("web")).uid == "uid-web"
            with pytest.raises(Refused):
                await tokens.caller("wrong")
        assert server.asked == ["web", "wrong"]
        clock["now"] = KEPT_S
        await tokens.caller("web")
        assert server.asked == ["web", "wrong", "web"]

    asyncio.run(run())


def test_many_at_once_ask_few_at_once() -> None:
    server = Server()
    tokens = Tokens(server, "tcpservice.dev", lambda: 0.0)

    async def run() -> None:
        await asyncio.gather(*(tokens.caller(f"web-{number}") for number in range(500)))
        await asyncio.gather(*(tokens.caller("web") for _ in range(500)))

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
            await tokens.caller("web")
        server.gone = False
        assert (await tokens.caller("web")).pod == ("shop", "web")

    asyncio.run(run())


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tcpservice_operator.tokens.MOST_KEPT", 10)
    tokens = Tokens(Server(), "tcpservice.dev", lambda: 0.0)

    async def run() -> None:
        for number in range(50):
            await tokens.caller(f"web-{number}")

    asyncio.run(run())
    assert len(tokens._kept) == 10
    assert MOST_KEPT == 20_000
