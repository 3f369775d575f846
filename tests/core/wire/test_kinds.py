"""What kind of text a body is, to the scan that runs and to the reference."""

from __future__ import annotations

import pytest

from core.wire.twins import shape
from tcpservice.wire import reference
from tcpservice.wire.scan import Frame
from tcpservice.wire.shape import DEEP, INVALID, OBJECT, OTHER


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"pattern":1}', OBJECT),
        (b" {} ", OBJECT),
        (b'{"id":1,"id":2}', OBJECT),
        (b'{"\\u0069d":1}', OBJECT),
        (b'{"x":1,"x":{"id":1,"id":2}}', OBJECT),
        (b'{"y":{"id":1,"id":2}}', OBJECT),
        (b"[]", OTHER),
        (b'"a"', OTHER),
        (b"1e999", OTHER),
        (b"[" * 256 + b"]" * 256, OTHER),
        (b"[" * 257 + b"]" * 257, DEEP),
        (b"[" * 100_000, DEEP),
        (b'{"a":' * 257, DEEP),
        (b"[" * 256, INVALID),
        (b"x" + b"[" * 300, INVALID),
        (b'[1,{"a":[]},"\\"[",' * 300, DEEP),
        (b"[1,]" * 300, INVALID),
        (b'{"a":}' + b"[" * 300, INVALID),
        (b'{"a":1,}' + b"[" * 300, INVALID),
        (b"[}" + b"[" * 300, INVALID),
        (b"]" + b"[" * 300, INVALID),
        (b'{"a"}' + b"[" * 300, INVALID),
        (b'{"a":1]' + b"[" * 300, INVALID),
        (b"1,2" + b"[" * 300, INVALID),
        (b"[]:" + b"[" * 300, INVALID),
        (b"", INVALID),
        (b"NaN", INVALID),
        (b"{}{}", INVALID),
        (b'{"a" 1}', INVALID),
        (b'{"a":1 "b":2}', INVALID),
        (b"\xef\xbb\xbf{}", INVALID),
        (b'"\xff"', OTHER),
        (b"\xff", INVALID),
        (b'"\\x"', INVALID),
        (b'"a\nb"', INVALID),
        (b"01", INVALID),
        (b"-", INVALID),
        (b"1.", INVALID),
    ],
)
def test_kinds(body: bytes, kind: int) -> None:
    assert Frame(b"#" + body, 1, 1, 0).kind == kind
    assert shape(reference, body)[0] == kind
