"""The caller `web`: places RATE orders per second, and prints every few seconds how it went."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from tcpservice_transport import Client, RequestTimeout, Timeouts, TransportError

RATE = float(os.environ.get("RATE", "5"))
PATIENCE_S = 5.0
RETRY_S = 0.5
REPORT_S = 3.0
BASKET = {"lines": [{"item": "tea", "quantity": 2}, {"item": "cup", "quantity": 1}]}


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


orders = Client(
    os.environ.get("ORDERS_SERVICE_HOST", "orders"),
    int(os.environ.get("ORDERS_SERVICE_PORT", "3001")),
    timeouts=Timeouts(connect=PATIENCE_S, request=PATIENCE_S),
)
tally = Tally()


async def create() -> Any:
    """Ask for one order; return the answer."""
    return await orders.send({"cmd": "create"}, BASKET)


async def begin(stopping: asyncio.Event) -> None:
    """Wait until an order is answered: the services may still be starting."""
    while not stopping.is_set():
        try:
            await create()
            break
        except TransportError:
            await _within(RETRY_S, stopping)


async def place() -> None:
    """Place one order, and take note of how it went."""
    began = time.monotonic()
    tally.sent += 1
    try:
        order = await create()
    except RequestTimeout:
        tally.hung += 1
    except TransportError as error:
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
    await orders.close()
    tally.print()


if __name__ == "__main__":
    asyncio.run(main())
