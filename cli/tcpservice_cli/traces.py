"""`tcpservice traces`: the recent traces of a running `tcpservice up`, as a list, or one of them as a tree."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from typing import TYPE_CHECKING, Any, Final

from tcpservice_cli.columns import columns
from tcpservice_cli.times import milliseconds
from tcpservice_flags import argument, parse_count
from tcpservice_local.registry import NotThereError

if TYPE_CHECKING:
    from tcpservice_traces import Trace

_LISTED: Final = 20
_WIDTH: Final = 120
_EXAMPLES: Final = """\
examples:
  tcpservice traces                     the last 20
  tcpservice traces --failed            those in which something failed
  tcpservice traces 4bf92f35            one trace, with its messages
"""


def add_to(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """Add the subcommand and its flags."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "traces",
        help="print the recent traces of a running `tcpservice up`",
        description="List the recent traces of a running `tcpservice up`, newest first, or print one as a tree with "
        "the request and the reply. `up` keeps 200 traces, and those with failures longer.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "trace",
        metavar="ID",
        type=argument(_digits),
        nargs="?",
        default=None,
        help="the first digits of the ID of a trace",
    )
    add("--failed", action="store_true", help="only traces in which a message or an attempt failed")
    add("--limit", metavar="N", type=argument(parse_count), default=_LISTED,
        help=f"how many to list (default {_LISTED})")  # fmt: skip
    add("-o", "--output", choices=("text", "json"), default="text", help="as text, or as JSON")
    parser.set_defaults(run=run)
    return parser


async def run(given: argparse.Namespace) -> int:
    """Print; return the exit status. Raises NotThereError."""
    import msgspec  # what follows imports much, and `tcpservice send` should start at once

    from tcpservice_local.control_client import overviews, running

    runs = [*await overviews(running())]  # without those that do not answer
    if given.trace is None:
        every = [trace for up in runs for trace in await up.traces(failed=given.failed)]
        traces = sorted(every, key=lambda trace: trace.since, reverse=True)[: given.limit]
        shown = _list(traces)
    else:
        found, why = [], NotThereError("")
        for up in runs:
            try:
                found.append(await up.trace(given.trace))
            except NotThereError as error:
                why = error
        if not found:
            raise why
        if len({trace.trace_id for trace in found}) > 1:
            raise NotThereError(f"several traces begin with {given.trace}; give more digits")
        traces, shown = found[:1], _tree(found[0])
    if given.output == "json":
        shown = msgspec.json.format(msgspec.json.encode(traces), indent=2).decode() + "\n"
    elif not traces:
        shown = (
            "nothing has failed in the traces that are kept\n" if given.failed else "no traces yet: send a message\n"
        )
    sys.stdout.write(shown)
    return 0


def _digits(text: str) -> str:
    if not re.fullmatch("[0-9A-Fa-f]{1,32}", text):
        raise ValueError(f'expected the first digits of a trace ID such as 4bf92f35, got "{text}"')
    return text


def _list(traces: list[Trace]) -> str:
    from tcpservice_traces import summary_of

    rows = [("TRACE", "FROM", "ROUTE", "TIME", "SPANS", "ENDED WITH")]
    for trace in traces:
        summary = summary_of(trace)
        ended = summary.error or ("failed attempts" if summary.errors else "ok")
        took = milliseconds(summary.duration_ns / 1e9)
        rows.append((summary.trace_id[:8], summary.journey, summary.route, took, str(summary.spans), ended))
    return columns(rows)


def _tree(trace: Trace) -> str:
    from tcpservice_traces import messages, plain, render

    width = shutil.get_terminal_size((_WIDTH, 0)).columns
    return "".join(f"{plain(line)}\n" for line in [*render(trace, width), *messages(trace, width)])
