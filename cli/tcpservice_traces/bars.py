"""The bar of a row: when it ran, on the time axis that all rows of a trace share.

Used by `lines`. Blocks of eighths place both ends finer than a column; whatever was shorter than that still shows, as
the thinnest block. The thin line around a block is the time on the way to the replica and back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

_EIGHTHS: Final = 8
_HALF: Final = 4
_FROM_LEFT: Final = " ▏▎▍▌▋▊▉█"
_FROM_RIGHT: Final = " ▕▕▐▐▐███"

BLANK, SOLID, THIN = "blank", "solid", "thin"


class Extent(NamedTuple):
    """A stretch of time (ns), or of a bar (eighths of columns)."""

    start: int
    end: int


class Piece(NamedTuple):
    """A part of a bar: its text, and whether it is blank, solid or thin."""

    text: str
    what: str


class Axis:
    """A trace's time over so many columns."""

    def __init__(self, extent: Extent, width: int) -> None:
        self._extent = extent
        self._width = width

    def bar(self, solid: Extent, around: Extent | None = None) -> list[Piece]:
        """Draw what took place when, in exactly the axis's width, with a thin line through the time around it."""
        if self._width == 0:
            return []
        around = around or solid
        block = self._eighths(solid)
        line = self._eighths(Extent(min(solid.start, around.start), max(solid.end, around.end)))
        thin, thick = _drawn(line, _line), _drawn(block, _block)
        before = block.start // _EIGHTHS - line.start // _EIGHTHS
        return self._placed(
            line.start // _EIGHTHS,
            [Piece(thin[:before], THIN), Piece(thick, SOLID), Piece(thin[before + len(thick) :], THIN)],
        )

    def mark(self, at: int, sign: str) -> list[Piece]:
        """Draw a sign of one column at a moment (ns)."""
        if self._width == 0:
            return []
        return self._placed(self._eighths(Extent(at, at)).start // _EIGHTHS, [Piece(sign, SOLID)])

    def _placed(self, column: int, pieces: list[Piece]) -> list[Piece]:
        rest = self._width - column - sum(len(piece.text) for piece in pieces)
        placed = [Piece(" " * column, BLANK), *pieces, Piece(" " * rest, BLANK)]
        return [piece for piece in placed if piece.text]

    def _eighths(self, extent: Extent) -> Extent:
        """Return where a stretch is drawn, at least one eighth long; by integers, as nanoseconds exceed a float's."""
        whole = self._width * _EIGHTHS
        length = max(1, self._extent.end - self._extent.start)
        start = (extent.start - self._extent.start) * whole // length
        end = -((self._extent.start - extent.end) * whole // length)
        start = max(0, min(start, whole - 1))
        return Extent(start, max(start + 1, min(end, whole)))


def _drawn(extent: Extent, glyph: Callable[[int, int], str]) -> str:
    """Draw a stretch of eighths: its first column, the whole ones between, its last."""
    first, last = extent.start // _EIGHTHS, (extent.end - 1) // _EIGHTHS
    left, right = extent.start - first * _EIGHTHS, extent.end - last * _EIGHTHS
    if first == last:
        return glyph(left, right)
    return glyph(left, _EIGHTHS) + glyph(0, _EIGHTHS) * (last - first - 1) + glyph(0, right)


def _block(left: int, right: int) -> str:
    """Return the block that comes closest; there are few that touch the right side, and none that touch neither."""
    if left == 0 or left + right < _EIGHTHS:
        return _FROM_LEFT[right - left]
    return _FROM_RIGHT[right - left]


def _line(left: int, right: int) -> str:
    if left >= _HALF:
        return "╺"
    return "╸" if right <= _HALF else "━"
