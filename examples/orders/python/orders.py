"""The service `orders`: `prices` says what an order costs, `stock` reserves what is in it.

There is no database: every replica knows the same three orders, and forgets those that it takes. The metadata of a
message, in which its trace context is, is handed on with what is sent while it is handled.
"""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tcpservice_transport import Client, ConnectionLost, Context, RemoteError, Server

REPLICA = os.environ.get("HOSTNAME", "orders")
KNOWN = {
    1: {"id": 1, "lines": [{"item": "tea", "quantity": 2}], "total": 8.5, "grams": 200},
    2: {"id": 2, "lines": [{"item": "coffee", "quantity": 1}], "total": 9.5, "grams": 500},
    3: {"id": 3, "lines": [{"item": "cup", "quantity": 4}], "total": 48, "grams": 1240},
}
STATES = ("packed", "sent", "on its way", "delivered")
PACE_S = 0.5


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
stock = Peer(os.environ.get("STOCK_SERVICE_HOST", "stock"), os.environ.get("STOCK_SERVICE_PORT", "3003"))
server = Server()


@server.message_pattern({"cmd": "create"})
async def create(data: Any, context: Context) -> object:
    """Take an order, and tell who cares about it."""
    lines = data["lines"]
    amounts = await asyncio.gather(*(_amount(line, context) for line in lines))
    async with stock.connected() as client:
        reserved: Any = await client.send({"cmd": "reserve"}, {"lines": lines}, metadata=context.metadata)
        order = {"id": str(uuid.uuid4()), "lines": lines, "total": sum(amounts), "grams": reserved["grams"]}
        await client.emit("order.created", order, metadata=context.metadata)
    return {**order, "replica": REPLICA}


async def _amount(line: Any, context: Context) -> float:
    async with prices.connected() as client:
        price: Any = await client.send({"cmd": "price"}, {"item": line["item"]}, metadata=context.metadata)
    amount: float = price["price"] * line["quantity"]
    return amount


@server.message_pattern({"cmd": "find"})
async def find(data: Any, _: Context) -> object:
    """Answer one of the orders that are known."""
    return {**_known(data["id"]), "replica": REPLICA}


@server.message_pattern("order.watch")
async def watch(data: Any, _: Context) -> AsyncIterator[object]:
    """Answer the states of an order, one by one."""
    order = _known(data["id"])
    for state in STATES:
        await asyncio.sleep(PACE_S)
        yield {"id": order["id"], "state": state, "replica": REPLICA}


def _known(order_id: int) -> dict[str, object]:
    if order_id not in KNOWN:
        raise RemoteError({"status": "error", "message": f"there is no order {order_id}"})
    return KNOWN[order_id]


async def main() -> None:
    """Serve until told to stop."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await server.listen("0.0.0.0", int(os.environ.get("PORT", "3001")))
    await stopping.wait()
    await server.close()


if __name__ == "__main__":
    asyncio.run(main())
