"""The service `orders`: `prices` says what an order costs, `stock` reserves what is in it.

There is no database: every replica knows the same three orders, and forgets those that it takes. The metadata of a
message, in which its trace context is, is handed on with what is sent while it is handled.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from typing import Any

from tcpservice_transport import Client, Context, RpcError, Server

REPLICA = os.environ.get("HOSTNAME", "orders")
KNOWN = {
    1: {"id": 1, "lines": [{"item": "tea", "quantity": 2}], "total": 8.5, "grams": 200},
    2: {"id": 2, "lines": [{"item": "coffee", "quantity": 1}], "total": 9.5, "grams": 500},
    3: {"id": 3, "lines": [{"item": "cup", "quantity": 4}], "total": 48, "grams": 1240},
}
STATES = ("packed", "sent", "on its way", "delivered")
PACE_S = 0.5


prices = Client(os.environ.get("PRICES_SERVICE_HOST", "prices"), int(os.environ.get("PRICES_SERVICE_PORT", "3002")))
stock = Client(os.environ.get("STOCK_SERVICE_HOST", "stock"), int(os.environ.get("STOCK_SERVICE_PORT", "3003")))
server = Server("0.0.0.0", int(os.environ.get("PORT", "3001")))


@server.message_pattern({"cmd": "create"})
async def create(data: Any, context: Context) -> object:
    """Take an order, and tell who cares about it."""
    lines = data["lines"]
    amounts = await asyncio.gather(*(_amount(line, context) for line in lines))
    reserved = await stock.send({"cmd": "reserve"}, {"lines": lines}, metadata=context.metadata)
    order = {"id": str(uuid.uuid4()), "lines": lines, "total": sum(amounts), "grams": reserved["grams"]}
    await stock.emit("order.created", order, metadata=context.metadata)
    return {**order, "replica": REPLICA}


async def _amount(line: Any, context: Context) -> float:
    price = await prices.send({"cmd": "price"}, {"item": line["item"]}, metadata=context.metadata)
    amount: float = price["price"] * line["quantity"]
    return amount


@server.message_pattern({"cmd": "find"})
def find(data: Any) -> object:
    """Answer one of the orders that are known."""
    return {**_known(data["id"]), "replica": REPLICA}


@server.message_pattern("order.watch")
async def watch(data: Any) -> AsyncIterator[object]:
    """Answer the states of an order, one by one."""
    order = _known(data["id"])
    for state in STATES:
        await asyncio.sleep(PACE_S)
        yield {"id": order["id"], "state": state, "replica": REPLICA}


def _known(order_id: int) -> dict[str, object]:
    if order_id not in KNOWN:
        raise RpcError({"status": "error", "message": f"there is no order {order_id}"})
    return KNOWN[order_id]


if __name__ == "__main__":
    asyncio.run(server.serve())
