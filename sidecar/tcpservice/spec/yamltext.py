"""YAML text as trees: the documents of a file, with the line of everything in them.

Used by `documents`. Built from the parser's events rather than by PyYAML's own loader, which is recursive (in C: deep
nesting ends the process) and takes repeated keys in silence; `scalars` says what a word means.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import yaml
from msgspec import Struct

from tcpservice.spec.problems import Finding, Path, show
from tcpservice.spec.scalars import UnknownTag, scalar_value
from tcpservice.spec.tree import MAX_NESTING, Tree, Unreadable, collection, too_deep

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_COLLECTION_TAGS: Final = (None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


class Parsed(Struct, frozen=True):
    """One YAML document, and the keys that it repeats."""

    tree: Tree
    repeats: tuple[Finding, ...]


def parse(text: str) -> Iterator[Parsed]:
    """Give the documents of a YAML text one by one. Raises Unreadable."""
    _refuse_controls(text)
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.DocumentStartEvent):
                builder = _Builder()
            elif isinstance(event, yaml.DocumentEndEvent):
                yield builder.finish()
            else:
                builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        assert mark is not None
        raise Unreadable(mark.line + 1, f"not YAML: {error.problem} (column {mark.column + 1})") from error


def _refuse_controls(text: str) -> None:
    """Refuse the characters that YAML does; the loaders would count their places differently."""
    bad = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if bad is not None:
        *above, start = text[: bad.start()].split("\n")
        raise Unreadable(len(above) + 1, f"not YAML: the character {show(bad.group())} (column {len(start) + 1})")


class _Sequence:
    """A list that is being read."""

    def __init__(self, line: int, anchor: str | None, path: Path) -> None:
        self.line = line
        self.anchor = anchor
        self._path = path
        self._items: list[tuple[int, Tree]] = []

    @property
    def next_path(self) -> Path:
        """Where the next value goes."""
        return (*self._path, len(self._items))

    def add(self, line: int, tree: Tree, _event: yaml.Event) -> None:
        """Take the next item."""
        self._items.append((line, tree))

    def close(self) -> Tree:
        """Give the list."""
        return collection(self.line, [tree.value for _, tree in self._items], dict(enumerate(self._items)))


class _Mapping:
    """A mapping that is being read: keys and values come in turn."""

    def __init__(self, line: int, anchor: str | None, path: Path, repeats: list[Finding]) -> None:
        self.line = line
        self.anchor = anchor
        self._path = path
        self._repeats = repeats
        self._key: tuple[int, str, bool] | None = None
        self._members: dict[str | int, tuple[int, Tree]] = {}
        self._merged: dict[str | int, tuple[int, Tree]] = {}

    @property
    def next_path(self) -> Path:
        """Where the next value goes."""
        return (*self._path, self._key[1] if self._key else "")

    def add(self, line: int, tree: Tree, event: yaml.Event) -> None:
        """Take the next key, or the value of the last one."""
        if self._key is None:
            if not isinstance(event, yaml.ScalarEvent):
                raise Unreadable(line, f"expected text as a key, got {show(tree.value)}")
            self._key = line, event.value, event.value == "<<" and event.implicit[0]
            return
        line, key, merge = self._key
        self._key = None
        if merge:
            self._merge(line, tree)
            return
        if key in self._members:
            first, _ = self._members[key]
            self._repeats.append(Finding((*self._path, key), f"the key is given twice, on lines {first} and {line}"))
        self._members[key] = (line, tree)

    def close(self) -> Tree:
        """Give the mapping; its own members win over merged ones."""
        members = self._merged | self._members
        return collection(self.line, {key: tree.value for key, (_, tree) in members.items()}, members)

    def _merge(self, line: int, tree: Tree) -> None:
        sources = [each for _, each in tree.members.values()] if isinstance(tree.value, list) else [tree]
        for source in sources:
            if not isinstance(source.value, dict):
                raise Unreadable(line, f"expected a mapping to merge, got {show(source.value)}")
            self._merged = {**source.members, **self._merged}


class _Builder:
    """Makes the tree of one document from its events."""

    def __init__(self) -> None:
        self._open: list[_Sequence | _Mapping] = []
        self._anchors: dict[str, Tree] = {}
        self._repeats: list[Finding] = []
        self._root: Tree | None = None

    def take(self, event: yaml.Event) -> None:
        """Take the next event."""
        if isinstance(event, yaml.CollectionStartEvent):
            self._start(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            frame = self._open.pop()
            self._keep(frame.line, frame.close(), frame.anchor, event)
        elif isinstance(event, yaml.AliasEvent):
            self._repeat(event)
        elif isinstance(event, yaml.ScalarEvent):
            line = _line(event)
            tree = Tree(line=line, value=_scalar(line, event), members={})
            self._keep(line, tree, event.anchor, event)

    def finish(self) -> Parsed:
        """Give the document."""
        assert self._root is not None
        return Parsed(self._root, tuple(self._repeats))

    def _start(self, event: yaml.CollectionStartEvent) -> None:
        line = _line(event)
        if event.tag not in _COLLECTION_TAGS:
            raise Unreadable(line, f"expected no tags, got {show(event.tag)}")
        if len(self._open) >= MAX_NESTING:
            raise too_deep(line)
        path = self._open[-1].next_path if self._open else ()
        if isinstance(event, yaml.MappingStartEvent):
            self._open.append(_Mapping(line, event.anchor, path, self._repeats))
        else:
            self._open.append(_Sequence(line, event.anchor, path))

    def _repeat(self, event: yaml.AliasEvent) -> None:
        line = _line(event)
        tree = self._anchors.get(str(event.anchor))
        if tree is None:
            raise Unreadable(line, f"not YAML: nothing before the alias *{event.anchor} has that name")
        self._keep(line, tree, None, event)

    def _keep(self, line: int, tree: Tree, anchor: str | None, event: yaml.Event) -> None:
        if anchor is not None:
            self._anchors[anchor] = tree
        if self._open:
            self._open[-1].add(line, tree, event)
        else:
            self._root = tree


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    assert mark is not None
    return mark.line + 1


def _scalar(line: int, event: yaml.ScalarEvent) -> object:
    try:
        return scalar_value(event.value, event.tag, plain=event.implicit[0])
    except UnknownTag as error:
        raise Unreadable(line, f"expected no tags, got {show(event.tag)}") from error
