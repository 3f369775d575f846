r"""The shape of a message's JSON: whether it is JSON at all, and where the values of the keys stand that matter.

The words that both twins of the scan share; used by `reference`, `requests` and `replies`. JSON is what `JSON.parse`
takes of the decoded bytes: bytes that are not UTF-8 are allowed inside strings, where Node makes them U+FFFD, and
nowhere else. A key counts however it is written (`"\u0069d"` is `id`), and the last of repeated keys wins, as in
`JSON.parse`.
"""

from __future__ import annotations

from typing import Final

OBJECT: Final = 0
"""An object; where the values of its keys stand is known."""

OTHER: Final = 1
"""JSON, but no object: a message without members."""

DEEP: Final = 2
"""Nested deeper than MAX_NESTING; what follows there was not looked at."""

INVALID: Final = 3
"""Not JSON."""

KEYS: Final = frozenset({b"pattern", b"data", b"metadata", b"id", b"err", b"isDisposed"})
"""The keys that matter."""
