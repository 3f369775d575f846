"""A document against its struct type: every problem at once, each with its exact path.

msgspec's own decoder stops at the first. This walks the value beside the type as `msgspec.inspect` shows it, so the
structs of `schema` and `slices` stay the one description of what is allowed. What passes here, `msgspec.convert`
takes. A field that is null counts as left out, as in Kubernetes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, Final

from msgspec import Struct, inspect

from tcpservice.spec.problems import Finding, Path, expected, render, show
from tcpservice.spec.unsupported import UNSUPPORTED_FIELDS, UNSUPPORTED_VALUES

_ALIKE: Final = 0.6
_VERY_ALIKE: Final = 0.7
_NEVER_SUGGESTED: Final = ("status", *UNSUPPORTED_FIELDS)
_NO_WORDS: Final[Mapping[str, Any]] = {}
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,17}")


def check(value: object, kind: type[Struct]) -> Iterator[Finding]:
    """Give everything that keeps a document's value from being a `kind`."""
    described = _described(kind)
    for finding in _check(value, described, (), _NO_WORDS):
        yield _suggest(finding, described) if isinstance(finding, _UnknownField) else finding


class _UnknownField(Finding, frozen=True):
    """A field that its struct does not have; `known` are the fields that the struct has. `check` adds the message."""

    known: tuple[str, ...]


def _suggest(unknown: _UnknownField, kind: inspect.Type) -> Finding:
    """Say which field was probably meant.

    That is a field of the same struct with a similar name, or else a field with this name elsewhere in the document.
    A field elsewhere has the same name, so it takes precedence unless the names in the struct are very similar.
    """
    name = str(unknown.path[-1])
    places = [render(path) for path in _paths(kind, ()) if path[-1] == name]
    places = [place for place in places if not place.startswith(_NEVER_SUGGESTED)]
    for near in get_close_matches(name, unknown.known, n=1, cutoff=_VERY_ALIKE if places else _ALIKE):
        return Finding(unknown.path, f'unknown field, did you mean "{near}"?')
    if places:
        return Finding(unknown.path, f"unknown field here; {name} belongs at {' or '.join(places)}")
    return Finding(unknown.path, "unknown field")


def _paths(kind: inspect.Type, path: Path) -> Iterator[Path]:
    """Give the path of each field, except for fields of list items, which have no path of their own."""
    match kind:
        case inspect.Metadata(type=inner):
            yield from _paths(inner, path)
        case inspect.UnionType(types=types):
            for each in types:
                yield from _paths(each, path)
        case inspect.StructType(fields=fields):
            for field in fields:
                yield (*path, field.encode_name)
                yield from _paths(field.type, (*path, field.encode_name))


@cache
def _described(kind: type[Struct]) -> inspect.Type:
    return inspect.type_info(kind)


def _check(value: object, kind: inspect.Type, path: Path, words: Mapping[str, Any]) -> Iterator[Finding]:
    """Compare a value with a type.

    `words` is the type's `Meta.extra`: `expected` is a description of the type, and `fix` is a function that gets a
    wrong value and returns how to fix it, "" if it does not know. Both are optional.
    """
    match kind:
        case inspect.Metadata(type=inner):
            yield from _check(value, inner, path, kind.extra or words)
        case inspect.UnionType():
            yield from _check_union(value, kind, path, words)
        case inspect.StructType() if isinstance(value, dict):
            yield from _check_struct(value, kind, path)
        case inspect.DictType() if isinstance(value, dict) and len(value) >= (kind.min_length or 0):
            yield from _check_dict(value, kind, path)
        case inspect.VarTupleType() if isinstance(value, list) and len(value) >= (kind.min_length or 0):
            yield from _check_list(value, kind, path)
        case _ if not _is_leaf(value, kind):
            yield expected(path, words.get("expected") or _own_words(kind, path), value, _fix(value, kind, words))


def _check_union(value: object, kind: inspect.UnionType, path: Path, words: Mapping[str, Any]) -> Iterator[Finding]:
    """Compare with a type or null, or with a choice of leaves, whose `words` must have `expected`."""
    if value is None and kind.includes_none:
        return
    choices = [choice for choice in kind.types if not isinstance(choice, inspect.NoneType)]
    if len(choices) == 1:
        yield from _check(value, choices[0], path, words)
    elif all(any(_check(value, choice, path, _NO_WORDS)) for choice in choices):
        # A value that is not text may be a number out of range: quotes do not fix it.
        fixes = (_fix(value, choice, words) for choice in choices if isinstance(value, str))
        yield expected(path, words["expected"], value, next(filter(None, fixes), ""))


def _check_struct(value: dict[str, object], kind: inspect.StructType, path: Path) -> Iterator[Finding]:
    fields = {field.encode_name: field for field in kind.fields}
    for name, field in fields.items():
        if name in value:
            yield from _check(value[name], field.type, (*path, name), _NO_WORDS)
        elif field.required:
            yield Finding((*path, name), f"missing; expected {_wanted(field.type, (*path, name))}")
    if kind.cls.__struct_config__.forbid_unknown_fields:
        for name in (name for name in value if name not in fields):
            yield _UnknownField((*path, name), "", tuple(fields))


def _check_dict(value: dict[str, object], kind: inspect.DictType, path: Path) -> Iterator[Finding]:
    for key, item in value.items():
        if any(_check(key, kind.key_type, path, _NO_WORDS)):
            yield Finding((*path, key), f"expected {_wanted(kind.key_type, path)}")
        yield from _check(item, kind.value_type, (*path, key), _NO_WORDS)


def _check_list(value: list[object], kind: inspect.VarTupleType, path: Path) -> Iterator[Finding]:
    if kind.max_length is not None and len(value) > kind.max_length:
        yield Finding(path, f"expected at most {kind.max_length} items, got {len(value)}")
    for index, item in enumerate(value):
        yield from _check(item, kind.item_type, (*path, index), _NO_WORDS)


def _is_leaf(value: object, kind: inspect.Type) -> bool:
    match kind:
        case inspect.BoolType():
            return isinstance(value, bool)
        case inspect.IntType(ge=lowest, le=highest):
            return type(value) is int and (lowest is None or lowest <= value) and (highest is None or value <= highest)
        case inspect.StrType():
            return isinstance(value, str) and _is_text(value, kind)
        case inspect.LiteralType(values=values):
            return isinstance(value, str) and value in values
        case _:
            return False


def _fix(value: object, kind: inspect.Type, words: Mapping[str, Any]) -> str:
    """Return how to fix a wrong value, "" if that is not known."""
    return (words["fix"](value) if "fix" in words else "") or _quotes(value, kind)


def _quotes(value: object, kind: inspect.Type) -> str:
    """Return the fix for a value that is wrong only because it has quotes or lacks them, "" for any other value."""
    match kind:
        case inspect.Metadata(type=inner):
            return _quotes(value, inner)
        case inspect.StrType() if isinstance(value, int | float) and _is_leaf(show(value), kind):
            return "put it in quotes"
        case inspect.IntType() if isinstance(value, str) and _NUMBER.fullmatch(value) and _is_leaf(int(value), kind):
            return "remove the quotes"
        case inspect.BoolType() if value in ("true", "false"):
            return "remove the quotes"
        case _:
            return ""


def _is_text(value: str, kind: inspect.StrType) -> bool:
    """Compare with `fullmatch`, as `$` would let a line break follow."""
    return (
        len(value) >= (kind.min_length or 0)
        and (kind.max_length is None or len(value) <= kind.max_length)
        and (kind.pattern is None or re.fullmatch(kind.pattern, value) is not None)
    )


def _wanted(kind: inspect.Type, path: Path) -> str:
    """Say what a type expects: the words of its author, or its own."""
    if isinstance(kind, inspect.Metadata):
        return (kind.extra or _NO_WORDS).get("expected") or _wanted(kind.type, path)
    return _own_words(kind, path)


def _own_words(kind: inspect.Type, path: Path) -> str:
    match kind:
        case inspect.StructType() | inspect.DictType():
            return "a mapping"
        case inspect.VarTupleType():
            return "a list"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType(ge=lowest, le=highest):
            return f"an integer from {lowest} to {highest}"
        case inspect.LiteralType(values=values):
            field = re.sub(r"\[[0-9]+\]", "[]", render(path))
            *others, last = (str(value) for value in values if (field, value) not in UNSUPPORTED_VALUES)
            return f"{', '.join(others)} or {last}" if others else last
        case _:
            return "text"
