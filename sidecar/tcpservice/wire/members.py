"""The slow path: the top-level members of a frame that is not canonical, exactly as JSON.parse would have them.

Used by `requests` and `replies` for whatever their quick proof does not cover: other key orders, extra or repeated
keys, escapes in keys, white space, lone surrogates, `1e999`, bytes that are not UTF-8. The last of repeated keys wins.
Beside each value stands its own text, since a caller gets its id back as it wrote it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tcpservice import javascript

_SPACE = re.compile(r"[ \t\n\r]*")


class Member(NamedTuple):
    """One value of a top-level key, parsed, and the text it was parsed from."""

    value: object
    text: str


def read_members(body: bytes) -> dict[str, Member]:
    """Read the members of a JSON object; a body that is JSON but no object has none, as NestJS finds none in it.

    Raises ValueError where JSON.parse throws, and for nesting that no parser here takes.
    """
    text = body.decode("utf-8", "replace")
    try:
        at = _skip(text, 0)
        if text[at : at + 1] != "{":
            javascript.parse(text)
            return {}
        return _object(text, at + 1)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None


def _object(text: str, at: int) -> dict[str, Member]:
    members: dict[str, Member] = {}
    at = _skip(text, at)
    closed = text[at : at + 1] == "}"
    while not closed:
        key, at = javascript.parse_at(text, at)
        if not isinstance(key, str):
            raise ValueError("an object's key must be a string")  # noqa: TRY004 - what JSON.parse throws
        at = _skip(text, _expect(text, _skip(text, at), ":"))
        value, end = javascript.parse_at(text, at)
        members[key] = Member(value, text[at:end])
        at = _skip(text, end)
        closed = text[at : at + 1] == "}"
        if not closed:
            at = _skip(text, _expect(text, at, ","))
    if _skip(text, at + 1) != len(text):
        raise ValueError("something follows the JSON value")
    return members


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()


def _expect(text: str, at: int, what: str) -> int:
    if text[at : at + 1] != what:
        raise ValueError(f"expected {what!r} at character {at}")
    return at + 1
