"""Bars on a shared axis: where they begin and end, what is around them, and that each fills its columns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcpservice_traces.bars import Axis, Extent

AXIS = Axis(Extent(1000, 1080), 10)
"""A column is 8 ns long, an eighth of it 1 ns."""


def drawn(solid: tuple[int, int], around: tuple[int, int] | None = None) -> str:
    outer = Extent(1000 + around[0], 1000 + around[1]) if around else None
    return "".join(piece.text for piece in AXIS.bar(Extent(1000 + solid[0], 1000 + solid[1]), outer))


@pytest.mark.parametrize(
    ("solid", "around", "expected"),
    [
        ((0, 80), None, "██████████"),
        ((8, 16), None, " █        "),
        ((0, 12), None, "█▌        "),
        ((4, 16), None, "▐█        "),
        ((7, 16), None, "▕█        "),
        ((2, 16), None, "██        "),
        ((0, 0), None, "▏         "),
        ((7, 8), None, "▕         "),
        ((1, 3), None, "▎         "),
        ((80, 80), None, "         ▕"),
        ((16, 40), (0, 80), "━━███━━━━━"),
        ((16, 40), (13, 43), " ╺███╸    "),
        ((16, 40), (16, 40), "  ███     "),
        ((16, 40), (0, 8), "━━███     "),
        ((16, 40), (48, 56), "  ███━━   "),
    ],
)
def test_a_bar(solid: tuple[int, int], around: tuple[int, int] | None, expected: str) -> None:
    assert drawn(solid, around) == expected


def test_pieces_say_what_they_are() -> None:
    pieces = AXIS.bar(Extent(1016, 1040), Extent(1008, 1048))
    assert [piece.what for piece in pieces] == ["blank", "thin", "solid", "thin", "blank"]


@pytest.mark.parametrize(("at", "expected"), [(1000, "✗         "), (1044, "     ✗    "), (1080, "         ✗")])
def test_a_mark(at: int, expected: str) -> None:
    assert "".join(piece.text for piece in AXIS.mark(at, "✗")) == expected


moments = st.integers(0, 2**64 - 1)


@given(st.tuples(moments, moments), st.tuples(moments, moments), st.tuples(moments, moments), st.integers(0, 40))
def test_a_bar_always_fills_its_columns(
    axis: tuple[int, int], solid: tuple[int, int], around: tuple[int, int], width: int
) -> None:
    shared = Axis(Extent(*sorted(axis)), width)
    pieces = shared.bar(Extent(*sorted(solid)), Extent(*sorted(around)))
    assert len("".join(piece.text for piece in pieces)) == width
    assert len("".join(piece.text for piece in shared.mark(solid[0], "✗"))) == width
    assert width == 0 or "solid" in [piece.what for piece in pieces]
