"""The caller `web`: places RATE orders per second, and prints every few seconds how it went."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from tcpservice_transport import Client, ConnectionLost, RemoteError

RATE = float(os.environ.get("RATE", "5"))
PATIENCE_S = 5.0
RETRY_S = 0.5
REPORT_S = 3.0
BASKET = {"lines": [{"item": "tea", "quantity": 2}, {"item": "cup", "quantity": 1}]}


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


@dataclass
class Tally:
    """How the orders went so far; `slowest` in milliseconds, `reason` of the last that failed."""

    sent: int = 0
    answered: dict[str, int] = field(default_factory=dict)
    failed: int = 0
    hung: int = 0
    slowest: int = 0
    reason: str = ""

    def print(self) -> None:
        """Print it as a line of JSON."""
        print(json.dumps(asdict(self)), flush=True)


orders = Peer(os.environ.get("ORDERS_SERVICE_HOST", "orders"), os.environ.get("ORDERS_SERVICE_PORT", "3001"))
tally = Tally()


async def create() -> Any:
    """Ask for one order; return the answer."""
    async with asyncio.timeout(PATIENCE_S), orders.connected() as client:
        return await client.send({"cmd": "create"}, BASKET)


async def begin(stopping: asyncio.Event) -> None:
    """Wait until an order is answered: the services may still be starting."""
    while not stopping.is_set():
        try:
            await create()
            break
        except (RemoteError, TimeoutError):
            await _within(RETRY_S, stopping)


async def place() -> None:
    """Place one order, and take note of how it went."""
    began = time.monotonic()
    tally.sent += 1
    try:
        order = await create()
    except TimeoutError:
        tally.hung += 1
    except RemoteError as error:
        tally.failed += 1
        tally.reason = str(error)
    else:
        tally.answered[order["replica"]] = tally.answered.get(order["replica"], 0) + 1
        tally.slowest = max(tally.slowest, round((time.monotonic() - began) * 1000))


async def report() -> None:
    """Print again and again how it went."""
    while True:
        await asyncio.sleep(REPORT_S)
        tally.print()


async def _within(seconds: float, stopping: asyncio.Event) -> bool:
    with suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), seconds)
    return stopping.is_set()


async def main() -> None:
    """Place orders until told to stop, then wait for the last answers."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await begin(stopping)
    async with asyncio.TaskGroup() as tasks:
        reporting = tasks.create_task(report())
        while not await _within(1 / RATE, stopping):
            tasks.create_task(place())
        reporting.cancel()
    tally.print()


if __name__ == "__main__":
    asyncio.run(main())
