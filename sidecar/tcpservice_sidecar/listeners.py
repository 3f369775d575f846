"""Where downstream connections are accepted: plain listeners that balance, and the mesh listener of the own app.

Used by `app`. A port that cannot be had at the start is one line that names the flag. A listener can stop and start
again while the sidecar runs: a service that cannot be reached then refuses connections, as its own port would.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from ssl import SSLContext
from typing import Final

from tcpservice.snapshot import Protocol, Service
from tcpservice_flags import Address, SettingsError, bind_error
from tcpservice_sidecar.io import UNACCEPTED, Connection, ExchangeIO, now_ns
from tcpservice_sidecar.logs import Log
from tcpservice_sidecar.relay import Relays
from tcpservice_sidecar.security import Plain
from tcpservice_sidecar.tls import TlsChannel
from tcpservice_sockets import EVERYWHERE, bind, reserve, unreserve
from tcpservice_sockets.channel import PlainChannel, Receiver

_BACKLOG: Final = 1024
_AGAIN_S: Final = 1.0


class Listeners:
    """The listening sockets of one sidecar."""

    def __init__(self, io: ExchangeIO, relays: Relays, security: Plain, log: Log) -> None:
        self._io = io
        self._relays = relays
        self._security = security
        self._log = log
        self._own: list[_Listener] = []
        self._others: list[_Listener] = []

    async def listen(self, service: Service, address: Address, *, front: bool = False) -> Address:
        """Accept connections to a service; return the address that was bound. `front`: the callers have no sidecar.

        Raises SettingsError.
        """
        exchange = self._io.exchange

        def receiver() -> Receiver:
            if service.protocol is Protocol.OPAQUE:
                return self._relays.downstream(service)
            return self._connection(lambda: exchange.accept(service, now_ns(), inbound=front))

        flag, others = ("--front", self._others) if front else ("--listen", self._own)
        return await self._start(_Listener(service.key, flag, address, receiver, None, self._log), others)

    async def listen_mesh(self, address: Address) -> Address:
        """Accept other sidecars; return the address that was bound. Raises SettingsError."""
        exchange = self._io.exchange

        def receiver() -> Receiver:
            return self._connection(lambda: exchange.accept_mesh(now_ns()))

        context = self._security.for_mesh_listener()
        return await self._start(_Listener("", "--mesh", address, receiver, context, self._log), self._others)

    def stop_listening(self, key: str) -> None:
        """Refuse connections to a service until `start_listening`; those that stand stay. Its ports stay reserved."""
        for listener in self._of(key):
            listener.stop()

    def start_listening(self, key: str) -> None:
        """Accept connections to a service again, at the same addresses and ports."""
        for listener in self._of(key):
            listener.start()

    def close_to_others(self) -> None:
        """Accept only the pod's own app any more; the connections that stand stay."""
        while self._others:
            self._others.pop().close()

    def close(self) -> None:
        """Accept nobody any more; the connections that stand stay."""
        self.close_to_others()
        while self._own:
            self._own.pop().close()

    def _of(self, key: str) -> list[_Listener]:
        return [listener for listener in (*self._own, *self._others) if listener.key == key]

    def _connection(self, accept: Callable[[], int | None]) -> Connection:
        return Connection(self._io, UNACCEPTED, upstream=False, accept=accept)

    async def _start(self, listener: _Listener, among: list[_Listener]) -> Address:
        try:
            bound = await listener.open()
        except OSError as error:
            text = f"{listener.flag}: cannot listen on {listener.address}: {bind_error(error)}"
            raise SettingsError(text) from error
        among.append(listener)
        return bound


class _Listener:
    """One listening socket, which is bound for as long as this exists, whether it listens or not.

    `key` is its service, empty for the mesh listener. `wanted` says whether it should listen; the rest follows.
    """

    def __init__(
        self,
        key: str,
        flag: str,
        address: Address,
        receiver: Callable[[], Receiver],
        context: SSLContext | None,
        log: Log,
    ) -> None:
        self.key = key
        self.flag = flag
        self.address = address
        self._receiver = receiver
        self._context = context
        self._log = log
        self._wanted = True
        self._sockets: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._opening: asyncio.Task[None] | None = None

    async def open(self) -> Address:
        """Listen; return the address that was bound. Raises OSError."""
        if not self._sockets:
            self._sockets = await bind(*self.address)
        loop = asyncio.get_running_loop()
        try:
            for sock in self._sockets:
                unreserve(sock)
                # A server closes its socket when it stops; this one stays.
                self._servers.append(await loop.create_server(self._channel, sock=sock.dup(), backlog=_BACKLOG))
        except OSError:
            self._shut()
            raise
        host, port = self._sockets[0].getsockname()[:2]
        self.address = self.address._replace(port=port)
        return self.address if self.address.host == EVERYWHERE else Address(host, port)

    def stop(self) -> None:
        """Refuse connections."""
        self._wanted = False
        if self._opening is None:
            self._shut()

    def start(self) -> None:
        """Accept connections, as soon as that is possible."""
        self._wanted = True
        if not self._servers and self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._reopen())

    def close(self) -> None:
        """Stop for good, and give the port back."""
        if self._opening is not None:
            self._opening.cancel()
        self._shut()
        self._give_back()

    async def _reopen(self) -> None:
        """Listen again; if the system refuses that, try until it does not, or nobody wants it any more."""
        try:
            while self._wanted and not self._servers:
                try:
                    await self.open()
                except OSError as error:
                    text = f"{self.flag}: cannot listen on {self.address} again: {bind_error(error)}; tried each second"
                    self._log.warn("listen_failed", text, service=self.key)
                    await asyncio.sleep(_AGAIN_S)
        finally:
            self._opening = None
            if not self._wanted:
                self._shut()

    def _shut(self) -> None:
        """Keep the ports without listening; where the system cannot do that, give them back until they are needed."""
        while self._servers:
            self._servers.pop().close()
        reserved = [reserve(sock) for sock in self._sockets]
        if not all(reserved):
            self._give_back()

    def _give_back(self) -> None:
        while self._sockets:
            self._sockets.pop().close()

    def _channel(self) -> PlainChannel:
        receiver = self._receiver()
        if self._context is not None:
            receiver = TlsChannel(self._context, receiver, server=True)
        return PlainChannel(receiver)
