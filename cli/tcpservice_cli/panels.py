"""The parts of the screen of `tcpservice up`, each made from plain data: tables, the journal, the line of keys.

Used by `screen`. A part is told how many lines it has, and shows what matters most in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct
from rich.table import Table
from rich.text import Text

from tcpservice_cli.plaintext import plain
from tcpservice_cli.times import milliseconds
from tcpservice_local.control import Replica
from tcpservice_local.figures import Figures
from tcpservice_local.pod import CRASHED, LEAVING, NOT_READY, PAUSED, READY, STARTING, STOPPED
from tcpservice_local.process_log import LogLine
from tcpservice_traces import Summary

_STATES: Final = {
    READY: "green", STARTING: "yellow", NOT_READY: "yellow", PAUSED: "magenta", CRASHED: "bold red", LEAVING: "cyan",
    STOPPED: "dim",
}  # fmt: skip
_REPLICA_COLUMNS: Final = (
    "1 REPLICA", "12 STATE", ">7 PID", ">8 RESTARTS", ">9 IN FLIGHT", ">8 MSG/S", ">7 P50", ">7 P99", ">6 FAILED",
)  # fmt: skip
_LEAST_WIDTH: Final = {"P50": 90, "PID": 80, "RESTARTS": 72, "IN FLIGHT": 62, "P99": 52, "MSG/S": 44}
"""From which width on a figure is shown; name, state and failures always are."""

_WHO: Final = ("cyan", "green", "yellow", "blue", "magenta", "bright_cyan", "bright_green", "bright_yellow")


class RouteRow(Struct, frozen=True, kw_only=True):
    """One route as its callers see it."""

    service: str
    route: str
    lately: Figures
    ever: Figures


def window(count: int, selected: int, lines: int) -> range:
    """Return which of `count` rows to show in so many lines, so that the selected one is among them."""
    first = max(0, min(selected - lines // 2, count - lines))
    return range(first, min(count, first + max(lines, 1)))


def replicas(rows: Sequence[Replica], selected: int, lines: int, width: int) -> Table:
    """Make the table of the replicas; the selected one is marked. Where it is narrow, figures give way to names."""
    left_out = {heading for heading, least in _LEAST_WIDTH.items() if width < least}
    shown_rows = window(len(rows), selected, lines - 1)
    columns = [column for column in _REPLICA_COLUMNS if column.partition(" ")[2] not in left_out]
    table = _table(columns[0] + _part(shown_rows, len(rows)), *columns[1:])
    for at in shown_rows:
        row = rows[at]
        state = f"{row.state} {row.waiting:.0f}s" if row.state == CRASHED and row.waiting else row.state
        cells: dict[str, str | Text] = {
            "REPLICA": Text(("▸ " if at == selected else "  ") + row.name, "bold" if at == selected else ""),
            "STATE": Text(state, _STATES.get(row.state, "")),
            "PID": "" if row.pid is None else str(row.pid),
            "RESTARTS": str(row.restarts) if row.restarts else "",
            "IN FLIGHT": str(row.in_flight) if row.in_flight else "",
            "MSG/S": Text(_rate(row.lately) + (" sent" if row.sends and row.lately.rate else "")),
            "P50": milliseconds(row.lately.p50),
            "P99": milliseconds(row.lately.p99),
            "FAILED": _failed(row.failed),
        }
        shown = [cell for heading, cell in cells.items() if heading not in left_out]
        table.add_row(*shown, style="on grey19" if at == selected else "")
    return table


def routes(rows: Sequence[RouteRow], lines: int) -> Table:
    """Make the table of the routes: what callers see."""
    part = _part(range(min(len(rows), lines - 1)), len(rows))
    table = _table("1 SERVICE", "2 ROUTE" + part, ">9 MESSAGES", ">8 MSG/S", ">7 P50", ">7 P99", ">6 FAILED")
    for row in rows[: lines - 1]:
        table.add_row(
            "  " + row.service,
            row.route or Text("(other patterns)", "dim"),
            f"{row.ever.messages:,}",
            _rate(row.lately),
            milliseconds(row.lately.p50),
            milliseconds(row.lately.p99),
            _failed(row.ever.failed),
        )
    return table


def traces(rows: Sequence[Summary], selected: int, lines: int) -> Table:
    """Make the table of the recent traces; the selected one is marked."""
    shown_rows = window(len(rows), selected, lines - 1)
    table = _table("2 TRACE" + _part(shown_rows, len(rows)), "3 FROM", "4 ROUTE", ">8 TIME", ">5 SPANS", "3 ENDED WITH")
    for at in shown_rows:
        row = rows[at]
        table.add_row(
            ("▸ " if at == selected else "  ") + row.trace_id[:8],
            row.journey,
            row.route,
            milliseconds(row.duration_ns / 1e9),
            str(row.spans),
            Text(row.error, "red") if row.error else Text("errors on its way" if row.errors else "", "yellow"),
            style="on grey19" if at == selected else "",
        )
    return table


def journal(entries: Sequence[LogLine], lines: int, width: int, highlighted: str = "") -> Text:
    """Write the last lines of the processes, each with its name in its own colour."""
    text = Text(no_wrap=True, overflow="ellipsis")
    for entry in entries[len(entries) - min(max(lines, 0), len(entries)) :]:
        who = entry.who
        name = f"{who} | " if who else ""
        style = _WHO[sum(who.encode()) % len(_WHO)] if who else "bold"
        shown = Text.assemble((name, style), (plain(entry.text), "" if who else "bold"))
        if highlighted:
            shown.highlight_words([highlighted], "reverse", case_sensitive=False)
        shown.truncate(width, overflow="ellipsis")
        text.append_text(shown).append("\n")
    return text


def keys(pairs: Iterable[tuple[str, str]]) -> Text:
    """Write the line that says which key does what."""
    text = Text(no_wrap=True, overflow="ellipsis")
    for key, what in pairs:
        text.append(key, "bold").append(f" {what}  ", "dim")
    return text


def title(words: str, right: str, width: int) -> Text:
    """Write a heading over the whole width; where it is too narrow, the words on the left are cut."""
    left = Text(words, "bold")
    left.truncate(max(0, width - len(right) - 1), overflow="ellipsis", pad=True)
    return Text.assemble(left, " ", (right, "bold"), no_wrap=True, overflow="crop")


def _table(*columns: str) -> Table:
    """Make a table: a column is its heading after its share of the width (a digit), or its width (`>`: figures)."""
    table = Table(box=None, expand=True, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    for at, column in enumerate(columns):
        size, _, words = column.partition(" ")
        figures = size.startswith(">")
        fixed = int(size[figures:]) if figures or len(size) > 1 else None
        table.add_column(
            ("  " if at == 0 else "") + words,
            justify="right" if figures else "left",
            width=fixed,
            ratio=None if fixed is not None else int(size),
            no_wrap=True,
            overflow="ellipsis",
        )
    return table


def _part(shown: range, count: int) -> str:
    """Say which of the rows are shown, if there is no room for all."""
    return f" {shown.start + 1}-{shown.stop}/{count}" if 0 < len(shown) < count else ""


def _rate(figures: Figures) -> str:
    if not figures.rate:
        return ""
    return f"{figures.rate:,.0f}" if figures.rate >= 10 else f"{figures.rate:.1f}"


def _failed(count: int) -> Text:
    return Text(f"{count:,}", "red") if count else Text("")
