"""Authenticates sidecars: finds the pod of a projected service account token by a TokenReview.

Used by `streams`. The tokens have an audience of their own, so that they are useless for other servers. Verdicts are
cached for a short time. So when thousands of sidecars reconnect at once, the API server reviews each token once. Any
pod can send wrong tokens: those have a cache of their own, and compete for reviews only with others of its address.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final, Protocol

from cachetools import TTLCache
from msgspec import Struct

from tcpservice_operator.api.plain_objects import Body, Key
from tcpservice_operator.kube.turns import Turns

KEPT_S: Final = 30.0
"""How long a verdict is cached, in seconds."""

MOST_CALLERS: Final = 20_000
MOST_REFUSALS: Final = 2_000
AT_ONCE: Final = 16
MOST_WAITING: Final = 256
"""How many reviews of one address may wait for their turn."""

_POD: Final = "authentication.kubernetes.io/pod-name"
_UID: Final = "authentication.kubernetes.io/pod-uid"
_ACCOUNT: Final = "system:serviceaccount:"


class Caller(Struct, frozen=True):
    """The pod that a token belongs to."""

    pod: Key
    uid: str


class TokenRefused(Exception):
    """A token is refused; the text says why."""


class Reviews(Protocol):
    """Reviews tokens."""

    async def review_token(self, token: str, audience: str) -> Body:
        """Return the status of a TokenReview. Raises ApiError."""


class Tokens:
    """Reviews tokens and caches the verdicts. `clock` is monotonic, in seconds."""

    def __init__(self, reviews: Reviews, audience: str, clock: Callable[[], float]) -> None:
        self._reviews = reviews
        self._audience = audience
        self._callers: TTLCache[bytes, Caller] = TTLCache(MOST_CALLERS, KEPT_S, timer=clock)
        self._refusals: TTLCache[bytes, TokenRefused] = TTLCache(MOST_REFUSALS, KEPT_S, timer=clock)
        self._turns = Turns(AT_ONCE, MOST_WAITING)

    async def caller(self, token: str, client: str) -> Caller:
        """Return the pod of a token; `client` is the address that sent it.

        Raises TokenRefused, ApiError if the review fails, and TooManyWaiting.
        """
        name = hashlib.sha256(token.encode()).digest()
        verdict = self._known(name)
        if verdict is None:
            async with self._turns.turn(client):
                verdict = self._known(name) or await self._review(name, token)
        if isinstance(verdict, TokenRefused):
            raise TokenRefused(str(verdict))
        return verdict

    def _known(self, name: bytes) -> Caller | TokenRefused | None:
        return self._callers.get(name) or self._refusals.get(name)

    async def _review(self, name: bytes, token: str) -> Caller | TokenRefused:
        verdict = read_review(await self._reviews.review_token(token, self._audience))
        if isinstance(verdict, Caller):
            self._callers[name] = verdict
        else:
            self._refusals[name] = verdict
        return verdict


def read_review(status: Body) -> Caller | TokenRefused:
    """Return the verdict of a TokenReview's status. A wrong audience has no `authenticated`; `error` says why."""
    if not status.get("authenticated"):
        return TokenRefused(
            f"the token is not valid: {status.get('error') or 'the API server did not authenticate it'}"
        )
    user: dict[str, Any] = status["user"]
    extra = user.get("extra") or {}
    pod, uid = (next(iter(extra.get(name) or []), "") for name in (_POD, _UID))
    if not user["username"].startswith(_ACCOUNT) or not pod:
        return TokenRefused(
            f"the token of {user['username']} is not bound to a pod; use a projected service account token"
        )
    namespace = user["username"].removeprefix(_ACCOUNT).partition(":")[0]
    return Caller(pod=(namespace, pod), uid=uid)
