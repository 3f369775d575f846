"""What leads from one document to another, as a JSON patch (RFC 6902): no more than needed, in the document's order.

Used by `webhook`. Lists are compared by what injection does to them: items are put before or after those that were
there, and those may change in place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Operation = dict[str, Any]


def patch(before: Any, after: Any, path: str = "") -> Iterator[Operation]:
    """Give the operations that make `after` of `before`."""
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _patch_mapping(before, after, path)
    elif isinstance(before, list) and isinstance(after, list) and len(after) >= len(before):
        yield from _patch_list(before, after, path)
    else:
        yield {"op": "replace", "path": path, "value": after}


def _patch_mapping(before: dict[str, Any], after: dict[str, Any], path: str) -> Iterator[Operation]:
    for key, value in after.items():
        here = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
        if key not in before:
            yield {"op": "add", "path": here, "value": value}
        else:
            yield from patch(before[key], value, here)
    for key in before.keys() - after.keys():
        yield {"op": "remove", "path": f"{path}/{key.replace('~', '~0').replace('/', '~1')}"}


def _patch_list(before: list[Any], after: list[Any], path: str) -> Iterator[Operation]:
    more = len(after) - len(before)
    first = more if more and before and after[more:] == before else 0
    for index, value in enumerate(after[:first]):
        yield {"op": "add", "path": f"{path}/{index}", "value": value}
    for index, old in enumerate(before if not first else ()):
        yield from patch(old, after[index], f"{path}/{index}")
    for value in after[len(before) :] if not first else ():
        yield {"op": "add", "path": f"{path}/-", "value": value}
