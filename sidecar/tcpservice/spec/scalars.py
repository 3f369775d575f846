"""What a word in a YAML document means: Kubernetes' reading of it.

Used by `yamltext`. Kubernetes takes YAML 1.1's words (`yes`, `off`, `0644`) and JSON's numbers (`1e3`), and knows
neither dates nor base 60, which PyYAML would make of `2026-01-01` and `12:30`: those are text.
"""

from __future__ import annotations

import re
from typing import Final

_LONGEST_NUMBER: Final = 40
_TEXT_TAGS: Final = ("!", "tag:yaml.org,2002:str")
_NULLS: Final = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLEANS: Final = {
    word: value
    for value, words in ((True, ("true", "yes", "on")), (False, ("false", "no", "off")))
    for lower in words
    for word in (lower, lower.capitalize(), lower.upper())
}
_INTEGERS: Final = (
    (re.compile(r"[-+]?(0|[1-9][0-9_]*)"), 10),
    (re.compile(r"[-+]?0x[0-9a-fA-F][0-9a-fA-F_]*"), 16),
    (re.compile(r"[-+]?0o?[0-7][0-7_]*"), 8),
    (re.compile(r"[-+]?0b[01][01_]*"), 2),
)
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?")


class UnknownTag(ValueError):
    """A tag that would make of the word what JSON does not know."""


def scalar_value(text: str, tag: str | None, *, plain: bool) -> object:
    """Read a word; `plain` says that it stands without quotes. Raises UnknownTag."""
    if tag in _TEXT_TAGS:
        return text
    if tag is not None:
        raise UnknownTag(tag)
    if not plain:
        return text
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    return _number_or_text(text)


def _number_or_text(text: str) -> int | float | str:
    """Read a number; one with more digits than any of ours has stays text."""
    if len(text) > _LONGEST_NUMBER:
        return text
    for form, base in _INTEGERS:
        if form.fullmatch(text):
            return int(text.replace("_", ""), base)
    return float(text) if _FLOAT.fullmatch(text) else text
