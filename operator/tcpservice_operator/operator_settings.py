"""The flags of `tcpservice-operator`, which can also be set by environment variables `TCPSERVICE_*`.

Used by `main`. No other module reads the environment. An error is one line with the flag and the expected value; the
exit status is then 2.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

import tcpservice
from tcpservice.spec.units import parse_duration
from tcpservice_flags import Address, Parser, argument, from_environment, parse_address, parse_count
from tcpservice_operator.discovery.streams import StreamLimits
from tcpservice_operator.inject.sidecar_options import IMAGE, Options, add_flags, options_of

PROGRAM: Final = "tcpservice-operator"
AUDIENCE: Final = "tcpservice.dev"

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_EPILOG: Final = """\
Durations are written as 250ms, 5s or 1h30m. Each flag can be given as an environment variable, TCPSERVICE_ and its
name (TCPSERVICE_STREAM_AGE=30m); --serving-name takes several values separated by spaces. The cluster is that of
KUBECONFIG or ~/.kube/config, in a pod that of its service account. On SIGTERM, the operator releases the Lease and ends
its streams, so that another replica takes over.
"""


class Role(StrEnum):
    """What a process of the operator does, beside keeping its cache."""

    RECONCILE = "reconcile"
    WEBHOOK = "webhook"
    DISCOVERY = "discovery"
    CA = "ca"


class Settings(Struct, frozen=True, kw_only=True):
    """The parsed flags. `watched` are the namespaces that the operator works with; none: all."""

    roles: frozenset[Role]
    namespace: str
    watched: tuple[str, ...]
    identity: str
    listen: Address
    health: Address
    serving_names: tuple[str, ...]
    audience: str
    certificate: Path | None
    stream_limits: StreamLimits
    sidecar: Options


def read_settings(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Settings:
    """Read the flags; exits with status 0 for --help and --version. Raises SettingsError."""
    parser = _parser()
    given = parser.parse_args(
        [*from_environment(parser, os.environ if environment is None else environment), *arguments]
    )
    service = f"{PROGRAM}.{given.namespace}.svc"
    return Settings(
        roles=given.roles,
        namespace=given.namespace,
        watched=given.watch_namespaces,
        identity=given.identity,
        listen=given.listen,
        health=given.health,
        serving_names=(service, f"{service}.cluster.local", *given.serving_name),
        audience=given.audience,
        certificate=given.certificate,
        stream_limits=StreamLimits(
            coalesce=given.coalesce,
            heartbeat=given.heartbeat,
            unread=given.unread,
            age=given.stream_age,
            streams=given.streams,
        ),
        sidecar=options_of(
            given,
            image=given.sidecar_image,
            operator=given.sidecar_discovery or f"{service}:{given.listen.port}",
            audience=given.audience,
        ),
    )


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        description="Reconciles TcpServices in a cluster, injects sidecars, and pushes endpoints and policies to them.",
        epilog=_EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    stream_limits = StreamLimits()

    def add(flag: str, metavar: str, kind: Callable[[str], Any], default: Any, words: str, shown: str = "") -> None:
        text = f"{words} (default {shown or default})"
        parser.add_argument(flag, metavar=metavar, type=argument(kind), default=default, help=text)

    parser.add_argument("--version", action="version", version=f"{PROGRAM} {tcpservice.__version__}")
    add("--roles", "ROLE,...", _roles, frozenset(Role),
        "what this process does, if Deployments share the work: reconcile, webhook, discovery, ca", "all")  # fmt: skip
    add("--namespace", "NAME", str, "tcpservice-system", "namespace of the operator's Lease and of its CA")
    add("--watch-namespaces", "NAME,...", _names, (),
        "namespaces whose TcpServices and pods it works with; in others, it neither reads nor writes anything",
        "all")  # fmt: skip
    add("--identity", "TEXT", str, f"{socket.gethostname()}-{os.getpid()}",
        "name of this replica of the operator in the Lease", "host and process id")  # fmt: skip
    add(
        "--listen",
        "HOST:PORT",
        _listen,
        Address("*", 15810),
        "HTTPS for sidecars and the webhook; host *: all addresses",
    )
    add("--health", "HOST:PORT", _listen, Address("*", 15811), "plain HTTP: /livez, /readyz and /metrics")
    parser.add_argument(
        "--serving-name", metavar="NAME", action="append", default=[],
        help="further host name or address of the operator in its certificate, beside its Service; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--certificate", metavar="DIR", type=Path, default=None,
        help="folder with tls.crt, tls.key and ca.crt, as cert-manager writes them (default: the operator's own CA)",
    )  # fmt: skip
    add("--audience", "TEXT", str, AUDIENCE, "audience of the sidecars' tokens")
    add("--coalesce", "TIME", _seconds, stream_limits.coalesce, "changes within this time are pushed together", "100ms")
    add(
        "--heartbeat",
        "TIME",
        _seconds,
        stream_limits.heartbeat,
        "longest time without a line on a stream",
        "10s",
    )
    add(
        "--unread",
        "TIME",
        _seconds,
        stream_limits.unread,
        "how long a sidecar may read nothing before its stream is closed",
        "30s",
    )
    add(
        "--stream-age",
        "TIME",
        _seconds,
        stream_limits.age,
        "longest life of a stream; then the sidecar authenticates again",
        "1h",
    )
    add("--streams", "N", parse_count, stream_limits.streams,
        "most streams of one replica of the operator; the pods of one namespace have at most half of them")  # fmt: skip
    group = add_flags(parser)
    group.add_argument(
        "--sidecar-image", metavar="IMAGE", default=IMAGE, help=f"image of the sidecar (default {IMAGE})"
    )
    group.add_argument(
        "--sidecar-discovery", metavar="HOST:PORT", default="",
        help="address of the operator for the sidecars (default: its Service and the port of --listen)",
    )  # fmt: skip
    return parser


def _roles(text: str) -> frozenset[Role]:
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in set(Role)]
    if unknown:
        raise ValueError(f'expected some of {", ".join(Role)}, got "{unknown[0]}"')
    return frozenset(map(Role, names))


def _names(text: str) -> tuple[str, ...]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(f'expected names of namespaces, separated by commas, got "{name}"')
    return tuple(dict.fromkeys(names))


def _listen(text: str) -> Address:
    return parse_address(text, lowest=0)


def _seconds(text: str) -> float:
    seconds = parse_duration(text) / 1e9
    if seconds <= 0:
        raise ValueError(f'expected a duration above 0s, got "{text}"')
    return seconds
