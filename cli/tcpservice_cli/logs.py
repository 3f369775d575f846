"""`tcpservice logs`: what the replicas of a running `tcpservice up` have written, and what they write now."""

from __future__ import annotations

import argparse
import re
import sys
from collections import deque
from typing import Any, Final

from tcpservice_flags import argument, parse_count

_TAIL: Final = 200
_EXAMPLES: Final = """\
examples:
  tcpservice logs                       the last lines of all replicas
  tcpservice logs -f orders             a Deployment's replicas, and their sidecars, as they write
  tcpservice logs orders-2 --tail 1000 --grep 'timeout|refused'
"""


def add_to(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """Add the subcommand and its flags."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "logs",
        help="print the logs of a running `tcpservice up`",
        description="Print what the replicas of a running `tcpservice up` wrote to stdout and stderr, each line with "
        "the name of its replica. `up` keeps the last 2,000 lines of each process.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("names", metavar="NAME", nargs="*", help="a replica or a Deployment (default: all)")
    add("-f", "--follow", action="store_true", help="keep printing new lines until Ctrl-C")
    add("--tail", metavar="N", type=argument(parse_count), default=_TAIL, help=f"how many lines (default {_TAIL})")
    add("--grep", metavar="REGEX", type=argument(_expression), default=None, help="only lines that match")
    parser.set_defaults(run=run)
    return parser


async def run(given: argparse.Namespace) -> int:
    """Print; return the exit status. Raises NotThereError."""
    from tcpservice_cli.plaintext import plain  # what follows imports much, and `tcpservice send` should start at once
    from tcpservice_local.control import END
    from tcpservice_local.control_client import running, the_one

    up = await the_one(running(), given.names)
    tail = given.tail if given.grep is None else None  # else the last lines of those that match
    before: deque[str] | None = deque(maxlen=given.tail)
    async for line in up.logs(given.names, tail=tail, follow=given.follow):
        shown = f"{line.who} | {plain(line.text)}" if line.who else plain(line.text)
        if line == END and before is not None:
            _print(*before)
            before = None
        elif given.grep is not None and not given.grep.search(shown):
            continue
        elif before is not None:
            before.append(shown)
        else:
            _print(shown)
    return 0


def _print(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def _expression(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise ValueError(f'"{text}" is not a regular expression: {error}') from None
