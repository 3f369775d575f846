"""The indexes find what a comparison of all pairs finds, whatever is added, changed and removed."""

from __future__ import annotations

import random

import pytest

from tcpservice_operator.api.plain_objects import Labels
from tcpservice_operator.cache.label_index import LabelIndex, SelectorIndex, selects


def _drawn(chance: random.Random) -> Labels:
    return {name: chance.choice("xy") for name in ("app", "track", "tier") if chance.random() < 0.6}


@pytest.mark.parametrize("seed", range(20))
def test_the_indexes_find_what_comparing_all_finds(seed: int) -> None:
    chance = random.Random(seed)
    selectors, objects = SelectorIndex(), LabelIndex()
    selecting: dict[tuple[str, str], Labels] = {}
    labelled: dict[tuple[str, str], Labels] = {}
    for _ in range(200):
        key, labels = (chance.choice(["shop", "bank"]), f"n{chance.randrange(8)}"), _drawn(chance)
        if chance.random() < 0.5:
            selectors.put(key, labels)
            selecting[key] = labels
        else:
            if key in labelled:
                objects.remove(key, labelled.pop(key))
            if chance.random() < 0.7:
                objects.add(key, labels)
                labelled[key] = labels
        asked, place = _drawn(chance), chance.choice(["shop", "bank"])
        assert selectors.selecting(place, asked) == sorted(
            key for key, selector in selecting.items() if selector and key[0] == place and selects(selector, asked)
        )
        assert set(objects.selected(place, asked)) == {
            key for key, labels in labelled.items() if asked and key[0] == place and selects(asked, labels)
        }
    for key, labels in labelled.items():
        objects.remove(key, labels)
    for key in selecting:
        selectors.put(key, {})
    assert not objects._objects
    assert not selectors._filed


def test_a_selector_is_filed_under_the_label_that_tells_the_most() -> None:
    index = SelectorIndex()
    for number in range(100):
        index.put(("shop", f"s{number}"), {"a-release": "shop", "name": f"s{number}"})
    assert max(map(len, index._filed.values())) <= 2
