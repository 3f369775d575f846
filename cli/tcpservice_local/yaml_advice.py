"""What to do about text that is not YAML: the parser's words name a column, but rarely the mistake.

Used by `manifests`, which appends the advice to the problem. The mistakes are those that people make most: tabs,
templates that were not rendered, a missing space after a colon, quotes and brackets that are not closed, indentation.
Pure.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEMPLATE: Final = re.compile(r"\{\{.*\}\}")
_NO_SPACE: Final = re.compile(r"\s*(?:- )?(?P<key>[A-Za-z][\w.-]*):(?P<value>[^\s:/]\S*)\s*")
_OPENED: Final = {
    "while scanning a quoted scalar": "the quote",
    "while parsing a flow mapping": "the bracket {",
    "while parsing a flow sequence": "the bracket [",
}
_MISALIGNED: Final = (
    "did not find expected key",
    "did not find expected '-' indicator",
    "mapping values are not allowed in this context",
)
RENDER: Final = "this is a Helm template: render it first (helm template CHART | tcpservice validate -f -)"


def has_template(text: str) -> bool:
    """Whether a text has a Helm template that was not rendered."""
    return _TEMPLATE.search(text) is not None


def advice(text: str, line: int) -> str:
    """Return what to do about a line at which a YAML parser stopped; empty if the text does not show it."""
    lines = text.splitlines()
    at = lines[line - 1] if line <= len(lines) else ""
    above = next((number for number in range(min(line - 1, len(lines)), 0, -1) if lines[number - 1].strip()), 0)
    if "\t" in at[: len(at) - len(at.lstrip())]:
        return "the line begins with a tab: indent with spaces"
    if has_template(text):
        return RENDER
    if any(re.match(r"\s*(//|/\*)", each) for each in (at, lines[above - 1] if above else "")):
        return "JSON has no comments: remove the comment, or write YAML, where comments begin with #"
    for number in (line, above):
        glued = _NO_SPACE.fullmatch(lines[number - 1]) if 0 < number <= len(lines) else None
        if glued is not None:
            return f'line {number} needs a space after the colon, as in "{glued["key"]}: {glued["value"]}"'
    return _of_parser(text, lines, line, above)


def _of_parser(text: str, lines: list[str], line: int, above: int) -> str:
    """Return what to do by what the parser was reading when it stopped."""
    try:
        for _ in yaml.parse(text, Loader=_LOADER):
            pass
    except yaml.MarkedYAMLError as error:
        what, mark = _OPENED.get(error.context or ""), error.context_mark
        if what is not None and mark is not None and mark.line + 1 < line:
            return f"{what} on line {mark.line + 1} is not closed"
        if error.problem in _MISALIGNED and above:
            return _not_aligned(lines, line, above)
    except yaml.YAMLError:  # a control character, which the message names
        return ""
    return ""


def _not_aligned(lines: list[str], line: int, above: int) -> str:
    if line > len(lines):
        return ""
    here, there = (len(each) - len(each.lstrip()) for each in (lines[line - 1], lines[above - 1]))
    if here == there:
        return ""
    return (
        f"line {line} has {here} spaces before it, line {above} has {there}: fields of one object need the same number"
    )
