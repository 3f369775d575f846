"""Indexes between labels and selectors, so that a query costs what it finds and not what the namespace holds.

Used by `cluster_state`. `SelectorIndex` answers which selectors select an object with some labels, and `LabelIndex`
which objects a selector selects. Both file their entries under single labels: in a namespace of a thousand TcpServices
almost every selector has a label, such as `app`, whose value is its own.
"""

from __future__ import annotations

from collections.abc import Collection

from tcpservice_operator.api.plain_objects import Key, Labels

_Label = tuple[str, str, str]
"""A namespace, and name and value of one label."""


class SelectorIndex:
    """Selectors by their owners, and found by labels. An empty selector selects nothing."""

    def __init__(self) -> None:
        self._selectors: dict[Key, Labels] = {}
        self._filed: dict[_Label, set[Key]] = {}
        self._labels: dict[Key, _Label] = {}

    def get(self, owner: Key) -> Labels:
        """Return the selector of an owner, empty if it has none."""
        return self._selectors.get(owner, {})

    def put(self, owner: Key, selector: Labels) -> None:
        """Set the selector of an owner; an empty one removes it."""
        if self.get(owner) == selector:
            return
        self._remove(owner)
        if selector:
            labels = [(owner[0], name, value) for name, value in sorted(selector.items())]
            # The label with the fewest selectors leaves the fewest candidates.
            label = min(labels, key=lambda each: len(self._filed.get(each, ())))
            self._selectors[owner], self._labels[owner] = selector, label
            self._filed.setdefault(label, set()).add(owner)

    def selecting(self, namespace: str, labels: Labels) -> list[Key]:
        """Return the owners of the selectors that select an object with these labels, sorted."""
        filed = (self._filed.get((namespace, name, value), ()) for name, value in labels.items())
        return sorted(owner for owners in filed for owner in owners if selects(self._selectors[owner], labels))

    def _remove(self, owner: Key) -> None:
        if self._selectors.pop(owner, None) is not None:
            _discard(self._filed, self._labels.pop(owner), owner)


class LabelIndex:
    """Objects by their labels."""

    def __init__(self) -> None:
        self._objects: dict[_Label, set[Key]] = {}

    def add(self, key: Key, labels: Labels) -> None:
        """Add an object, which must not be in the index."""
        for name, value in labels.items():
            self._objects.setdefault((key[0], name, value), set()).add(key)

    def remove(self, key: Key, labels: Labels) -> None:
        """Remove an object that was added with these labels."""
        for name, value in labels.items():
            _discard(self._objects, (key[0], name, value), key)

    def selected(self, namespace: str, selector: Labels) -> Collection[Key]:
        """Return the objects that have all labels of a selector, none if the selector is empty."""
        sets = [self._objects.get((namespace, name, value), set()) for name, value in selector.items()]
        return set.intersection(*sorted(sets, key=len)) if sets else set()


def selects(selector: Labels, labels: Labels) -> bool:
    """Whether a selector, which is not empty, selects an object with these labels."""
    return selector.items() <= labels.items()


def _discard(sets: dict[_Label, set[Key]], label: _Label, key: Key) -> None:
    sets[label].discard(key)
    if not sets[label]:
        del sets[label]
