"""Sockets: what TCP must not do to messages, and who is at the other side.

Used by the sidecar and by the transport for Python apps. Both ends of NestJS leave Nagle's algorithm on, so that a
small frame waits until the one before it is acknowledged, and Linux delays acknowledgements by 40 ms. Ours send at once
(TCP_NODELAY) and, where they read from NestJS and have nothing to send back within a moment, acknowledge by themselves
(TCP_QUICKACK).
"""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Final

EVERYWHERE: Final = "*"
"""As a host to listen on: all addresses of this machine, of both families."""

_LACKS_IPV6: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
_MAPPED: Final = "::ffff:"
_USER_TIMEOUT_MS: Final = 20_000
_KEEPALIVE_IDLE_S: Final = 15
_KEEPALIVE_INTERVAL_S: Final = 5
_KEEPALIVE_PROBES: Final = 3

_QUICKACK: Final = getattr(socket, "TCP_QUICKACK", None)


def socket_of(transport: asyncio.BaseTransport) -> socket.socket | None:
    """Return the transport's socket; None where it has none any more."""
    found: socket.socket | None = transport.get_extra_info("socket")
    return found


def bind_everywhere(port: int, backlog: int) -> socket.socket:
    """Listen on all addresses by one socket, for IPv6 and IPv4 where the system has both. Raises OSError.

    A wildcard address of one family is not enough: the kubelet and callers come by the family of their cluster, which
    whoever writes a pod's flags cannot know.
    """
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("::", port), family=socket.AF_INET6, backlog=backlog, dualstack_ipv6=True)
        except OSError as error:
            if error.errno not in _LACKS_IPV6:
                raise
    return socket.create_server(("0.0.0.0", port), backlog=backlog)  # noqa: S104 - that is what was asked for


def peer_name(transport: asyncio.BaseTransport) -> str:
    """Return the address of the other side, as people write it; `?` where it has none."""
    name = transport.get_extra_info("peername")
    if not isinstance(name, tuple):
        return "?"
    host = name[0].removeprefix(_MAPPED)
    return f"[{host}]:{name[1]}" if ":" in host else f"{host}:{name[1]}"


def send_at_once(sock: socket.socket) -> None:
    """Turn Nagle's algorithm off."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def notice_death(sock: socket.socket) -> None:
    """Let the kernel notice a peer that is gone without a word, in about half a minute, with or without data under way.

    Options that the system does not have are left out.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", _KEEPALIVE_IDLE_S),
        ("TCP_KEEPINTVL", _KEEPALIVE_INTERVAL_S),
        ("TCP_KEEPCNT", _KEEPALIVE_PROBES),
        ("TCP_USER_TIMEOUT", _USER_TIMEOUT_MS),
    ):
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def acknowledge_at_once(sock: socket.socket) -> None:
    """Acknowledge what was read without delay; Linux forgets this, so it is said again after each read."""
    if _QUICKACK is not None:
        sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
