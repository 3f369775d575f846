"""`tcpservice restart`: replaces replicas of a running `tcpservice up`, one after the other, as a rollout does."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from tcpservice.spec.units import parse_duration
from tcpservice_flags import argument

if TYPE_CHECKING:
    from tcpservice_local.control import Replica
    from tcpservice_local.control_client import Run

_ASK_S: Final = 0.1
_READY: Final = "ready"
_CRASHED: Final = "crashed"
_EXAMPLES: Final = """\
examples:
  tcpservice restart orders-2           one replica; it starts even if it was stopped
  tcpservice restart orders             all replicas of a Deployment, one after the other
"""


def add_to(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """Add the subcommand and its flags."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "restart",
        help="restart replicas of a running `tcpservice up`",
        description="Restart a replica, or each replica of a Deployment, of a running `tcpservice up`. A replica "
        "takes no new messages, finishes those in flight and ends; the next one follows when the new process is ready.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("name", metavar="NAME", help="a replica or a Deployment")
    add("--timeout", metavar="TIME", type=argument(_seconds), default="60s",
        help="how long to wait for each replica to be ready (default 60s)")  # fmt: skip
    parser.set_defaults(run=run)
    return parser


async def run(given: argparse.Namespace) -> int:
    """Restart; return the exit status. Raises NotThereError."""
    from tcpservice_local.control_client import running, the_one  # it imports much

    up = await the_one(running(), [given.name])
    replicas = (await up.overview()).replicas
    chosen = [each for each in replicas if each.name == given.name]
    for replica in chosen or [each for each in replicas if each.workload == given.name]:
        await up.restart(replica.name)
        pid = await _await_ready(up, replica, given.timeout)
        if pid is None:
            sys.stderr.write(f"{replica.name} does not become ready; see: tcpservice logs {replica.name}\n")
            return 1
        print(f"{replica.name} is ready (pid {pid})", flush=True)
    return 0


async def _await_ready(up: Run, before: Replica, seconds: float) -> int | None:
    """Return the process id of a replica once it is ready with another one; None where that takes too long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        now = next((each for each in (await up.overview()).replicas if each.name == before.name), None)
        if now is not None and now.state == _CRASHED:
            return None
        if now is not None and now.state == _READY and now.pid is not None and now.pid != before.pid:
            return now.pid
        await asyncio.sleep(_ASK_S)
    return None


def _seconds(text: str) -> float:
    return parse_duration(text) / 1e9
