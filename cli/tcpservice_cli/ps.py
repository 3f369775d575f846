"""`tcpservice ps`: the services and replicas of a running `tcpservice up`.

Columns as `kubectl get pods` has them, or JSON for scripts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from tcpservice_cli.columns import columns
from tcpservice_cli.times import milliseconds

if TYPE_CHECKING:
    from tcpservice_local.control import Overview, Replica

_EXAMPLES: Final = """\
examples:
  tcpservice ps
  tcpservice ps -o json | jq -r '.[].replicas[] | select(.state != "ready").name'
"""
_HEADINGS: Final = ("REPLICA", "STATE", "PID", "RESTARTS", "IN FLIGHT", "MSG/S", "P50", "P99", "FAILED")


def add_to(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """Add the subcommand and its flags."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "ps",
        help="list the services and replicas of a running `tcpservice up`",
        description="List the services and replicas of a running `tcpservice up`. Rates and percentiles are those of "
        "the last four seconds, estimated from the histograms of the replica's sidecar. FAILED counts failed attempts "
        "since the start of `up`.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="as a table, or as JSON")
    parser.set_defaults(run=run)
    return parser


async def run(given: argparse.Namespace) -> int:
    """List; return the exit status. Raises NotThereError."""
    import msgspec  # what follows imports much, and `tcpservice send` should start at once

    from tcpservice_local.control_client import overviews, running

    known = await overviews(running())
    if given.output == "json":
        sys.stdout.write(msgspec.json.format(msgspec.json.encode([*known.values()]), indent=2).decode() + "\n")
    else:
        heading = "tcpservice up, process {}\n" if len(known) > 1 else ""
        sys.stdout.write("\n".join(heading.format(up.pid) + render(overview) for up, overview in known.items()))
    return 0


def render(overview: Overview) -> str:
    """Return the tables of one run: services, and replicas."""
    places = [("SERVICE", "ADDRESS"), *((each.name, f"127.0.0.1:{each.port}") for each in overview.addresses)]
    replicas = [_HEADINGS, *map(_cells, overview.replicas)]
    return f"{columns(places)}\n{columns(replicas)}"


def _cells(replica: Replica) -> Sequence[str]:
    lately = replica.lately
    return (
        replica.name,
        f"{replica.state} {replica.waiting:.0f}s" if replica.waiting else replica.state,
        "-" if replica.pid is None else str(replica.pid),
        str(replica.restarts),
        str(replica.in_flight),
        f"{lately.rate:.1f}{' sent' if replica.sends and lately.rate else ''}",
        milliseconds(lately.p50) or "-",
        milliseconds(lately.p99) or "-",
        str(replica.failed),
    )
