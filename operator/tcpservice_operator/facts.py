"""The facts of a cluster: what `tcpservice check` asks for, and what it says of each.

Made by `survey`, judged by `checking`. A question that is not answered is a fact, too.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

from tcpservice_operator.objects import Body, Key, Pod

Mark = Literal["passed", "warned", "failed"]


class Finding(Struct, frozen=True):
    """One line: what was looked at, and what was found, with the mend where there is something to mend."""

    mark: Mark
    subject: str
    message: str


class Unknown(Struct, frozen=True):
    """A question that nobody answered, and why."""

    reason: str


class Seen(Struct, frozen=True, kw_only=True):
    """A pod, the version of its sidecar, and all words of its containers that may name a service."""

    pod: Pod
    version: str
    words: frozenset[str]


class Facts(Struct, frozen=True, kw_only=True):
    """What was asked. None: there is no such object.

    `now` is the API server's time. `trusted` is until when the webhook's certificates can be verified, `unreached` why
    the API server does not come through to the operator, empty where it does. `denied` are the rights that the operator
    lacks; `tried` has, for each TcpService, what a pod of it would become: an empty text where it would get the
    sidecar, else why not.
    """

    now: datetime
    version: tuple[int, int]
    definition: Body | Unknown | None
    webhook: Body | Unknown | None
    operator: Body | Unknown | None
    lease: Body | Unknown | None
    trusted: datetime | Unknown
    unreached: str | Unknown | None
    denied: tuple[str, ...] | Unknown
    unanswered: int | Unknown
    services: tuple[Body, ...] | Unknown
    tried: dict[Key, str | Unknown]
    pods: tuple[Seen, ...] | Unknown
