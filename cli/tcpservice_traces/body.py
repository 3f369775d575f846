"""The body of a request as it was before it was compressed, and the word for a request that cannot be taken.

Used by `otlp`. Never unpacks more than the limit, whatever a small body claims to hold: anybody on this machine can
send one.
"""

from __future__ import annotations

import zlib
from typing import Final

_WINDOWS: Final = {"gzip": 31, "deflate": 15}
_PLAIN: Final = ("", "identity")


class Refused(Exception):
    """A request that cannot be taken: the HTTP status that says so, and a sentence for people."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def too_large(limit: int) -> Refused:
    """Make the refusal of a body above `limit` bytes."""
    return Refused(413, f"the body is larger than {limit:,} bytes; export in smaller batches")


def unpack(data: bytes, encoding: str, limit: int) -> bytes:
    """Return the body behind a Content-Encoding (gzip, deflate, identity or ''). Raises Refused: 413, 415 or 400."""
    encoding = encoding.strip().lower()
    if encoding not in _PLAIN:
        data = _inflate(data, encoding, limit)
    if len(data) > limit:
        raise too_large(limit)
    return data


def _inflate(data: bytes, encoding: str, limit: int) -> bytes:
    window = _WINDOWS.get(encoding)
    if window is None:
        raise Refused(415, f"Content-Encoding is to be gzip, deflate or none, not {encoding!r}")
    stream = zlib.decompressobj(window)
    try:
        # One byte more than the limit shows that there is more, at the cost of one byte.
        unpacked = stream.decompress(data, limit + 1)
    except zlib.error as error:
        raise Refused(400, f"the body is not {encoding}, as its Content-Encoding says ({error})") from error
    if len(unpacked) <= limit and not stream.eof:
        raise Refused(400, f"the body ends in the middle of its {encoding}")
    return unpacked
