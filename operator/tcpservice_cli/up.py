"""`tcpservice up`: runs the manifests of the cluster here, as local processes, each replica with its own sidecar.

On a terminal it is a live screen with keys, elsewhere lines. Whatever ends it, nothing that it started is left.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol

from tcpservice.spec.units import parse_duration
from tcpservice_cli.lines import Lines
from tcpservice_cli.screen import Screen
from tcpservice_cli.summary import summary
from tcpservice_local.addresses import NoPortError
from tcpservice_local.local import Asked, Local
from tcpservice_local.manifests import Refused

WRONG: Final = 2
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_EXAMPLES: Final = """\
examples:
  tcpservice up -f k8s/                                   all manifests of a folder
  tcpservice up -f orders.yaml -f web.yaml --replicas orders=5
  tcpservice up -f k8s/ --port orders=4001 --for 30s

Deployments run as processes of this machine: their command in the manifest's folder, or in the one above it that has
the script; with PORT for the port to listen on, and NAME_SERVICE_HOST and NAME_SERVICE_PORT for each service to dial.
Where a Deployment leaves the command to its image, annotate it: tcpservice.dev/local-command: "node dist/main.js".
"""


class View(Protocol):
    """What shows a run."""

    def told(self, who: str, line: str) -> None:
        """Take a line that a process wrote."""

    def said(self, text: str) -> None:
        """Take what the run has to say."""

    def changed(self) -> None:
        """Take note that a replica's state is another."""

    async def show(self, local: Local, ended: asyncio.Event) -> None:
        """Show the run until it is ended."""


def add_to(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """Add the subcommand and its flags."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "up",
        help="run manifests here: each replica a process with its own sidecar, no cluster needed",
        description="Run TcpService and Deployment manifests as processes of this machine, each replica with its own "
        "sidecar. Each service is then at 127.0.0.1:<its port>. Changes of the files are taken in.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("-f", "--file", metavar="PATH", type=Path, action="append", required=True,
        help="manifests: a file, or a folder of .yaml files; may be repeated")  # fmt: skip
    add("--replicas", metavar="NAME=N", type=_checked(_number), action="append", default=[],
        help="so many replicas of a Deployment, whatever its manifest says; may be repeated")  # fmt: skip
    add("--port", metavar="NAME=N", type=_checked(_number), action="append", default=[],
        help="the port on 127.0.0.1 for a service, instead of its own; may be repeated")  # fmt: skip
    add("--for", metavar="TIME", dest="duration", type=_checked(_seconds), default=None,
        help="end after this time, such as 30s")  # fmt: skip
    add("--plain", action="store_true", help="lines instead of the screen, on a terminal, too")
    parser.set_defaults(run=run)
    return parser


async def run(given: argparse.Namespace) -> int:
    """Run manifests until they are to end; return the exit status."""
    view: View = Lines() if given.plain or not (sys.stdout.isatty() and sys.stdin.isatty()) else Screen()
    asked = Asked(paths=tuple(given.file), replicas=dict(given.replicas), ports=dict(given.port))
    try:
        with _signals() as ended:
            async with Local(asked, view.told, view.said, view.changed) as local:
                if given.duration is not None:
                    asyncio.get_running_loop().call_later(given.duration, ended.set)
                await view.show(local, ended)
                await local.measure()
                report = summary(local)
    except (Refused, NoPortError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return WRONG
    print(report, flush=True)
    return 0


@contextlib.contextmanager
def _signals() -> Iterator[asyncio.Event]:
    """Give an event that is set by Ctrl-C and its like."""
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, ended.set)
    try:
        yield ended
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def _checked(parse: Callable[[str], object]) -> Callable[[str], object]:
    """Let argparse show a ValueError's own words."""

    def convert(text: str) -> object:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def _number(text: str) -> tuple[str, int]:
    name, equals, number = text.partition("=")
    if not equals or not name or not number.isdecimal() or int(number) > 65_535:
        raise ValueError(f'expected NAME=N such as orders=3, got "{text}"')
    return name, int(number)


def _seconds(text: str) -> float:
    return parse_duration(text) / 1e9
