"""The options of the sidecars of an installation, and the flags that set them.

Used by `operator_settings` and by `tcpservice inject`, so that both inject the same sidecar for the same flags; read by
`sidecar_container`.
"""

from __future__ import annotations

import argparse
import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from tcpservice import __version__
from tcpservice_flags import argument
from tcpservice_operator.api.names import SIDECAR_ANNOTATION
from tcpservice_operator.api.quantities import parse_quantity

IMAGE: Final = f"ghcr.io/tcpservice/sidecar:{__version__}"
OPERATOR: Final = "tcpservice-operator.tcpservice-system.svc:15810"


SECURITY_CONTEXT: Final[Mapping[str, Any]] = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""The sidecar needs no privilege: it passes the standard `restricted`."""

_QUANTITIES: Final = {"cpu": "cpu", "cpu-limit": "cpu_limit", "memory": "memory", "memory-limit": "memory_limit"}
"""The annotations of a pod that change the sidecar's resources, without their prefix, and the options that they set."""


def new_hook_key() -> str:
    """Return a random key for the hooks of one pod.

    The key must not depend on the pod: the webhook answers every client that can connect, so a client that sends a copy
    of a pod would otherwise receive the key of the real pod.
    """
    return secrets.token_hex(16)


class Options(Struct, frozen=True, kw_only=True):
    """The options of the sidecars of an installation. Quantities are those of Kubernetes; empty means none.

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
    security_context: Mapping[str, Any] = field(default_factory=lambda: SECURITY_CONTEXT)
    variables: tuple[tuple[str, str], ...] = ()
    pull_secrets: tuple[str, ...] = ()
    hook_key: Callable[[], str] = new_hook_key


def add_flags(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the flags for the sidecars; return their group, for further flags."""
    options, group = Options(), parser.add_argument_group("injected sidecars")
    for flag, metavar, default, words in (
        (
            "--sidecar-pull-policy",
            "POLICY",
            options.pull_policy,
            "imagePullPolicy of the sidecar: Always, IfNotPresent or Never",
        ),
        ("--sidecar-cpu", "QUANTITY", options.cpu, "CPU request of the sidecar"),
        ("--sidecar-memory", "QUANTITY", options.memory, "memory request of the sidecar"),
        ("--sidecar-memory-limit", "QUANTITY", options.memory_limit, "memory limit of the sidecar"),
    ):
        group.add_argument(flag, metavar=metavar, type=str, default=default, help=f"{words} (default {default})")
    group.add_argument(
        "--sidecar-cpu-limit", metavar="QUANTITY", type=str, default=options.cpu_limit,
        help="CPU limit of the sidecar; set one if a ResourceQuota requires it (default: none, because Kubernetes "
        "throttles a container that reaches its limit, which delays messages)",
    )  # fmt: skip
    group.add_argument(
        "--sidecar-env", metavar="NAME=VALUE", type=argument(_pair), action="append", default=[],
        help="environment variable of the sidecar, such as OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318; may be "
        "repeated",
    )  # fmt: skip
    group.add_argument(
        "--sidecar-pull-secret", metavar="NAME", type=str, action="append", default=[],
        help="Secret for pulling the image, added to each pod with a sidecar; it must exist in the pod's namespace; "
        "may be repeated",
    )  # fmt: skip
    group.add_argument(
        "--sidecar-security-context", metavar="JSON", type=argument(_object), default=SECURITY_CONTEXT,
        help="securityContext of the sidecar container; {} sets none, so that the platform chooses it (default: "
        "complies with the Pod Security Standard `restricted`, with runAsUser 65532)",
    )  # fmt: skip
    return group


def options_of(given: argparse.Namespace, **more: Any) -> Options:
    """Return the options from parsed flags, with further fields from `more`."""
    return Options(
        pull_policy=given.sidecar_pull_policy,
        cpu=given.sidecar_cpu,
        cpu_limit=given.sidecar_cpu_limit,
        memory=given.sidecar_memory,
        memory_limit=given.sidecar_memory_limit,
        security_context=given.sidecar_security_context,
        variables=tuple(given.sidecar_env),
        pull_secrets=tuple(given.sidecar_pull_secret),
        **more,
    )


def for_pod(options: Options, annotations: Mapping[str, str]) -> tuple[Options, list[str]]:
    """Return the options of one pod, changed by its annotations, and a note for each annotation that is not valid."""
    changes: dict[str, str] = {}
    notes = []
    for name, value in sorted(annotations.items()):
        if not name.startswith(SIDECAR_ANNOTATION):
            continue
        problem = _read_annotation(name.removeprefix(SIDECAR_ANNOTATION), value.strip(), changes)
        if problem:
            notes.append(f"the annotation {name} is ignored: {problem}")
    return replace(options, **changes), notes


def _read_annotation(name: str, value: str, changes: dict[str, str]) -> str:
    """Add what an annotation changes; return what is wrong with it."""
    if name == "image":
        if not value or any(letter.isspace() for letter in value):
            return f'expected the name of an image, got "{value}"'
        changes["image"] = value
    elif name in _QUANTITIES:
        try:
            amount = parse_quantity(value)
        except ValueError:
            return f'expected a quantity such as 100m or 64Mi, got "{value}"'
        if amount < 0:
            return f'expected a quantity of 0 or more, got "{value}"'
        changes[_QUANTITIES[name]] = value
    else:
        known = ", ".join(SIDECAR_ANNOTATION + each for each in sorted(("image", *_QUANTITIES)))
        return f"expected one of {known}"
    return ""


def _object(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"expected a JSON object: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, got {text}")  # noqa: TRY004 - flags raise ValueError
    return value


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(f'expected NAME=VALUE, got "{text}"')
    return name, value
