"""The service `prices`: what an item costs and weighs. The same question has the same answer, on every replica."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from tcpservice_transport import RpcError, Server

PRICES = {
    "coffee": {"item": "coffee", "price": 9.5, "grams": 500},
    "cup": {"item": "cup", "price": 12, "grams": 310},
    "tea": {"item": "tea", "price": 4.25, "grams": 100},
}

server = Server("0.0.0.0", int(os.environ.get("PORT", "3002")))


@server.message_pattern({"cmd": "price"})
def price(data: Any) -> object:
    """Answer what one piece of an item costs and weighs."""
    item = data["item"]
    if item not in PRICES:
        raise RpcError({"status": "error", "message": f"there is no item {item}"})
    return PRICES[item]


if __name__ == "__main__":
    asyncio.run(server.serve())
