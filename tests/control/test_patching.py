"""JSON patches: applied, they give what was wanted; and they are short."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcpservice_operator.patching import patch

VALUES = st.recursive(
    st.integers(0, 3) | st.sampled_from(["a", "b/c", "d~e"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["x", "y/z", "~"]), inner, max_size=3),
    max_leaves=10,
)


def applied(document: Any, operations: list[dict[str, Any]]) -> Any:
    """Apply a patch as RFC 6902 says; written for these tests alone."""
    whole = {"": deepcopy(document)}
    for operation in operations:
        steps = [step.replace("~1", "/").replace("~0", "~") for step in operation["path"].split("/")]
        holder: Any = whole
        for step in steps[:-1]:
            holder = holder[int(step) if isinstance(holder, list) else step]
        last = steps[-1]
        match operation["op"], holder:
            case "add", list():
                holder.insert(len(holder) if last == "-" else int(last), operation["value"])
            case "remove", _:
                del holder[last]
            case _, list():
                holder[int(last)] = operation["value"]
            case _:
                holder[last] = operation["value"]
    return whole[""]


@given(VALUES, VALUES)
def test_a_patch_leads_there(before: Any, after: Any) -> None:
    assert applied(before, list(patch(before, after))) == after


@pytest.mark.parametrize(
    ("before", "after", "operations"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({}, {"a/b": 1}, [{"op": "add", "path": "/a~1b", "value": 1}]),
        ([1, 2], [0, 1, 2], [{"op": "add", "path": "/0", "value": 0}]),
        ([1, 2], [1, 2, 3], [{"op": "add", "path": "/-", "value": 3}]),
        ([{"a": 1}], [{"a": 2}], [{"op": "replace", "path": "/0/a", "value": 2}]),
        ([1, 2], [1], [{"op": "replace", "path": "", "value": [1]}]),
    ],
)
def test_it_is_short(before: Any, after: Any, operations: list[dict[str, Any]]) -> None:
    assert list(patch(before, after)) == operations
