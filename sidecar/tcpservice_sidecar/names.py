"""Host names: asked of the name server with a real time limit.

Used by `connector`, `resolving` and `upstreams`. `getaddrinfo` of the C library holds a thread for as long as it likes
(30 seconds with a silent server); uvloop has four of them for all lookups, and the process waits for them when it ends.
c-ares, by aiodns, needs no thread for each lookup and gives up in time. Like the C library it reads /etc/hosts and
/etc/resolv.conf.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from typing import Any, Final, TypeVar

import aiodns
from pycares import SRVRecordData

T = TypeVar("T")

LIMIT_S: Final = 2.0
_TRY_S: Final = 1.0
_TRIES: Final = 2


class Names:
    """A resolver of one event loop; `options` are those of c-ares."""

    def __init__(self, **options: Any) -> None:
        self._options = {"timeout": _TRY_S, "tries": _TRIES} | options
        self._resolver: aiodns.DNSResolver | None = None

    async def addresses(self, host: str) -> list[str]:
        """Return the IP addresses of a host, sorted; a host that is an address is its own. Raises OSError."""
        if is_address(host):
            return [host]
        found = await self._answer(lambda resolver: resolver.getaddrinfo(host, type=socket.SOCK_STREAM))
        return sorted({bytes(node.addr[0]).decode("ascii") for node in found.nodes})

    async def ports(self, service: str) -> list[int]:
        """Return the ports that the SRV records of a name tell, one for each record, sorted. Raises OSError."""
        found = await self._answer(lambda resolver: resolver.query_dns(service, "SRV"))
        return sorted(record.data.port for record in found.answer if isinstance(record.data, SRVRecordData))

    async def _answer(self, ask: Callable[[aiodns.DNSResolver], asyncio.Future[T]]) -> T:
        if self._resolver is None:
            self._resolver = aiodns.DNSResolver(**self._options)
        try:
            async with asyncio.timeout(LIMIT_S):
                return await ask(self._resolver)
        except (aiodns.error.DNSError, UnicodeError) as error:
            raise socket.gaierror(socket.EAI_NONAME, str(error.args[-1])) from error
        except TimeoutError as error:
            raise TimeoutError(f"the name server did not answer in {LIMIT_S:g} s") from error

    async def close(self) -> None:
        """Give up all questions. To be called before the event loop ends: c-ares answers them from its own thread."""
        if self._resolver is not None:
            self._resolver.cancel()
            await self._resolver.close()
            self._resolver = None


def is_address(host: str) -> bool:
    """Whether a host is an IP address, not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
