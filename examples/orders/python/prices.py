"""The service `prices`: what an item costs and weighs. The same question has the same answer, on every replica."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

from tcpservice_transport import Context, RemoteError, Server

PRICES = {
    "coffee": {"item": "coffee", "price": 9.5, "grams": 500},
    "cup": {"item": "cup", "price": 12, "grams": 310},
    "tea": {"item": "tea", "price": 4.25, "grams": 100},
}

server = Server()


@server.message_pattern({"cmd": "price"})
async def price(data: Any, _: Context) -> object:
    """Answer what one piece of an item costs and weighs."""
    item = data["item"]
    if item not in PRICES:
        raise RemoteError({"status": "error", "message": f"there is no item {item}"})
    return PRICES[item]


async def main() -> None:
    """Serve until told to stop."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await server.listen("0.0.0.0", int(os.environ.get("PORT", "3002")))
    await stopping.wait()
    await server.close()


if __name__ == "__main__":
    asyncio.run(main())
