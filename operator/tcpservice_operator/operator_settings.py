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
Write durations as 250ms, 5s or 1h30m. Each flag can also be set by an environment variable: TCPSERVICE_ and the name of
the flag, for example TCPSERVICE_STREAM_AGE=30m. Separate several values of a repeatable flag by spaces.

The operator connects to the cluster of KUBECONFIG or ~/.kube/config; in a pod, it uses the pod's service account. On
SIGTERM, it releases the Lease and closes its streams. Another replica then becomes the leader, and sidecars connect to
another replica.
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
    parser = make_parser()
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


def make_parser() -> Parser:
    """Make the parser of the command line."""
    parser = Parser(
        prog=PROGRAM,
        description="Run the operator: reconcile TcpServices, inject sidecars into new pods, and push endpoints and "
        "policies to sidecars.",
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
        "parts of the operator that this process runs, if several Deployments share the work: reconcile (Services, "
        "status, evictions), webhook (injection), discovery (streams to sidecars), ca (certificates)",
        "all")  # fmt: skip
    add(
        "--namespace",
        "NAME",
        str,
        "tcpservice-system",
        "namespace of the operator's Leases and of the Secret with its CA",
    )
    add("--watch-namespaces", "NAME,...", _names, (),
        "namespaces that the operator works with; it reads and writes no objects of other namespaces",
        "all")  # fmt: skip
    add("--identity", "TEXT", str, f"{socket.gethostname()}-{os.getpid()}",
        "unique name of this replica of the operator, for leader election", "host and process id")  # fmt: skip
    add(
        "--listen",
        "HOST:PORT",
        _listen,
        Address("*", 15810),
        "address of the HTTPS server for sidecars and the webhook; the host * means all addresses",
    )
    add(
        "--health",
        "HOST:PORT",
        _listen,
        Address("*", 15811),
        "address of the HTTP server for /livez, /readyz and /metrics; the host * means all addresses",
    )
    parser.add_argument(
        "--serving-name", metavar="NAME", action="append", default=[],
        help="additional host name or IP address in the serving certificate; may be repeated. The certificate always "
        "has the names of the operator's Service",
    )  # fmt: skip
    parser.add_argument(
        "--certificate", metavar="DIR", type=Path, default=None,
        help="folder with tls.crt, tls.key and ca.crt, as cert-manager writes them (default: the operator has its own "
        "CA, and signs its certificates)",
    )  # fmt: skip
    add("--audience", "TEXT", str, AUDIENCE, "audience that the service account tokens of sidecars must have")
    add(
        "--coalesce",
        "TIME",
        _seconds,
        stream_limits.coalesce,
        "shortest time between two pushes to sidecars; the operator pushes the changes in between together",
        "100ms",
    )
    add(
        "--heartbeat",
        "TIME",
        _seconds,
        stream_limits.heartbeat,
        "time without a change after which the operator sends a heartbeat on a discovery stream",
        "10s",
    )
    add(
        "--unread",
        "TIME",
        _seconds,
        stream_limits.unread,
        "how long a sidecar may read nothing before the operator closes its discovery stream",
        "30s",
    )
    add(
        "--stream-age",
        "TIME",
        _seconds,
        stream_limits.age,
        "maximum age of a discovery stream; the operator then closes it, and the sidecar connects and authenticates "
        "again",
        "1h",
    )
    add("--streams", "N", parse_count, stream_limits.streams,
        "maximum number of discovery streams of this replica; the pods of one namespace can have at most half of "
        "them")  # fmt: skip
    group = add_flags(parser)
    group.add_argument(
        "--sidecar-image", metavar="IMAGE", default=IMAGE, help=f"image of the sidecar (default {IMAGE})"
    )
    group.add_argument(
        "--sidecar-discovery", metavar="HOST:PORT", default="",
        help="address at which sidecars connect to the operator (default: the operator's Service, with the port of "
        "--listen)",
    )  # fmt: skip
    return parser


def _roles(text: str) -> frozenset[Role]:
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in set(Role)]
    if unknown:
        raise ValueError(f'expected a comma-separated list of {", ".join(Role)}, got "{unknown[0]}"')
    return frozenset(map(Role, names))


def _names(text: str) -> tuple[str, ...]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(f'expected a comma-separated list of namespaces, got "{name}"')
    return tuple(dict.fromkeys(names))


def _listen(text: str) -> Address:
    return parse_address(text, lowest=0)


def _seconds(text: str) -> float:
    seconds = parse_duration(text) / 1e9
    if seconds <= 0:
        raise ValueError(f'expected a duration above 0s, got "{text}"')
    return seconds
