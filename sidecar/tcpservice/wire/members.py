"""What can be read of a body that is not whole, or not JSON.

Used by `requests` and `replies` for frames that are answered with an error: the id stands among the first members of a
frame that is too large or nested too deeply, and the words of a refusal say where a text stops being JSON. Only the
beginning of a body is parsed, since parsed JSON takes many times the memory of its text.
"""

from __future__ import annotations

import re
from typing import Final

from tcpservice import javascript

EXPLAINED: Final = 4096
"""Bodies of up to so many bytes are parsed to say what is wrong with them."""

_SPACE = re.compile(r"[ \t\n\r]*")


def first_members(head: bytes) -> dict[str, str]:
    """Read the text of each member that is whole in the first bytes of a JSON object; the last of repeated keys wins.

    A member is whole when a comma or the closing brace follows it. What is no object has no members.
    """
    text, members = head.decode("utf-8", "replace"), dict[str, str]()
    at = _skip(text, 0)
    if text[at : at + 1] != "{":
        return members
    after = ","
    while after == ",":
        try:
            key, at = javascript.parse_at(text, _skip(text, at + 1))
            at = _skip(text, at)
            if not isinstance(key, str) or text[at : at + 1] != ":":
                break
            begin = _skip(text, at + 1)
            _, end = javascript.parse_at(text, begin)
        except ValueError:
            break
        at = _skip(text, end)
        after = text[at : at + 1]
        if after in (",", "}") and after:
            members[key] = text[begin:end]
    return members


def why_not_json(body: bytes) -> str:
    """Say in what way a body is not JSON."""
    if len(body) <= EXPLAINED:
        try:
            javascript.parse(body.decode("utf-8", "replace"))
        except ValueError as error:
            return f"the body is not JSON: {error}"
    return f"the body is not JSON: it begins with {body[:40]!r}"


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()
