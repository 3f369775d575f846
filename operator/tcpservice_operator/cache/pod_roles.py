"""The roles of a pod: the TcpServices that it serves, and those that it calls.

Made by `pod_views`, from the cluster or from manifests; used by `inject.pod_patch`. Each `document` is the one that the
sidecar starts with. It must be valid, because a sidecar does not start with an invalid file.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from tcpservice_operator.api.plain_objects import Key


class Served(Struct, frozen=True, kw_only=True):
    """A TcpService that a pod serves. Callers dial `port`; the app listens on `target`, a port name or a number.

    `sharing` are the Services and TcpServices that lead to the same port of this pod but select other pods.
    """

    key: Key
    port: int
    target: str | int
    document: dict[str, Any]
    sharing: tuple[str, ...] = ()


class Called(Struct, frozen=True, kw_only=True):
    """A TcpService that a pod calls. `others` are the other ports of the Service of its name.

    `refused` is why the pod gets no alias for it, empty if it gets one.
    """

    key: Key
    port: int
    others: tuple[int, ...]
    document: dict[str, Any]
    refused: str = ""


class Roles(Struct, frozen=True, kw_only=True):
    """The roles of one pod.

    `unknown` are the TcpServices that its annotation lists and that do not exist or do not allow its calls.
    `targeted` are the ports of the pod that Services target by number: its app listens there.
    """

    serves: tuple[Served, ...] = ()
    calls: tuple[Called, ...] = ()
    unknown: tuple[Key, ...] = ()
    targeted: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.serves or self.calls or self.unknown)
