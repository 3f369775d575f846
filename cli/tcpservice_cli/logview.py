"""The view of the logs: all lines or those of one replica, scrolled, and reduced to those that have a text.

Used by `screen`. It follows the newest line until the user scrolls; then the lines stay where they are as others come.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from tcpservice_cli import keys, panels
from tcpservice_local.pod import SIDECAR
from tcpservice_local.process_log import LogLine, ProcessLog

_ALL: Final = ""
_STEPS: Final = {keys.UP: -1, keys.DOWN: 1}
_PAGES: Final = {keys.PAGE_UP: -1, keys.PAGE_DOWN: 1}
_LONGEST_SEARCH: Final = 200


class LogView:
    """Which lines are shown: of which replica, with which text, up to which line."""

    def __init__(self) -> None:
        self._replica = _ALL
        self._search = ""
        self._typing = False
        self._last: int | None = None
        self._lines = 1
        self._shown: list[LogLine] = []

    def choose(self, replica: str) -> None:
        """Show the lines of one replica and its sidecar."""
        self._replica, self._last = replica, None

    def press(self, key: str, replicas: Sequence[str]) -> bool:
        """Do what a key says; False where it means nothing here. While a text is typed, all keys belong to it."""
        if self._typing:
            self._type(key)
        elif key in _STEPS:
            self._scroll(_STEPS[key])
        elif key in _PAGES:
            self._scroll(_PAGES[key] * max(1, self._lines - 1))
        elif key == keys.HOME:
            self._scroll(-len(self._shown))
        elif key == keys.END:
            self._last = None
        elif key == "/":
            self._typing, self._search = True, ""
        elif key == keys.ESCAPE:
            self._search, self._last = "", None
        elif key == "w":
            names = [_ALL, *replicas]
            at = names.index(self._replica) if self._replica in names else 0
            self.choose(names[(at + 1) % len(names)])
        else:
            return False
        return True

    def draw(self, log: ProcessLog, lines: int, width: int) -> RenderableType:
        """Draw what is shown, and below it the lines."""
        self._lines = max(1, lines - 1)
        every = log.recent() if self._replica == _ALL else log.lines([self._replica, f"{self._replica}{SIDECAR}"])
        wanted = self._search.lower()
        self._shown = [line for line in every if wanted in f"{line.who} | {line.text}".lower()] if wanted else every
        end = self._end()
        first = self._shown[:end]
        return Group(self._heading(len(self._shown) - end), panels.journal(first, self._lines, width, self._search))

    def _heading(self, newer: int) -> Text:
        parts = [self._replica or "all replicas", f"{len(self._shown):,} line{'s' if len(self._shown) != 1 else ''}"]
        if self._typing or self._search:
            parts.append(f"search: {self._search}{'_' if self._typing else ''}")
        parts.append(f"{newer:,} newer" if newer else "newest")
        return Text("  ".join(parts), "dim", no_wrap=True, overflow="ellipsis")

    def _end(self) -> int:
        """Return how many of the lines are shown or stand above those that are."""
        if self._last is None:
            return len(self._shown)
        return sum(line.number <= self._last for line in self._shown)

    def _scroll(self, step: int) -> None:
        count = len(self._shown)
        end = max(min(self._lines, count), min(count, self._end() + step))
        self._last = None if end >= count else self._shown[end - 1].number

    def _type(self, key: str) -> None:
        if key == keys.ENTER:
            self._typing = False
        elif key == keys.ESCAPE:
            self._typing, self._search = False, ""
        elif key == keys.BACKSPACE:
            self._search = self._search[:-1]
        elif len(key) == 1 and key.isprintable() and len(self._search) < _LONGEST_SEARCH:
            self._search += key
        self._last = None
