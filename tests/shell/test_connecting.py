"""The words of a failed connect, which the sidecar and the transport for Python apps share."""

from __future__ import annotations

import errno
import socket

import pytest

from tcpservice_sockets.connecting import common_error, connect_error

REFUSED = "[Errno 111] Connect call failed ('::1', 1, 0, 0), [Errno 111] Connect call failed ('127.0.0.1', 1)"
MIXED = "[Errno 99] Connect call failed ('::1', 1, 0, 0), [Errno 111] Connect call failed ('127.0.0.1', 1)"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(111, "Connect call failed ('127.0.0.1', 1)"), "ECONNREFUSED"),
        (OSError(f"Multiple exceptions: {REFUSED}"), "ECONNREFUSED"),
        (OSError(111, f"Multiple exceptions: {REFUSED}"), "ECONNREFUSED"),
        (OSError(f"Multiple exceptions: {MIXED}"), f"Multiple exceptions: {MIXED}"),
        (OSError(9999, "new"), "Unknown error 9999"),
        (ConnectionError("the TLS handshake timed out"), "the TLS handshake timed out"),
        (socket.gaierror(socket.EAI_NONAME, "no such name"), "[Errno -2] no such name"),
    ],
)
def test_a_failed_connect_is_told_as_node_tells_it(error: OSError, said: str) -> None:
    assert connect_error(common_error(error), "orders", 1) == f"connect {said} orders:1"


def test_an_error_that_all_addresses_gave_is_of_its_own_class() -> None:
    error = common_error(OSError(f"Multiple exceptions: {REFUSED}"))
    assert isinstance(error, ConnectionRefusedError)
    assert (error.errno, error.strerror) == (errno.ECONNREFUSED, "Connection refused")
