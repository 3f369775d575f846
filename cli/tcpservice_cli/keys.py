"""Keys as they are pressed, without Enter, from a terminal.

Used by `screen`. Arrows and the like come as escape sequences, of which only those listed here are known; the
terminal is as it was afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from typing import Final

UP: Final = "up"
DOWN: Final = "down"
LEFT: Final = "left"
RIGHT: Final = "right"
TAB: Final = "tab"
PAGE_UP: Final = "page up"
PAGE_DOWN: Final = "page down"
HOME: Final = "home"
END: Final = "end"
ENTER: Final = "enter"
ESCAPE: Final = "escape"
BACKSPACE: Final = "backspace"
_SEQUENCES: Final = {
    "\x1b[A": UP, "\x1b[B": DOWN, "\x1b[C": RIGHT, "\x1b[D": LEFT, "\t": TAB, "\x1b[5~": PAGE_UP, "\x1b[6~": PAGE_DOWN,
    "\x1b[H": HOME, "\x1b[1~": HOME, "\x1b[F": END, "\x1b[4~": END, "\r": ENTER, "\n": ENTER, "\x1b": ESCAPE,
    "\x7f": BACKSPACE, "\b": BACKSPACE,
}  # fmt: skip
_KEY: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z~]|\x1bO.|.", re.DOTALL)


def keys_of(text: str) -> Iterator[str]:
    """Give the keys in what a terminal sent: their names, or the characters themselves."""
    for match in _KEY.finditer(text):
        sent = match[0].replace("\x1bO", "\x1b[")
        if sent in _SEQUENCES or not sent.startswith("\x1b"):
            yield _SEQUENCES.get(sent, sent)


@contextlib.contextmanager
def pressed(on_key: Callable[[str], None]) -> Iterator[None]:
    """Give each key to `on_key` as long as the context lasts."""
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    loop = asyncio.get_running_loop()

    def read() -> None:
        data = os.read(terminal, 1024)
        if not data:
            loop.remove_reader(terminal)
        for key in keys_of(data.decode("utf-8", "replace")):
            on_key(key)

    tty.setcbreak(terminal)
    loop.add_reader(terminal, read)
    try:
        yield
    finally:
        loop.remove_reader(terminal)
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
