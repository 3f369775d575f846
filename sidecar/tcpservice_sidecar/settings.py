"""The flags of `tcpservice-sidecar`, also read from `TCPSERVICE_*`.

Used by `app`. What is wrong is one line that names the flag and says what is expected; the exit status is then 2. In a
pod that holds only for what the sidecar cannot serve without: a native sidecar that does not start stops its whole pod.
What is not essential is then a warning, and the default holds.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

import tcpservice
from tcpservice import implementation
from tcpservice.exchange import Bounds
from tcpservice.snapshot import SECOND
from tcpservice.spec.units import parse_duration, parse_quantity
from tcpservice_flags import (
    Address,
    Parser,
    SettingsError,
    argument,
    from_environment,
    parse_address,
    parse_count,
    parse_port,
)
from tcpservice_sidecar.addresses import Named, Upstream, parse_named, parse_upstream
from tcpservice_sidecar.memory import memory_limit
from tcpservice_sidecar.telemetry.variables import Telemetry, WrongVariable, read_telemetry

T = TypeVar("T")

PROGRAM: Final = "tcpservice-sidecar"
TOKEN: Final = Path("/var/run/secrets/tcpservice.dev/token")
_IN_POD: Final = "KUBERNETES_SERVICE_HOST"
"""The variable that every container in a pod has, and nothing else."""

_LEAST_MEMORY: Final = 16 << 20
_MOST_PAYLOAD: Final = 16 * 1024
"""So that a full queue of spans stays small beside the sidecar's memory."""
_LOG_FORMATS: Final = ("auto", "human", "json")
AUTHORITY: Final = Path("/var/run/secrets/tcpservice.dev/ca/ca.crt")

_DESCRIPTION = """\
Balances the messages of NestJS's TCP transport over replicas, one by one.

  tcpservice-sidecar --upstream orders=10.0.0.1:3001,10.0.0.2:3001 --listen orders=127.0.0.1:3001
  tcpservice-sidecar --file orders.yaml --listen orders=127.0.0.1:3001 --admin 127.0.0.1:9901
"""

_EPILOG = """\
Durations are written as 250ms, 5s or 1h30m, sizes as 64Mi or 500k. Each flag can be given as an environment variable,
TCPSERVICE_ and its name (TCPSERVICE_PROBE_AFTER=10s); those that may be repeated take several values separated by
spaces. If the standard variable OTEL_EXPORTER_OTLP_ENDPOINT is set, the sidecar exports traces and metrics there.
SIGTERM drains the sidecar without loss. SIGUSR1 makes it read its files at once.
"""


class Discovery(Struct, frozen=True, kw_only=True):
    """Where the operator is, how it is known, and what is done while it is silent; times are nanoseconds.

    `mesh_port` and `domain` are what a name server cannot tell: where sidecars listen, and how the cluster is called.
    """

    address: Address
    token: Path
    authority: Path
    silence: int
    again: int
    mesh_port: int
    domain: str


class Settings(Struct, frozen=True, kw_only=True):
    """What the command line and the environment ask for.

    `memory` is how many bytes the process may use. `ignored` says what was wrong and not essential, in a pod.
    """

    files: tuple[Path, ...] = ()
    upstreams: tuple[Upstream, ...] = ()
    listen: tuple[Named, ...] = ()
    front: tuple[Named, ...] = ()
    mesh: Address | None = None
    apps: tuple[Named, ...] = ()
    admin: Address | None = None
    hook_key: str = ""
    pod_address: str = ""
    grace: int = 0
    discovery: Discovery | None = None
    log_format: str = "auto"
    memory: int = 0
    bounds: Bounds = Bounds()
    telemetry: Telemetry = Telemetry()
    ignored: tuple[str, ...] = ()


def _parse_payload(text: str) -> int:
    size = parse_quantity(text)
    if size > _MOST_PAYLOAD:
        raise ValueError(f"expected at most 16Ki, got {text}")
    return size


class _Bound(Struct, frozen=True):
    field: str
    parse: Callable[[str], int]
    kind: str
    help: str


_BOUNDS: Final = (
    _Bound("connections", parse_count, "N", "maximum number of connections of callers; the sidecar refuses more"),
    _Bound("pending", parse_count, "N", "pending requests; above it, the one without a response for longest fails"),
    _Bound("request_bytes", parse_quantity, "SIZE", "bytes of messages; above it, the sidecar stops reading callers"),
    _Bound("partial_bytes", parse_quantity, "SIZE", "bytes of unfinished frames; above it, large ones take turns"),
    _Bound("unsent_bytes", parse_quantity, "SIZE", "unread replies; above it, endpoints of slow readers are throttled"),
    _Bound("downstream_requests", parse_count, "N", "pending requests of one caller; above, it is not read from"),
    _Bound("downstream_bytes", parse_quantity, "SIZE", "bytes of one caller's messages; above, it is not read from"),
    _Bound("upstream_backlog", parse_quantity, "SIZE", "unsent bytes of an upstream connection that may get messages"),
    _Bound("queue_timeout", parse_duration, "TIME", "how long a message waits for an endpoint with room"),
    _Bound("unreachable_grace", parse_duration, "TIME", "how long a service is unreachable before its port closes"),
    _Bound("stall", parse_duration, "TIME", "how long a frame may take to arrive, and a caller may read no reply"),
    _Bound("closing_grace", parse_duration, "TIME", "how long a closing connection waits for pending replies"),
    _Bound("probe_after", parse_duration, "TIME", "how long an endpoint that owes replies may be silent"),
    _Bound("probe_timeout", parse_duration, "TIME", "how long a probe may take before the endpoint is ejected"),
    _Bound("connection_idle", parse_duration, "TIME", "how long an idle connection to an endpoint stays open"),
    _Bound("traced_payload", _parse_payload, "SIZE", "bytes of each request and response on spans; they may be secret"),
    _Bound("drain_idle", parse_duration, "TIME", "how long a caller's connection may be idle while the sidecar drains"),
)


_BY_MEMORY: Final = ("request_bytes", "partial_bytes", "unsent_bytes", "downstream_bytes", "connections", "pending")
"""The bounds that follow from the memory that the sidecar may use."""

_CLUSTER: Final[tuple[tuple[str, str, Callable[[str], Any], Any, str, str], ...]] = (
    ("--discovery-token", "PATH", Path, TOKEN, str(TOKEN), "file with the pod's token, read again for each connection"),
    ("--discovery-ca", "PATH", Path, AUTHORITY, str(AUTHORITY), "file with the operator's CA; it may appear later"),
    ("--discovery-silence", "TIME", parse_duration, 30 * SECOND, "30s", "silence of the operator before DNS is used"),
    ("--resolve-every", "TIME", parse_duration, 5 * SECOND, "5s", "time between two DNS lookups"),
    ("--mesh-port", "PORT", parse_port, 15801, "15801", "mesh port of sidecars that DNS returns"),
    ("--cluster-domain", "NAME", str, "cluster.local", "cluster.local", "the domain of the cluster's Services"),
)


def read_settings(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Settings:
    """Read the flags; exits with status 0 for --help and --version. Raises SettingsError."""
    variables = os.environ if environment is None else environment
    _check_implementation(variables.get(implementation.VARIABLE) or "auto")
    ignored: list[str] = []
    in_pod = _IN_POD in variables
    parser = make_parser(ignored if in_pod else None)
    given, unknown = parser.parse_known_args([*from_environment(parser, variables), *arguments])
    if unknown and not in_pod:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    ignored += [f"{flag}: this version of the sidecar does not know it" for flag in unknown]
    memory = given.memory or memory_limit()
    bounds = {each.field: value for each in _BOUNDS if (value := getattr(given, each.field)) is not None}
    settings = Settings(
        files=tuple(given.file),
        upstreams=tuple(given.upstream),
        listen=tuple(given.listen),
        front=tuple(given.front),
        mesh=given.mesh,
        apps=tuple(given.app),
        admin=given.admin,
        hook_key=given.hook_key,
        pod_address=given.pod_address,
        grace=given.grace,
        discovery=_discovery(given),
        log_format=given.log_format,
        memory=memory,
        bounds=replace(Bounds.for_memory(memory), **bounds),
        telemetry=_telemetry(variables, ignored if in_pod else None),
        ignored=tuple(ignored),
    )
    _check(settings)
    return settings


def _discovery(given: argparse.Namespace) -> Discovery | None:
    if given.discovery is None:
        return None
    return Discovery(
        address=given.discovery,
        token=given.discovery_token,
        authority=given.discovery_ca,
        silence=given.discovery_silence,
        again=given.resolve_every,
        mesh_port=given.mesh_port,
        domain=given.cluster_domain,
    )


def _check_implementation(choice: str) -> None:
    """Check which form of the core is asked for; the choice itself fell when the core was imported."""
    if choice not in implementation.CHOICES:
        raise SettingsError(f"{implementation.VARIABLE}: expected auto, compiled or python, got {choice!r}")
    if choice == implementation.COMPILED != implementation.running():
        raise SettingsError(
            f"{implementation.VARIABLE}: the compiled form was not built; install again where a C compiler is"
        )


def _telemetry(variables: Mapping[str, str], ignored: list[str] | None) -> Telemetry:
    """Read the variables of OpenTelemetry; a wrong one is left out if `ignored` can take the reason."""
    wrong: list[str] = []
    while True:
        try:
            telemetry = read_telemetry({name: value for name, value in variables.items() if name not in wrong})
        except WrongVariable as error:
            if ignored is None:
                raise SettingsError(str(error)) from None
            ignored.append(f"{error}; the default holds")
            wrong.append(error.name)
        else:
            return replace(telemetry, ignored=tuple(wrong))


def _parse_grace(text: str) -> int:
    """Read the pod's grace period: a duration, or any number of seconds, as a pod may have. Raises ValueError."""
    return int(text[:-1]) * SECOND if re.fullmatch("[0-9]{1,18}s", text) else parse_duration(text)


def _parse_memory(text: str) -> int:
    size = parse_quantity(text)
    if size < _LEAST_MEMORY:
        raise ValueError(f"expected at least 16Mi, got {text}")
    return size


def _parse_log_format(text: str) -> str:
    if text not in _LOG_FORMATS:
        raise ValueError(f"expected {', '.join(_LOG_FORMATS[:-1])} or {_LOG_FORMATS[-1]}, got {text!r}")
    return text


def _tolerant(flag: str, parse: Callable[[str], T], default: T, ignored: list[str]) -> Callable[[str], T]:
    """Let a flag that is not essential have its default where its value is wrong."""

    def convert(text: str) -> T:
        try:
            return parse(text)
        except (ValueError, OSError) as error:
            ignored.append(f"{flag}: {error}; the default holds")
            return default

    return convert


def _check(settings: Settings) -> None:
    """Refuse what is well-formed flag by flag, but not as a whole."""
    if bool(settings.files) == bool(settings.upstreams):
        raise SettingsError("give either --file PATH (manifests) or --upstream NAME=HOST:PORT,... (no manifests)")
    if settings.discovery is not None and not settings.files:
        raise SettingsError("--discovery needs --file PATH: the services to begin with, until the operator has spoken")
    if bool(settings.mesh) != bool(settings.apps):
        raise SettingsError("--mesh HOST:PORT and --app NAME=HOST:PORT need each other")
    if not settings.listen and not settings.front and settings.mesh is None:
        raise SettingsError("nothing to do: give --listen NAME=HOST:PORT, or --mesh and --app")
    _check_unique("--upstream", [upstream.name for upstream in settings.upstreams])
    _check_unique("--app", [named.name for named in settings.apps])
    bound = [("--listen", named.address) for named in settings.listen]
    bound += [("--front", named.address) for named in settings.front]
    bound += [("--mesh", settings.mesh)] if settings.mesh else []
    bound += [("--admin", settings.admin)] if settings.admin else []
    for place, (flag, address) in enumerate(bound):
        other = next((flag for flag, earlier in bound[:place] if earlier == address and address.port), None)
        if other is not None:
            raise SettingsError(f"{flag}: the address {address} is already given to {other}")


def _check_unique(flag: str, names: list[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SettingsError(f"{flag}: the name {twice} is given twice")


def make_parser(ignored: list[str] | None = None) -> Parser:
    """Make the parser. `ignored` takes what is wrong with flags that are not essential; None: that is an error, too."""

    def optional(flag: str, parse: Callable[[str], T], default: T) -> Callable[[str], T]:
        return argument(parse) if ignored is None else _tolerant(flag, parse, default, ignored)

    parser = Parser(
        prog=PROGRAM,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--version", action="version", version=f"{PROGRAM} {tcpservice.__version__} ({implementation.running()})")
    add("--file", metavar="PATH", type=Path, action="append", default=[],
        help="TcpService and EndpointSlice manifests: a file, or a folder of .yaml files; may be repeated; "
        "the sidecar applies changes")  # fmt: skip
    add("--upstream", metavar="NAME=HOST:PORT,...", type=argument(parse_upstream), action="append", default=[],
        help="a service and its replicas, instead of manifests; host names are resolved periodically")  # fmt: skip
    add("--listen", metavar="NAME=HOST:PORT", type=argument(lambda text: parse_named(text, lowest=0)),
        action="append", default=[],
        help="accept callers of a service at this address; host *: all addresses, port 0: any free port; "
        "may be repeated")  # fmt: skip
    add("--front", metavar="NAME=HOST:PORT", type=argument(lambda text: parse_named(text, lowest=0)),
        action="append", default=[],
        help="the same for callers without a sidecar; traces have a span for such a caller")  # fmt: skip
    add("--mesh", metavar="HOST:PORT", type=argument(lambda text: parse_address(text, lowest=0)),
        help="accept other sidecars at this address; their messages go to the pod's own app")  # fmt: skip
    add("--app", metavar="NAME=HOST:PORT", type=argument(parse_named), action="append", default=[],
        help="address of the pod's own app, and the service that it serves; may be repeated")  # fmt: skip
    add("--admin", metavar="HOST:PORT", type=argument(lambda text: parse_address(text, lowest=0)),
        help="serve /livez /readyz /app/readyz /metrics /snapshot /leave /gate /drain here")  # fmt: skip
    add("--hook-key", metavar="TEXT", type=str, default="",
        help="key that /leave, /gate and /drain require in the header X-TcpService-Key, and /snapshot from other hosts "
        "(default: no key; /leave, /gate and /drain require POST)")  # fmt: skip
    add("--pod-address", metavar="ADDRESS", type=str, default="",
        help="this pod's address; the sidecar tries it, too, if an --app at localhost refuses")  # fmt: skip
    add("--grace", metavar="TIME", type=optional("--grace", _parse_grace, 0), default=0,
        help="grace period of the pod; /gate leaves the app the last quarter of it, or the last 5s if that is less "
        "(default: drain.timeout and drain.streamTimeout of the manifests)")  # fmt: skip
    add("--discovery", metavar="HOST:PORT", type=argument(parse_address),
        help="address of the operator, which sends replicas and policies; --file has the initial state")  # fmt: skip
    add("--log-format", metavar="FORMAT", type=optional("--log-format", _parse_log_format, "auto"), default="auto",
        help="auto, human or json; auto: human on a terminal, json elsewhere")  # fmt: skip
    cluster = parser.add_argument_group("the operator, and what the sidecar does while it is silent")
    for flag, metavar, parse, default, shown, words in _CLUSTER:
        cluster.add_argument(
            flag,
            metavar=metavar,
            type=optional(flag, parse, default),
            default=default,
            help=f"{words} (default {shown})",
        )
    limits = parser.add_argument_group("limits on memory, and timeouts")
    limits.add_argument("--memory", metavar="SIZE", type=optional("--memory", _parse_memory, 0), default=0,
        help="how much memory the sidecar may use (default: the limit of its container, else the machine's memory)",
    )  # fmt: skip
    for bound in _BOUNDS:
        flag = "--" + bound.field.replace("_", "-")
        kind = optional(flag, bound.parse, None)
        limits.add_argument(
            flag, dest=bound.field, metavar=bound.kind, type=kind,
            help=f"{bound.help} (default {_shown(bound)})",
        )  # fmt: skip
    return parser


def _shown(bound: _Bound) -> str:
    if bound.field in _BY_MEMORY:
        return "by --memory"
    value = int(getattr(Bounds(), bound.field))
    if not value:
        return "none"
    if bound.kind == "TIME":
        return f"{value // 1_000_000}ms" if value % 1_000_000_000 else f"{value // 1_000_000_000}s"
    if bound.kind == "SIZE":
        return f"{value // 1024}Ki" if value % (1 << 20) else f"{value >> 20}Mi"
    return str(value)
