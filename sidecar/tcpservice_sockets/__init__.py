"""Sockets: what TCP must not do to messages, and who is at the other side.

Used by the sidecar and by the transport for Python apps, as are all modules of this package. Both ends of NestJS leave
Nagle's algorithm on, so that a small frame waits until the one before it is acknowledged, and Linux delays
acknowledgements by 40 ms. Ours send at once (TCP_NODELAY) and, where they read from NestJS and have nothing to send
back within a moment, acknowledge by themselves (TCP_QUICKACK).
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from tcpservice.addresses import Address

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
    sock = _bound_everywhere(port)
    sock.listen(backlog)
    return sock


async def bind(host: str, port: int) -> list[socket.socket]:
    """Bind sockets that do not listen yet, one for each address of a host; `*` is all addresses. Raises OSError.

    Port 0 is replaced by a number that the system chooses, as if that had been asked for: Linux takes a chosen port
    away from a socket that stops listening, and leaves it a port that was named.
    """
    if host == EVERYWHERE:
        if port:
            return [_bound_everywhere(port)]
        with _bound_everywhere(0) as chosen:
            return [_bound_everywhere(chosen.getsockname()[1])]
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    addresses = list(dict.fromkeys((family, where) for family, _, _, _, where in found))
    if port:
        return _bound_to(addresses)
    family, where = addresses[0]
    with _bound(family, where) as chosen:
        number = chosen.getsockname()[1]
        return _bound_to([(family, (where[0], number, *where[2:])) for family, where in addresses])


def reserve(sock: socket.socket) -> bool:
    """Let a socket listen no more, but keep its port from all others; return whether the system can do that (Linux)."""
    with suppress(OSError):  # it does not listen
        sock.shutdown(socket.SHUT_RDWR)
    # While two sockets have this option and none listens, both may have one port. Accepted connections keep it.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    return not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


def unreserve(sock: socket.socket) -> None:
    """Prepare a socket to listen beside the connections that it accepted before."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def _bound_to(addresses: Sequence[tuple[int, Any]]) -> list[socket.socket]:
    bound: list[socket.socket] = []
    try:
        for family, where in addresses:
            bound.append(_bound(family, where))
    except OSError:
        for sock in bound:
            sock.close()
        raise
    return bound


def _bound_everywhere(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        try:
            return _bound(socket.AF_INET6, ("::", port), dualstack=True)
        except OSError as error:
            if error.errno not in _LACKS_IPV6:
                raise
    return _bound(socket.AF_INET, ("0.0.0.0", port))  # noqa: S104 - that is what was asked for


def _bound(family: int, where: Any, *, dualstack: bool = False) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not dualstack)
        sock.bind(where)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def peer_name(transport: asyncio.BaseTransport) -> str:
    """Return the address of the other side, as people write it; `?` where it has none."""
    name = transport.get_extra_info("peername")
    if not isinstance(name, tuple):
        return "?"
    return str(Address(name[0].removeprefix(_MAPPED), name[1]))


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
