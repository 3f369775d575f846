r"""Message patterns and NestJS's routes: which text a pattern becomes, and so which patterns are the same.

Used by `policy` to find the rules of a message and by `spec` to read the patterns that people write in manifests. A
NestJS server normalises what a client sent (`{"cmd":"sum"}`, its event form `"{\"cmd\":\"sum\"}"`, `5`) to one
*route* and looks that up. The two dialects differ in escaping and limits; the rules are those of NestJS 10.4, 11.2 and
12.1.
"""

from __future__ import annotations

import math
import unicodedata
from enum import Enum

from tcpservice import javascript
from tcpservice.wire.nesting import MAX_NESTING, nesting

MAX_DEPTH = 6
MAX_KEYS = 20

_PUNCTUATION = " _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789"
_LETTERS_FROM = 100


class Dialect(Enum):
    """Which NestJS reads the pattern: before 11.1.15 nothing is escaped or limited."""

    V10 = "10"
    V12 = "12"


class PatternTooDeep(ValueError):
    """A pattern nested deeper than a frame may be; NestJS 10 dies of such a one."""


def route_of(pattern: object, dialect: Dialect = Dialect.V12) -> str | None:
    """Normalise the pattern of a message, as parsed from its frame, to the route that a server looks up.

    None stands for what matches no handler (`true`, `null`). Raises PatternTooDeep.
    """
    if isinstance(pattern, str):
        return _normalise(_reread(pattern), dialect)
    if isinstance(pattern, int | float) and not math.isfinite(pattern):
        return None
    return _normalise(pattern, dialect)


def exact_route(text: str, dialect: Dialect = Dialect.V12) -> str | None:
    """Give the route of a pattern written in a manifest: JSON where the text is JSON, else a plain string."""
    return route_of(text, dialect)


def _reread(text: str) -> object:
    """Do what a server does with a pattern that is a string: parse it as JSON, or keep it as it is."""
    raw = text.encode("utf-8", "replace")
    if nesting(raw) > MAX_NESTING:
        raise PatternTooDeep(f"the pattern is nested deeper than {MAX_NESTING}")
    try:
        return javascript.parse(text)
    except ValueError:
        return text


def _normalise(value: object, dialect: Dialect) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        return _object_route(value, dialect, 0)
    if value is None or isinstance(value, bool):
        return None
    assert isinstance(value, int | float)
    return javascript.number_text(value)


def _object_route(value: dict[str, object] | list[object], dialect: Dialect, depth: int) -> str:
    members = value if isinstance(value, dict) else {str(index): item for index, item in enumerate(value)}
    if dialect is Dialect.V12:
        if depth >= MAX_DEPTH:
            return "[MAX_DEPTH_REACHED]"
        if len(members) > MAX_KEYS:
            return "[TOO_MANY_KEYS]"
    parts = (
        f'"{_escape(key, dialect)}":{_member_route(members[key], dialect, depth + 1)}'
        for key in sorted(members, key=_collation_key)
    )
    return "{" + ",".join(parts) + "}"


def _member_route(value: object, dialect: Dialect, depth: int) -> str:
    if isinstance(value, str):
        return f'"{_escape(value, dialect)}"'
    if isinstance(value, dict | list):
        return _object_route(value, dialect, depth)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float) and math.isfinite(value):
        return javascript.number_text(value)
    return "null"


def _escape(text: str, dialect: Dialect) -> str:
    if dialect is Dialect.V10:
        return text
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _collation_key(text: str) -> tuple[list[int], list[int], list[bool], str]:
    """Order as `String.localeCompare`: letters first, then accents, then case.

    Exact for ASCII, where Node's ICU orders punctuation, digits and letters as listed above. Beyond it the order may
    differ from ICU's, which changes the text of a route but never which patterns are equal.
    """
    base: list[int] = []
    accents: list[int] = []
    for char in unicodedata.normalize("NFD", text):
        if unicodedata.combining(char):
            accents.append(len(base) << 16 | ord(char))
        else:
            base.append(_primary(char))
    return base, accents, [char.isupper() for char in text], text


def _primary(char: str) -> int:
    if char.isascii():
        if char.isalpha():
            return _LETTERS_FROM + ord(char.lower()) - ord("a")
        return _PUNCTUATION.find(char)
    return _LETTERS_FROM + ord(char)
