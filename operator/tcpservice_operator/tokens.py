"""Who connects: the pod that a projected service account token belongs to, as the API server says.

Used by `discovery`. Tokens have an audience of their own, so that what a sidecar sends here opens nothing elsewhere.
Verdicts are kept for a short time: thousands of sidecars that connect anew at once are asked about once each, and
somebody who sends wrong tokens costs the API server little.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, Protocol

from msgspec import Struct

from tcpservice_operator.objects import Body, Key

KEPT_S: Final = 30.0
MOST_KEPT: Final = 20_000
AT_ONCE: Final = 16
_POD: Final = "authentication.kubernetes.io/pod-name"
_UID: Final = "authentication.kubernetes.io/pod-uid"
_ACCOUNT: Final = "system:serviceaccount:"


class Caller(Struct, frozen=True):
    """The pod that a token belongs to."""

    pod: Key
    uid: str


class Refused(Exception):
    """A token that is not taken; the text says why."""


class Reviews(Protocol):
    """Who knows tokens."""

    async def review_token(self, token: str, audience: str) -> Body:
        """Return the status of a TokenReview. Raises ApiError."""


class Tokens:
    """Verdicts about tokens; `clock` is a monotonic one, in seconds."""

    def __init__(self, reviews: Reviews, audience: str, clock: Callable[[], float]) -> None:
        self._reviews = reviews
        self._audience = audience
        self._clock = clock
        self._kept: OrderedDict[bytes, tuple[float, Caller | Refused]] = OrderedDict()
        self._asking = asyncio.Semaphore(AT_ONCE)

    async def caller(self, token: str) -> Caller:
        """Return the pod of a token. Raises Refused, and ApiError where the API server cannot be asked."""
        name = hashlib.sha256(token.encode()).digest()
        verdict = self._known(name)
        if verdict is None:
            async with self._asking:
                verdict = self._known(name) or read_review(await self._reviews.review_token(token, self._audience))
            self._keep(name, verdict)
        if isinstance(verdict, Refused):
            raise verdict
        return verdict

    def _known(self, name: bytes) -> Caller | Refused | None:
        until, verdict = self._kept.get(name, (float("-inf"), None))
        return verdict if self._clock() < until else None

    def _keep(self, name: bytes, verdict: Caller | Refused) -> None:
        self._kept[name] = self._clock() + KEPT_S, verdict
        self._kept.move_to_end(name)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)


def read_review(status: Body) -> Caller | Refused:
    """Read a TokenReview's status: of a wrong audience `authenticated` is absent, and `error` says why."""
    if not status.get("authenticated"):
        return Refused(f"the token is not valid: {status.get('error') or 'the API server does not know it'}")
    user: dict[str, Any] = status["user"]
    extra = user.get("extra") or {}
    pod, uid = (next(iter(extra.get(name) or []), "") for name in (_POD, _UID))
    if not user["username"].startswith(_ACCOUNT) or not pod:
        return Refused(f"the token of {user['username']} is not bound to a pod; mount a projected one")
    namespace = user["username"].removeprefix(_ACCOUNT).partition(":")[0]
    return Caller(pod=(namespace, pod), uid=uid)
