"""The facts of a cluster, and the findings of `tcpservice check`.

`survey` collects the facts, `findings` judges them. A fact that could not be read is `Unknown`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

from tcpservice_operator.api.plain_objects import Body, Key
from tcpservice_operator.cache.objects import Pod

Mark = Literal["passed", "warned", "failed"]


class Finding(Struct, frozen=True):
    """One line of the report. The message ends with the command that fixes the problem, if there is a problem."""

    mark: Mark
    subject: str
    message: str


class Unknown(Struct, frozen=True):
    """A fact that could not be read, and why."""

    reason: str


class SeenPod(Struct, frozen=True, kw_only=True):
    """A pod, the version of its sidecar, and the words of its containers that may name a service."""

    pod: Pod
    version: str
    words: frozenset[str]


class Facts(Struct, frozen=True, kw_only=True):
    """The facts of a cluster. None means that the object does not exist.

    `now` is the API server's time. `trusted` is when the bundle of the webhook expires. `unreached` is why the API
    server does not reach the operator, empty if it does. `denied` are the rights that the operator lacks. `unanswered`
    counts the calls of the webhook that failed. `tried` has for each TcpService why a new pod would get no sidecar,
    empty if it would get one. `forms` says for a few pods whether their sidecars run compiled, or in plain Python.
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
    pods: tuple[SeenPod, ...] | Unknown
    forms: dict[Key, str] = {}
