"""Ids of requests as JSON text: which ones come back from NestJS as they were sent, and putting another in their place.

Used by `requests`, `replies` and the `exchange`. A request's id may be any JSON value. NestJS parses it and writes it
anew, so only text that survives that is sent to a replica; the sidecar exchanges every other for one of its own on the
way, and gives the caller its own text back.
"""

from __future__ import annotations

import re
from typing import Final

from tcpservice.wire.scan import Frame, is_plain, units

_QUOTE: Final = ord('"')
_STABLE = re.compile(rb'"[^"\\\x00-\x1f]*"|0|-?[1-9][0-9]{0,14}|null|true|false')


def is_stable(text: bytes) -> bool:
    """Whether NestJS, having parsed this id, writes the same bytes back. `text` is a JSON value that was proved."""
    if text[0] == _QUOTE:
        return b"\\" not in text
    return looks_stable(text)


def looks_stable(text: bytes) -> bool:
    """Do the same for any bytes."""
    return _STABLE.fullmatch(text) is not None


def is_utf8(text: bytes) -> bool:
    """Whether a receiver's decoder leaves these bytes as they are."""
    if is_plain(text):
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def with_id(frame: Frame, start: int, end: int, text: bytes) -> bytes:
    """Encode the frame anew with `text` as its id, which now stands in `raw[start:end]`.

    Of repeated ids the one in that range is the last, which wins.
    """
    raw, at = frame.raw, frame.at
    count = frame.units - units(raw[start:end]) + units(text)
    return b"%d#%b%b%b" % (count, raw[at:start], text, raw[end:])
