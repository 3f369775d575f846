"""The flags of `tcpservice-operator`, also read from `TCPSERVICE_*`: the only place that looks at the environment.

Used by `app`. What is wrong is one line that names the flag and says what is expected; the exit status is then 2.
"""

from __future__ import annotations

import argparse
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

import tcpservice
from tcpservice.spec.units import parse_duration
from tcpservice_flags import Address, Parser, argument, from_environment, parse_address, parse_count
from tcpservice_operator.discovery import Times
from tcpservice_operator.options import IMAGE, Options, add_flags, options_of

PROGRAM: Final = "tcpservice-operator"
AUDIENCE: Final = "tcpservice.dev"

_EPILOG: Final = """\
Durations are written as 250ms, 5s or 1h30m. Each flag can be given as an environment variable, TCPSERVICE_ and its
name (TCPSERVICE_STREAM_AGE=30m); --serving-name takes several values separated by spaces. The cluster is that of
KUBECONFIG or ~/.kube/config, in a pod that of its service account. SIGTERM gives the Lease and the streams to another
copy.
"""


class Settings(Struct, frozen=True, kw_only=True):
    """What the command line and the environment ask for."""

    namespace: str
    identity: str
    listen: Address
    health: Address
    serving_names: tuple[str, ...]
    audience: str
    certificate: Path | None
    times: Times
    sidecar: Options


def read_settings(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Settings:
    """Read the flags; exits with status 0 for --help and --version. Raises SettingsError."""
    parser = _parser()
    given = parser.parse_args(
        [*from_environment(parser, os.environ if environment is None else environment), *arguments]
    )
    service = f"{PROGRAM}.{given.namespace}.svc"
    return Settings(
        namespace=given.namespace,
        identity=given.identity,
        listen=given.listen,
        health=given.health,
        serving_names=(service, f"{service}.cluster.local", *given.serving_name),
        audience=given.audience,
        certificate=given.certificate,
        times=Times(
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
        description="Keeps TcpServices in line in a cluster, and tells sidecars of replicas and policies.",
        epilog=_EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    times = Times()

    def add(flag: str, metavar: str, kind: Callable[[str], Any], default: Any, words: str, shown: str = "") -> None:
        text = f"{words} (default {shown or default})"
        parser.add_argument(flag, metavar=metavar, type=argument(kind), default=default, help=text)

    parser.add_argument("--version", action="version", version=f"{PROGRAM} {tcpservice.__version__}")
    add("--namespace", "NAME", str, "tcpservice-system", "where the operator keeps its Lease and its authority")
    add("--identity", "TEXT", str, f"{socket.gethostname()}-{os.getpid()}",
        "what this copy calls itself in the Lease", "host and process id")  # fmt: skip
    add("--listen", "HOST:PORT", _listen, Address("*", 15810), "HTTPS for sidecars; host *: all addresses")
    add("--health", "HOST:PORT", _listen, Address("*", 15811), "plain HTTP: /livez, /readyz and /metrics")
    parser.add_argument(
        "--serving-name", metavar="NAME", action="append", default=[],
        help="a host name or address that sidecars call this operator by, beside those of its Service; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--certificate", metavar="DIR", type=Path, default=None,
        help="a folder with tls.crt, tls.key and ca.crt, as cert-manager keeps them (default: made by the operator)",
    )  # fmt: skip
    add("--audience", "TEXT", str, AUDIENCE, "the audience of sidecars' tokens")
    add("--coalesce", "TIME", _seconds, times.coalesce, "changes within this time are told as one", "100ms")
    add(
        "--heartbeat",
        "TIME",
        _seconds,
        times.heartbeat,
        "silence after which a stream says that nothing changed",
        "10s",
    )
    add("--unread", "TIME", _seconds, times.unread, "how long a sidecar may take nothing until it is cut off", "30s")
    add("--stream-age", "TIME", _seconds, times.age, "after which a sidecar has to show its token anew", "1h")
    add("--streams", "N", parse_count, times.streams, "how many sidecars one copy serves")
    group = add_flags(parser)
    group.add_argument("--sidecar-image", metavar="IMAGE", default=IMAGE, help=f"their image (default {IMAGE})")
    group.add_argument(
        "--sidecar-discovery", metavar="HOST:PORT", default="",
        help="where they find the operator (default: its Service and the port of --listen)",
    )  # fmt: skip
    return parser


def _listen(text: str) -> Address:
    return parse_address(text, lowest=0)


def _seconds(text: str) -> float:
    seconds = parse_duration(text) / 1e9
    if seconds <= 0:
        raise ValueError(f'expected a duration above 0s, got "{text}"')
    return seconds
