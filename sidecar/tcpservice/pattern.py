r"""Message patterns and NestJS's routes: which text a pattern becomes, and so which patterns are the same.

Used by `policy` to find the rules of a message and by `spec` to read the patterns that people write in manifests. A
NestJS server normalises what a client sent (`{"cmd":"sum"}`, its event form `"{\"cmd\":\"sum\"}"`, `5`) to one
*route* and looks that up. The two dialects differ in escaping and limits, so that one pattern can be the route of two
different handlers; the rules are those of NestJS 10.4, 11.2 and 12.1.
"""

from __future__ import annotations

import math
import unicodedata
from enum import Enum
from typing import Final, NamedTuple

from tcpservice import javascript
from tcpservice.wire.nesting import MAX_NESTING, nesting

MAX_DEPTH = 6
MAX_KEYS = 20

LONGEST_READ: Final = 64 * 1024
"""Patterns of more bytes are not read: parsed JSON takes many times the memory of its text."""

_PUNCTUATION = " _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789"
_LETTERS_FROM = 100


class Dialect(Enum):
    """Which NestJS reads the pattern: before 11.1.15 (V10) nothing is escaped or limited."""

    V10 = "10"
    V12 = "12"


class PatternTooDeep(ValueError):
    """A pattern nested deeper than a frame may be; NestJS 10 dies of such a one."""


class Routes(NamedTuple):
    """The route of one pattern in both dialects; None for what matches no handler, or was too long to be read.

    `ambiguous` says that the route depends on the dialect, or is not known: an access check must refuse the pattern
    unless it knows which NestJS the app runs, and always where both are None.
    """

    v10: str | None
    v12: str | None
    ambiguous: bool

    def of(self, dialect: Dialect) -> str | None:
        """Return the route that an app of this dialect looks up."""
        return self.v12 if dialect is Dialect.V12 else self.v10


_UNREAD: Final = Routes(None, None, ambiguous=True)


def route_of(pattern: object, dialect: Dialect = Dialect.V12) -> str | None:
    """Normalise the pattern of a message, as parsed from its frame, to the route that a server looks up.

    None stands for what matches no handler (`true`, `null`). Raises PatternTooDeep.
    """
    if isinstance(pattern, str):
        return _normalise(_reread(pattern), dialect, infinite=True)
    return _normalise(pattern, dialect, infinite=False)


def routes_of(pattern: object) -> Routes:
    """Normalise the pattern of a message, as parsed from its frame, in both dialects. Raises PatternTooDeep."""
    infinite = isinstance(pattern, str)
    value = _reread(pattern) if isinstance(pattern, str) else pattern
    v10 = _normalise(value, Dialect.V10, infinite=infinite)
    v12 = _normalise(value, Dialect.V12, infinite=infinite)
    return Routes(v10, v12, ambiguous=v10 != v12)


def read_routes(text: bytes) -> Routes:
    """Read the pattern of a message, as JSON text that `wire` has found to be JSON, in both dialects.

    Raises PatternTooDeep.
    """
    if len(text) > LONGEST_READ:
        return _UNREAD
    return routes_of(javascript.parse(text.decode("utf-8", "replace")))


def exact_route(text: str, dialect: Dialect = Dialect.V12) -> str | None:
    """Give the route of a pattern written in a manifest: JSON where the text is JSON, else a plain string."""
    return route_of(text, dialect)


def route_in(route: str, dialect: Dialect) -> str:
    """Give the route in another dialect of a pattern of which the route in V12 is known.

    What V12 cut short, because it is too deep or has too many keys, stays as it is.
    """
    if dialect is Dialect.V12 or not route.startswith("{"):
        return route
    value = javascript.parse_loosely(route)
    return _object_route(value, dialect, 0, infinite=False) if isinstance(value, dict) else route


def _reread(text: str) -> object:
    """Do what a server does with a pattern that is a string: parse it as JSON, or keep it as it is."""
    raw = text.encode("utf-8", "replace")
    if nesting(raw) > MAX_NESTING:
        raise PatternTooDeep(f"the pattern is nested deeper than {MAX_NESTING}")
    try:
        return javascript.parse(text)
    except ValueError:
        return text


def _normalise(value: object, dialect: Dialect, *, infinite: bool) -> str | None:
    """Make a route of a parsed pattern.

    `infinite` says that a server gets numbers such as `1e999` as they are. It does inside of text; other patterns it
    writes as JSON first, in which they are null.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        return _object_route(value, dialect, 0, infinite=infinite)
    if value is None or isinstance(value, bool):
        return None
    assert isinstance(value, int | float)
    number = javascript.as_number(value)
    return javascript.number_text(number) if infinite or math.isfinite(number) else None


def _object_route(value: dict[str, object] | list[object], dialect: Dialect, depth: int, *, infinite: bool) -> str:
    """Write an object or array; one Python frame for each level, so that the deepest pattern fits on any stack."""
    members = value if isinstance(value, dict) else {str(index): item for index, item in enumerate(value)}
    if dialect is Dialect.V12:
        if depth >= MAX_DEPTH:
            return "[MAX_DEPTH_REACHED]"
        if len(members) > MAX_KEYS:
            return "[TOO_MANY_KEYS]"
    elif depth >= MAX_NESTING:
        raise PatternTooDeep(f"the pattern is nested deeper than {MAX_NESTING}")
    parts = []
    for key in sorted(members, key=_collation_key):
        member = members[key]
        if isinstance(member, dict | list):
            text = _object_route(member, dialect, depth + 1, infinite=infinite)
        else:
            text = _leaf(member, dialect, infinite=infinite)
        parts.append(f'"{_escape(key, dialect)}":{text}')
    return "{" + ",".join(parts) + "}"


def _leaf(value: object, dialect: Dialect, *, infinite: bool) -> str:
    if isinstance(value, str):
        return f'"{_escape(value, dialect)}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        number = javascript.as_number(value)
        if infinite or math.isfinite(number):
            return javascript.number_text(number)
    return "null"


def _escape(text: str, dialect: Dialect) -> str:
    if dialect is Dialect.V10:
        return text
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _collation_key(text: str) -> tuple[list[int], list[int], list[bool], str]:
    """Order as `String.localeCompare`: letters first, then accents, then case.

    Exact for ASCII, where Node's ICU orders punctuation, digits and letters as listed above. Beyond it the order may
    differ from ICU's, which changes the text of a route but never which patterns are equal. Characters are decomposed
    one by one: to normalise a whole text takes quadratic time where many accents follow each other.
    """
    base: list[int] = []
    accents: list[int] = []
    for char in text:
        for part in char if char.isascii() else unicodedata.normalize("NFD", char):
            if unicodedata.combining(part):
                accents.append(len(base) << 16 | ord(part))
            else:
                base.append(_primary(part))
    return base, accents, [char.isupper() for char in text], text


def _primary(char: str) -> int:
    if char.isascii():
        if char.isalpha():
            return _LETTERS_FROM + ord(char.lower()) - ord("a")
        return _PUNCTUATION.find(char)
    return _LETTERS_FROM + ord(char)
