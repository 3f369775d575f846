"""One of several replicas of a Python service: `python replica.py PORT FILE`; each event it hears is a line of FILE."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from tcpservice_transport import Server

PORT, FILE = int(sys.argv[1]), Path(sys.argv[2])
server = Server(port=PORT)


@server.message_pattern("work")
async def work(data: object) -> object:
    """Take a moment."""
    await asyncio.sleep(0.005)
    return [PORT, data]


@server.message_pattern("count")
async def count(data: int) -> AsyncIterator[int]:
    """Stream."""
    for number in range(data):
        await asyncio.sleep(0.02)
        yield number


@server.event_pattern("happened")
def happened(data: object) -> None:
    """Write it down."""
    with FILE.open("a") as file:
        file.write(f"{data}\n")


if __name__ == "__main__":
    asyncio.run(server.serve())
