"""All dialling of the sidecar: replicas, the pod's own app, checks of either.

Used by `io` (what the exchange asks for), `relay`, `appcheck` and `resolving`. It knows where an endpoint may listen
(`hosts`, `names`) and how a connection to it is secured (`security`); it returns a channel that is ready for writing.
Of several addresses it tries the next when one fails, or does not answer within a quarter of a second (RFC 8305).
"""

from __future__ import annotations

import asyncio
from typing import Final

from aiohappyeyeballs import addr_to_addr_infos, start_connection

from tcpservice.snapshot import Endpoint
from tcpservice_sidecar.hosts import Hosts
from tcpservice_sidecar.names import Names
from tcpservice_sidecar.security import Plain
from tcpservice_sidecar.tls import TlsChannel
from tcpservice_sockets.channel import Channel, PlainChannel, Receiver
from tcpservice_sockets.connecting import common_error

_NEXT_S: Final = 0.25


class Connector:
    """Makes connections."""

    def __init__(self, security: Plain, hosts: Hosts, names: Names) -> None:
        self._security = security
        self._hosts = hosts
        self.names = names

    async def connect(self, endpoint: Endpoint, receiver: Receiver) -> Channel:
        """Connect to an endpoint, at the first of its addresses that takes the connection.

        `receiver.opened` is called before this returns. Raises OSError. Has no time limit of its own: cancel it.
        """
        context = self._security.for_endpoint(endpoint)
        if context is None:
            return await self._open(endpoint, receiver)
        opening = _Opening(receiver)
        tls = TlsChannel(context, opening, server=False, failed=opening.fail)
        below = await self._open(endpoint, tls)
        try:
            await opening.done
        except BaseException:
            below.abort()
            raise
        return tls

    async def _open(self, endpoint: Endpoint, receiver: Receiver) -> PlainChannel:
        loop = asyncio.get_running_loop()
        hosts = self._hosts.of(endpoint)
        addresses = [address for host in hosts for address in await self.names.addresses(host)]
        if len(addresses) == 1:
            _, channel = await loop.create_connection(lambda: PlainChannel(receiver), addresses[0], endpoint.port)
            return channel
        infos = [info for address in addresses for info in addr_to_addr_infos((address, endpoint.port)) or ()]
        try:
            sock = await start_connection(infos, happy_eyeballs_delay=_NEXT_S)
        except OSError as error:
            raise common_error(error) from error
        try:
            _, channel = await loop.create_connection(lambda: PlainChannel(receiver), sock=sock)
        except BaseException:
            sock.close()
            raise
        return channel


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

    def closed(self, error: str) -> None: ...
