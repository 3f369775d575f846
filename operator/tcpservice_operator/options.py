"""How the sidecars of an installation are made, and the flags that say so.

Used by `settings` and by `tcpservice inject`, so that both make the same of the same flags; read by `sidecar`.
"""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from tcpservice import __version__
from tcpservice_flags import argument

IMAGE: Final = f"ghcr.io/tcpservice/sidecar:{__version__}"
OPERATOR: Final = "tcpservice-operator.tcpservice-system.svc:15810"


def new_hook_key() -> str:
    """Return a random key for the hooks of one pod.

    The key must not depend on the pod: the webhook answers every client that can connect, so a client that sends a copy
    of a pod would otherwise receive the key of the real pod.
    """
    return secrets.token_hex(16)


class Options(Struct, frozen=True, kw_only=True):
    """How the sidecars of an installation are made; quantities as Kubernetes writes them, none where empty.

    `hook_key` makes the key of a pod's hooks; tests replace it to get the same output twice.
    """

    image: str = IMAGE
    version: str = __version__
    pull_policy: str = "IfNotPresent"
    operator: str = OPERATOR
    audience: str = "tcpservice.dev"
    cpu: str = "50m"
    cpu_limit: str = ""
    memory: str = "64Mi"
    memory_limit: str = "256Mi"
    variables: tuple[tuple[str, str], ...] = ()
    hook_key: Callable[[], str] = new_hook_key


def add_flags(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add what people may want of sidecars; return the group, for more."""
    options, group = Options(), parser.add_argument_group("the sidecars that pods get")
    for flag, metavar, default, words in (
        ("--sidecar-pull-policy", "POLICY", options.pull_policy, "when it is pulled: Always, IfNotPresent or Never"),
        ("--sidecar-cpu", "QUANTITY", options.cpu, "the CPU that they ask for"),
        ("--sidecar-memory", "QUANTITY", options.memory, "the memory that they ask for"),
        ("--sidecar-memory-limit", "QUANTITY", options.memory_limit, "the memory that they may have"),
    ):
        group.add_argument(flag, metavar=metavar, type=str, default=default, help=f"{words} (default {default})")
    group.add_argument(
        "--sidecar-cpu-limit", metavar="QUANTITY", type=str, default=options.cpu_limit,
        help="the CPU that they may have, where quotas ask for a limit (default: none, as a limit lets all messages of "
        "a busy pod wait for parts of each 100 ms)",
    )  # fmt: skip
    group.add_argument(
        "--sidecar-env", metavar="NAME=VALUE", type=argument(_pair), action="append", default=[],
        help="a variable that they get, such as OTEL_EXPORTER_OTLP_ENDPOINT; may be repeated",
    )  # fmt: skip
    return group


def options_of(given: argparse.Namespace, **more: Any) -> Options:
    """Return what the flags say, and what else is known."""
    return Options(
        pull_policy=given.sidecar_pull_policy,
        cpu=given.sidecar_cpu,
        cpu_limit=given.sidecar_cpu_limit,
        memory=given.sidecar_memory,
        memory_limit=given.sidecar_memory_limit,
        variables=tuple(given.sidecar_env),
        **more,
    )


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(f'expected NAME=VALUE, got "{text}"')
    return name, value
