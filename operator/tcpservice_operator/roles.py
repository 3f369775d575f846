"""What a pod has to do with TcpServices: it serves some, and calls some.

Made by whoever knows the cluster or the manifests, used by `injection`. `document` is what the sidecar begins with, and
one that it can read: it would not start with any other.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from tcpservice_operator.objects import Key


class Served(Struct, frozen=True, kw_only=True):
    """A TcpService that a pod serves: callers dial `port`, the app listens at `target`, a port's name or a number."""

    key: Key
    port: int
    target: str | int
    document: dict[str, Any]


class Called(Struct, frozen=True, kw_only=True):
    """A TcpService that a pod calls; `others` are the further ports of the Service of its name.

    `refused` is why the pod's sidecar must not take its name, empty where it may.
    """

    key: Key
    port: int
    others: tuple[int, ...]
    document: dict[str, Any]
    refused: str = ""


class Roles(Struct, frozen=True, kw_only=True):
    """All that one pod has to do with TcpServices, and what else says where its app listens.

    `unknown` are those that it names as called and that are not there; `pending`: one that it calls waits for its first
    EndpointSlice. `targeted` are the ports of the pod that Services target by number.
    """

    serves: tuple[Served, ...] = ()
    calls: tuple[Called, ...] = ()
    unknown: tuple[Key, ...] = ()
    pending: bool = False
    targeted: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.serves or self.calls or self.unknown)
