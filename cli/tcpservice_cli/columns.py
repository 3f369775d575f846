"""Rows of text in columns, as kubectl prints them: aligned, three spaces apart, no lines between.

Used by `ps` and `traces`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_GAP: Final = "   "


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of the same length as lines, the last one with its line end."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (_GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in lines)
