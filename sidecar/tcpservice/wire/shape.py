"""The shape of a message's JSON: whether it is JSON at all, and where the values of the keys stand that matter.

The words that both twins of the scan share; used by `reference`, `requests` and `replies`. JSON is what `JSON.parse`
takes of the decoded bytes: bytes that are not UTF-8 are allowed inside strings, where Node makes them U+FFFD, and
nowhere else. A key that is written with an escape, or one of those that matter twice, makes a shape ODD: the rare frame
for which the members have to be parsed to know which of them counts.
"""

from __future__ import annotations

from typing import Final

OBJECT: Final = 0
"""An object whose keys can be trusted."""

ODD: Final = 1
"""An object, but its keys must be parsed."""

OTHER: Final = 2
"""JSON, but no object: a message without members."""

DEEP: Final = 3
"""Nested deeper than MAX_NESTING; what follows there was not looked at."""

INVALID: Final = 4
"""Not JSON."""

KEYS: Final = frozenset({b"pattern", b"data", b"metadata", b"id", b"err", b"isDisposed"})
"""The keys that matter."""
