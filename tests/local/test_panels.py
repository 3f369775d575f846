"""What the screen draws, from plain data: tables in a given width, the journal, keys as terminals send them."""

from __future__ import annotations

import io

import pytest
from rich.console import Console, RenderableType

from tcpservice_cli import panels
from tcpservice_cli.keys import DOWN, ESCAPE, PAGE_UP, TAB, UP, keys_of
from tcpservice_cli.panels import RouteRow, window
from tcpservice_local.control import Replica
from tcpservice_local.figures import Figures
from tcpservice_local.process_log import LogLine

SOME = Figures(messages=100, failed=1, rate=12.4, p50=0.0042, p99=0.21)


def drawn(shown: RenderableType, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(shown)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def row(name: str, state: str = "ready", **values: object) -> Replica:
    given = {
        "workload": "a",
        "folder": "/",
        "pid": 1,
        "restarts": 0,
        "waiting": 0.0,
        "in_flight": 0,
        "lately": Figures(),
        "failed": 0,
        "sends": False,
    }
    return Replica(name=name, state=state, **{**given, **values})  # type: ignore[arg-type]


def test_a_replica_is_a_line() -> None:
    rows = [row("a-1", restarts=2, in_flight=3, lately=SOME, failed=7), row("a-2", "crashed", pid=None, waiting=9.6)]
    heading, first, second = drawn(panels.replicas(rows, 0, 10, 90), 90)
    assert heading.split() == ["REPLICA", "STATE", "PID", "RESTARTS", "IN", "FLIGHT", "MSG/S", "P50", "P99", "FAILED"]
    assert first.split() == ["▸", "a-1", "ready", "1", "2", "3", "12", "4.2", "ms", "210", "ms", "7"]
    assert second.split() == ["a-2", "crashed", "10s"]


@pytest.mark.parametrize(
    ("width", "headings"),
    [
        (90, "REPLICA STATE PID RESTARTS IN FLIGHT MSG/S P50 P99 FAILED"),
        (80, "REPLICA STATE PID RESTARTS IN FLIGHT MSG/S P99 FAILED"),
        (75, "REPLICA STATE RESTARTS IN FLIGHT MSG/S P99 FAILED"),
        (60, "REPLICA STATE MSG/S P99 FAILED"),
        (40, "REPLICA STATE FAILED"),
    ],
)
def test_where_it_is_narrow_figures_give_way_to_names(width: int, headings: str) -> None:
    heading, line = drawn(panels.replicas([row("orders-10", "not ready", lately=SOME)], 0, 5, width), width)
    assert heading.split() == headings.split()
    assert line.startswith("▸ orders-10")
    assert "not ready" in line


def test_what_a_caller_sends_is_named_so() -> None:
    assert "12 sent" in drawn(panels.replicas([row("web-1", lately=SOME, sends=True)], 0, 5, 80))[1]


def test_routes_show_what_callers_saw() -> None:
    rows = [
        RouteRow(service="orders", route="sum", lately=SOME, ever=SOME),
        RouteRow(service="b", route="", lately=Figures(), ever=SOME),
    ]
    _, first, second = drawn(panels.routes(rows, 5))
    assert first.split() == ["orders", "sum", "100", "12", "4.2", "ms", "210", "ms", "1"]
    assert "(other patterns)" in second


@pytest.mark.parametrize(
    ("count", "selected", "lines", "shown"),
    [(3, 0, 5, range(3)), (10, 0, 4, range(4)), (10, 9, 4, range(6, 10)), (10, 5, 4, range(3, 7)), (0, 0, 3, range(0))],
)
def test_the_selected_row_is_always_in_sight(count: int, selected: int, lines: int, shown: range) -> None:
    assert list(window(count, selected, lines)) == list(shown)


def test_rows_that_have_no_room_are_counted() -> None:
    rows = [row(f"a-{number}") for number in range(10)]
    assert drawn(panels.replicas(rows, 5, 5, 80))[0].startswith("  REPLICA 4-7/10 ")
    assert drawn(panels.replicas(rows, 5, 11, 80))[0].startswith("  REPLICA  ")
    routes = [RouteRow(service="a", route=f"r{number}", lately=SOME, ever=SOME) for number in range(5)]
    assert "ROUTE 1-2/5" in drawn(panels.routes(routes, 3))[0]


def test_the_journal_shows_the_last_lines_and_nothing_that_steers_the_terminal() -> None:
    said = [("a-1", "old"), ("a-1", "\x1b[31mred\x1b[0m\x07 [bold]x[/bold]"), ("", "said"), ("b-1", "y" * 100)]
    entries = [LogLine(number, who, text) for number, (who, text) in enumerate(said)]
    assert drawn(panels.journal(entries, 3, 40), 40)[:3] == ["a-1 | red [bold]x[/bold]", "said", f"b-1 | {'y' * 33}…"]


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        ("kq", ["k", "q"]),
        ("\x1b[A\x1b[B\t", [UP, DOWN, TAB]),
        ("\x1bOAx", [UP, "x"]),
        ("\x1b[5~\x1b[1;5Cq", [PAGE_UP, "q"]),
        ("\x1b", [ESCAPE]),
    ],
)
def test_keys_as_terminals_send_them(sent: str, keys: list[str]) -> None:
    assert list(keys_of(sent)) == keys
