"""`tcpservice up`: runs the manifests of the cluster here, as local processes, each replica with its own sidecar.

On a terminal it is a live screen with keys, elsewhere lines. Whatever ends it, nothing that it started is left.
"""

from __future__ import annotations

import argparse
from typing import Any, Final

from tcpservice.spec.units import parse_duration
from tcpservice_cli.manifest_flags import add_manifests
from tcpservice_flags import MAX_PORT, argument

_MOST_REPLICAS: Final = 1000
_EXAMPLES: Final = """\
examples:
  tcpservice up -f k8s/                                   all manifests of a folder
  tcpservice up -f orders.yaml -f web.yaml --replicas orders=5
  tcpservice up -f k8s/ --port orders=4001 --for 30s
  tcpservice up -k k8s/overlays/dev                       what kustomize builds
  helm template . | tcpservice up -f -                    what another program prints

In another terminal, `tcpservice ps`, `logs`, `traces`, `restart` and `send` find what `up` runs.

A command runs in the folder of its manifest, or in the nearest folder above it that has the script. The app must listen
on the port in PORT. Each named container port has a variable, too: http is HTTP_PORT, nestjs is NESTJS_PORT.
NAME_SERVICE_HOST and NAME_SERVICE_PORT are the address of each service. If a container has no command, annotate the
Deployment with one:
tcpservice.dev/local-command: "node dist/main.js".
"""


def add_to(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """Add the subcommand and its flags."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "up",
        help="run manifests here: each replica a process with its own sidecar, no cluster needed",
        description="Run TcpService and Deployment manifests as processes on this machine, each replica with its own "
        "sidecar. Each service has an address on 127.0.0.1, which `up` prints. `up` applies changes to the files.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_manifests(parser)
    add = parser.add_argument
    add("--replicas", metavar="NAME=N", type=argument(_number), action="append", default=[],
        help="number of replicas of a Deployment, instead of its manifest's; may be repeated")  # fmt: skip
    add("--port", metavar="NAME=PORT", type=argument(_port), action="append", default=[],
        help="port of a service on 127.0.0.1, instead of its own; may be repeated")  # fmt: skip
    add("--inspect", metavar="NAME", action="append", default=[],
        help="run a Deployment's replicas with Node's debugger, each on its own port; may be repeated")  # fmt: skip
    add("--for", metavar="TIME", dest="duration", type=argument(_seconds), default=None,
        help="end after this time, such as 30s")  # fmt: skip
    add("--plain", action="store_true", help="print lines instead of the screen")
    parser.set_defaults(run=run)
    return parser


async def run(given: argparse.Namespace) -> int:
    """Run manifests until they are to end; return the exit status."""
    from tcpservice_cli.running import run_manifests  # it brings much, and `tcpservice send` should start at once

    return await run_manifests(given)


def _number(text: str) -> tuple[str, int]:
    name, equals, number = text.partition("=")
    if not equals or not name or not number.isdecimal() or int(number) > _MOST_REPLICAS:
        raise ValueError(f'expected NAME=N such as orders=3, with N from 0 to {_MOST_REPLICAS}, got "{text}"')
    return name, int(number)


def _port(text: str) -> tuple[str, int]:
    name, equals, port = text.partition("=")
    if not equals or not name or not port.isdecimal() or not 0 < int(port) <= MAX_PORT:
        raise ValueError(f'expected NAME=PORT such as orders=3001, with a port from 1 to {MAX_PORT}, got "{text}"')
    return name, int(port)


def _seconds(text: str) -> float:
    try:
        return parse_duration(text) / 1e9
    except ValueError:
        raise ValueError(f'expected a duration such as 30s or 5m, got "{text}"') from None
