"""The log view of the screen: it follows, scrolls, searches, and shows one replica; and the log that it draws from."""

from __future__ import annotations

import asyncio
import io

import pytest
from rich.console import Console

from tcpservice_cli import keys
from tcpservice_cli.logview import LogView
from tcpservice_local.process_log import KEPT, LONGEST, PROCESSES, WAITING, ProcessLog

REPLICAS = ["a-1", "a-2"]


def log_of(count: int = 20) -> ProcessLog:
    log = ProcessLog()
    for number in range(count):
        log.add(REPLICAS[number % 2], f"line {number}")
    log.add("a-1 sidecar", "is ready")
    return log


def drawn(view: LogView, log: ProcessLog, lines: int = 5) -> list[str]:
    console = Console(file=io.StringIO(), width=80)
    console.print(view.draw(log, lines, 80))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines() if line.strip()]


def press(view: LogView, *pressed: str) -> None:
    for key in pressed:
        assert view.press(key, REPLICAS)


def test_it_follows_the_newest_line() -> None:
    view, log = LogView(), log_of()
    assert drawn(view, log, 3) == ["all replicas  21 lines  newest", "a-2 | line 19", "a-1 sidecar | is ready"]
    log.add("a-1", "and on")
    assert drawn(view, log, 2) == ["all replicas  22 lines  newest", "a-1 | and on"]


def test_lines_stay_where_they_are_while_the_user_has_scrolled() -> None:
    view, log = LogView(), log_of()
    drawn(view, log, 3)
    press(view, keys.UP)
    before = drawn(view, log, 3)
    assert before == ["all replicas  21 lines  1 newer", "a-1 | line 18", "a-2 | line 19"]
    log.add("a-1", "and on")
    assert drawn(view, log, 3)[1:] == before[1:]
    press(view, keys.HOME)
    assert drawn(view, log, 3)[1:] == ["a-1 | line 0", "a-2 | line 1"]
    press(view, keys.PAGE_DOWN)
    assert drawn(view, log, 3)[1:] == ["a-2 | line 1", "a-1 | line 2"]
    press(view, keys.END)
    assert drawn(view, log, 3)[-1] == "a-1 | and on"


def test_one_replica_with_its_sidecar() -> None:
    view, log = LogView(), log_of()
    press(view, "w")
    assert drawn(view, log, 3) == ["a-1  11 lines  newest", "a-1 | line 18", "a-1 sidecar | is ready"]
    press(view, "w", "w")
    assert drawn(view, log, 3)[0].startswith("all replicas")
    view.choose("a-2")
    assert drawn(view, log, 2) == ["a-2  10 lines  newest", "a-2 | line 19"]


def test_a_search_reduces_the_lines() -> None:
    view, log = LogView(), log_of()
    press(view, "/", *"LINE 1x", keys.BACKSPACE)
    assert drawn(view, log, 3)[0] == "all replicas  11 lines  search: LINE 1_  newest"
    press(view, keys.ENTER)
    assert drawn(view, log, 20)[1:] == [f"a-{1 + n % 2} | line {n}" for n in (1, *range(10, 20))]
    press(view, keys.ESCAPE)
    assert "21 lines" in drawn(view, log, 3)[0]


def test_keys_that_mean_nothing_here_are_left_to_the_screen_except_while_a_text_is_typed() -> None:
    view = LogView()
    assert not view.press("q", REPLICAS)
    press(view, "/", "q", keys.TAB)
    assert drawn(view, log_of(), 3)[0] == "all replicas  0 lines  search: q_  newest"


@pytest.mark.parametrize("key", [keys.UP, keys.DOWN, keys.PAGE_UP, keys.HOME, keys.END, "w"])
def test_an_empty_log(key: str) -> None:
    view = LogView()
    press(view, key)
    drawn(view, ProcessLog())
    press(view, key)
    assert drawn(view, ProcessLog())[0].endswith("0 lines  newest")


def test_the_log_is_bounded() -> None:
    log = ProcessLog()
    for number in range(KEPT + 10):
        log.add("a", "x" * (LONGEST + number))
    assert len(log.lines(["a"])) == len(log.recent()) == KEPT
    assert {len(line.text) for line in log.recent()} == {LONGEST}
    for number in range(PROCESSES + 5):
        log.add(f"p-{number}", "hello")
    assert len(log.writers()) == PROCESSES
    assert log.lines(["a"]) == []


def test_a_follower_that_does_not_read_misses_lines_and_holds_nobody_up() -> None:
    async def follow() -> None:
        log = ProcessLog()
        with log.follow() as follower:
            for number in range(WAITING + 7):
                log.add("a", str(number))
            assert (follower.queue.qsize(), follower.missed) == (WAITING, 7)
            log.end()
        log.add("a", "later")
        lines = [follower.queue.get_nowait() for _ in range(follower.queue.qsize())]
        assert [lines[-2] is not None and lines[-2].text, lines[-1]] == [str(WAITING - 1), None]

    asyncio.run(follow())
