"""Where things stand in a document's value: looking them up by path, and by a pattern of paths.

Used by `checked`, `rules` and `unsupported`; all of them also see documents that have problems, so nothing is taken
for granted about the value's shape.
"""

from __future__ import annotations

from collections.abc import Iterator

from tcpservice.spec.problems import Path


def look_up(value: object, path: Path) -> object:
    """Give what stands at a path, None where nothing does."""
    for step in path:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def select(value: object, pattern: str) -> Iterator[tuple[Path, object]]:
    """Give what stands at the paths that a pattern such as `spec.routes[].delivery` describes, but for nulls."""
    return _select(value, tuple(pattern.replace("[]", ".[]").split(".")), ())


def _select(value: object, steps: tuple[str, ...], path: Path) -> Iterator[tuple[Path, object]]:
    if not steps:
        if value is not None:
            yield path, value
    elif steps[0] == "[]":
        for index, item in enumerate(value if isinstance(value, list) else ()):
            yield from _select(item, steps[1:], (*path, index))
    elif isinstance(value, dict):
        yield from _select(value.get(steps[0]), steps[1:], (*path, steps[0]))
