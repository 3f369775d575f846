"""What a pod has to do with a TcpService: it serves it, or calls it.

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
    """A TcpService that a pod calls; `others` are the further ports of the Service of its name."""

    key: Key
    port: int
    others: tuple[int, ...]
    document: dict[str, Any]
