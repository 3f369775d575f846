"""Lines of processes without what would steer the terminal: colours, cursors, controls.

Used by `panels` and `lines`.
"""

from __future__ import annotations

from typing import Final

from rich.text import Text

_CONTROLS: Final = dict.fromkeys([*range(32), 127, *range(128, 160)])


def plain(line: str) -> str:
    """Return what a line says."""
    return Text.from_ansi(line.expandtabs(4)).plain.translate(_CONTROLS)
