"""Values that know the line on which each of their members stands.

Made by `yamltext`, used by `documents` to say where a problem is. YAML's aliases share what they name, so they cost
nothing here; what they stand for is bounded, since others walk it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from tcpservice.errors import TcpServiceError
from tcpservice.spec.problems import Path

MAX_NESTING: Final = 64
MAX_VALUES: Final = 1_000_000


class Unreadable(TcpServiceError):
    """Text that cannot be read further than `line`."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line
        self.message = message


class Tree(Struct, frozen=True, kw_only=True):
    """A value and where it stands: `members` gives the line and the tree of each key or index.

    `size` counts the values in it, and `depth` its levels, with aliases counted as what they stand for.
    """

    line: int
    value: object
    members: Mapping[str | int, tuple[int, Tree]]
    size: int = 1
    depth: int = 0

    def line_of(self, path: Path) -> int:
        """Give the line of a path's key, or of the nearest thing above it that exists."""
        line, tree = self.line, self
        for step in path:
            if step not in tree.members:
                break
            line, tree = tree.members[step]
        return line


def collection(line: int, value: object, members: Mapping[str | int, tuple[int, Tree]]) -> Tree:
    """Make the tree of a list or mapping from its members'. Raises Unreadable where it is too large."""
    size = 1 + sum(tree.size for _, tree in members.values())
    depth = 1 + max((tree.depth for _, tree in members.values()), default=0)
    if size > MAX_VALUES:
        raise Unreadable(line, f"expected at most {MAX_VALUES} values, with aliases counted as what they stand for")
    if depth > MAX_NESTING:
        raise too_deep(line)
    return Tree(line=line, value=value, members=members, size=size, depth=depth)


def too_deep(line: int) -> Unreadable:
    """Say that there are too many levels."""
    return Unreadable(line, f"expected at most {MAX_NESTING} levels of nesting")
