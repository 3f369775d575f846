"""The service `stock`: reserves what is ordered, and packs what was; each replica counts what it has packed.

The metadata of a message, in which its trace context is, is handed on with what is sent while it is handled.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from tcpservice_transport import Client, Context, Server

REPLICA = os.environ.get("HOSTNAME", "stock")


prices = Client(os.environ.get("PRICES_SERVICE_HOST", "prices"), int(os.environ.get("PRICES_SERVICE_PORT", "3002")))
packed_so_far = {"orders": 0, "grams": 0}
server = Server("0.0.0.0", int(os.environ.get("PORT", "3003")))


@server.message_pattern({"cmd": "reserve"})
async def reserve(data: Any, context: Context) -> object:
    """Answer what an order weighs, which `prices` knows for each item."""
    weights = await asyncio.gather(*(_weight(line, context) for line in data["lines"]))
    return {"grams": sum(weights), "replica": REPLICA}


async def _weight(line: Any, context: Context) -> int:
    price = await prices.send({"cmd": "price"}, {"item": line["item"]}, metadata=context.metadata)
    grams: int = price["grams"] * line["quantity"]
    return grams


@server.event_pattern("order.created")
def pack(data: Any) -> None:
    """Pack an order that was taken."""
    packed_so_far["orders"] += 1
    packed_so_far["grams"] += data["grams"]


@server.message_pattern({"cmd": "packed"})
def packed(_: None) -> object:
    """Answer what this replica has packed."""
    return {**packed_so_far, "replica": REPLICA}


if __name__ == "__main__":
    asyncio.run(server.serve())
