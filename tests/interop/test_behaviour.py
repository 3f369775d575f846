"""What a NestJS caller sees over one sidecar and over two is what it sees without any.

Each cell is one request: the events of its observable on a way are compared with those of the direct connection in the
same run, and with the cell's own words. All cells run between equal majors, the core ones between all.
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from interop.cells import CELLS, CORE, Cell
from interop.node import MAJORS, Major
from interop.ways import SIDECAR_WAYS, Way

if TYPE_CHECKING:
    from interop.bench import Bench

NEST_ID_LENGTH = 21


def ask(bench: Bench, way: Way, client: Major, server: Major, cell: Cell) -> Any:
    """The events of a cell on a way, random ids masked."""
    return masked(bench.client(way, client, server).send(cell.pattern, cell.data))


@cache
def ask_directly(bench: Bench, client: Major, server: Major, name: str) -> Any:
    return ask(bench, "direct", client, server, CELLS[name])


def masked(value: Any) -> Any:
    """Replace NestJS's ids, which old clients hand to the app where a stream holds an undefined."""
    if isinstance(value, list):
        return [masked(item) for item in value]
    if isinstance(value, dict):
        return {key: "ID" if key == "id" and _is_nest_id(item) else masked(item) for key, item in value.items()}
    return value


def _is_nest_id(value: object) -> bool:
    return isinstance(value, str) and len(value) == NEST_ID_LENGTH


def assert_same(bench: Bench, way: Way, client: Major, server: Major, name: str) -> None:
    direct = ask_directly(bench, client, server, name)
    expected = CELLS[name].events
    assert expected is None or direct == expected, "the direct connection is not as written down"
    assert ["pending"] not in direct
    assert ask(bench, way, client, server, CELLS[name]) == direct


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("major", MAJORS)
@pytest.mark.parametrize("way", SIDECAR_WAYS)
def test_every_cell_between_equal_majors(bench: Bench, way: Way, major: Major, name: str) -> None:
    assert_same(bench, way, major, major, name)


@pytest.mark.parametrize("name", CORE)
@pytest.mark.parametrize(("client", "server"), [*itertools.permutations(MAJORS, 2)])
@pytest.mark.parametrize("way", SIDECAR_WAYS)
def test_core_cells_between_different_majors(bench: Bench, way: Way, client: Major, server: Major, name: str) -> None:
    assert_same(bench, way, client, server, name)


@pytest.mark.parametrize("major", MAJORS)
@pytest.mark.parametrize("way", SIDECAR_WAYS)
def test_all_cells_at_once_on_one_connection(bench: Bench, way: Way, major: Major) -> None:
    requests = [(cell.pattern, cell.data) for cell in CELLS.values()]
    together = bench.client(way, major, major).together(requests)
    seen = dict(zip(CELLS, masked(together["events"]), strict=True))
    assert seen == {name: ask_directly(bench, major, major, name) for name in CELLS}
