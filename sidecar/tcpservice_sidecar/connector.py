"""All dialling of the sidecar: replicas, the pod's own app, checks of either.

Used by `io` (what the exchange asks for), `relay`, `appcheck` and `resolving`. It knows where an endpoint may listen
(`hosts`) and how a connection to it is secured (`security`); it returns a channel that is ready to be written to.
"""

from __future__ import annotations

import asyncio
import errno
import os
from typing import Final

from tcpservice.snapshot import Endpoint
from tcpservice_sidecar.channel import Channel, PlainChannel, Receiver
from tcpservice_sidecar.hosts import Hosts
from tcpservice_sidecar.security import Plain
from tcpservice_sidecar.tls import TlsChannel

_PASSED_OVER: Final = (ConnectionRefusedError,)


class Connector:
    """Makes connections."""

    def __init__(self, security: Plain, hosts: Hosts) -> None:
        self._security = security
        self._hosts = hosts

    async def connect(self, endpoint: Endpoint, receiver: Receiver) -> Channel:
        """Connect to an endpoint, at the first of its addresses that takes the connection.

        `receiver.opened` is called before this returns. Raises OSError. Has no time limit of its own: cancel it.
        """
        *early, last = self._hosts.of(endpoint)
        for host in early:
            try:
                return await self._connect(host, endpoint, receiver)
            except _PASSED_OVER:
                continue
        return await self._connect(last, endpoint, receiver)

    async def _connect(self, host: str, endpoint: Endpoint, receiver: Receiver) -> Channel:
        loop = asyncio.get_running_loop()
        context = self._security.for_endpoint(endpoint)
        if context is None:
            _, plain = await loop.create_connection(lambda: PlainChannel(receiver), host, endpoint.port)
            return plain
        opening = _Opening(receiver)
        tls = TlsChannel(context, opening, server=False, failed=opening.fail)
        _, below = await loop.create_connection(lambda: PlainChannel(tls), host, endpoint.port)
        try:
            await opening.done
        except BaseException:
            below.abort()
            raise
        return tls


class _Opening:
    """Waits for the end of a handshake, then gives the channel to its receiver."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def opened(self, channel: Channel) -> None:
        if self.done.done():  # the dial was given up
            channel.abort()
            return
        self.done.set_result(None)
        channel.hand_over(self._receiver)

    def fail(self, reason: str) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError(reason))

    def received(self, data: bytes) -> None: ...

    def ended(self) -> None: ...

    def unsent_changed(self) -> None: ...

    def closed(self, reason: str) -> None: ...


def connect_error(error: OSError, endpoint: Endpoint) -> str:
    """Word a failed connect as Node does (`connect ECONNREFUSED 10.0.0.1:3001`): people search for that."""
    number = error.errno
    name = errno.errorcode.get(number) if number is not None and number > 0 else None
    text = name or (os.strerror(number) if number is not None and number > 0 else str(error))
    return f"connect {text} {endpoint.host}:{endpoint.port}"
