"""The service `stock`: reserves what is ordered, and packs what was; each replica counts what it has packed.

The metadata of a message, in which its trace context is, is handed on with what is sent while it is handled.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tcpservice_transport import Client, ConnectionLost, Context, RemoteError, Server

REPLICA = os.environ.get("HOSTNAME", "stock")


class Peer:
    """Another service, over one connection: dialled when it is first needed, and again after it was lost."""

    def __init__(self, host: str, port: str) -> None:
        self._address = (host, int(port))
        self._dialled: asyncio.Task[Client] | None = None

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Client]:
        """Give the client; that it cannot be reached becomes an error like those of the other side."""
        dialled = self._dialled = self._dialled or asyncio.create_task(Client.connect(*self._address))
        try:
            yield await asyncio.shield(dialled)
        except (OSError, ConnectionLost) as error:
            if self._dialled is dialled:
                self._dialled = None
            raise RemoteError({"status": "error", "message": str(error)}) from error


prices = Peer(os.environ.get("PRICES_SERVICE_HOST", "prices"), os.environ.get("PRICES_SERVICE_PORT", "3002"))
packed_so_far = {"orders": 0, "grams": 0}
server = Server()


@server.message_pattern({"cmd": "reserve"})
async def reserve(data: Any, context: Context) -> object:
    """Answer what an order weighs, which `prices` knows for each item."""
    weights = await asyncio.gather(*(_weight(line, context) for line in data["lines"]))
    return {"grams": sum(weights), "replica": REPLICA}


async def _weight(line: Any, context: Context) -> int:
    async with prices.connected() as client:
        price: Any = await client.send({"cmd": "price"}, {"item": line["item"]}, metadata=context.metadata)
    grams: int = price["grams"] * line["quantity"]
    return grams


@server.event_pattern("order.created")
async def pack(data: Any, _: Context) -> None:
    """Pack an order that was taken."""
    packed_so_far["orders"] += 1
    packed_so_far["grams"] += data["grams"]


@server.message_pattern({"cmd": "packed"})
async def packed(_data: Any, _: Context) -> object:
    """Answer what this replica has packed."""
    return {**packed_so_far, "replica": REPLICA}


async def main() -> None:
    """Serve until told to stop."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await server.listen("0.0.0.0", int(os.environ.get("PORT", "3003")))
    await stopping.wait()
    await server.close()


if __name__ == "__main__":
    asyncio.run(main())
