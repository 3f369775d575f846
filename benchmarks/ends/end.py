"""One end of a pair in Python: `end.py server`, or `end.py client URL WINDOW SECONDS`; `--plain` without uvloop.

Speaks as benchmarks/ends/end.mjs does, over TCP only: a server prints the URL that clients dial, a client a line of
JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Coroutine
from statistics import median
from typing import Any, Final

import uvloop

from tcpservice_transport import Client, Server

DATA: Final = {"id": 7, "text": "abcdefghijkl"}
WARM_UP_S: Final = 0.3


async def serve() -> None:
    """Answer what is asked, until stdin ends."""
    server = Server(port=0)

    @server.message_pattern({"cmd": "echo"})
    async def echo(data: object) -> object:
        return data

    server.message_pattern("cpu")(lambda _: time.process_time())
    async with server:
        print(f"tcp://127.0.0.1:{server.port}", flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def ask(url: str, window: int, seconds: float) -> None:
    """Keep a window of requests in flight for a time; print how many were answered, how fast, and at what cost."""
    async with Client(port=int(url.rpartition(":")[2])) as client:
        await _ask_for(WARM_UP_S, window, client)
        server = await client.send("cpu")
        cpu, began = time.process_time(), time.perf_counter()
        took = await _ask_for(seconds, window, client)
        elapsed, cpu = time.perf_counter() - began, time.process_time() - cpu
        server = await client.send("cpu") - server
    count, p50 = len(took), median(took) * 1000
    figures = {"rate": count / elapsed, "p50": p50, "client": cpu / count * 1e6, "server": server / count * 1e6}
    print(json.dumps(figures))


async def _ask_for(seconds: float, window: int, client: Client) -> list[float]:
    """Return the seconds that each request took."""
    ends, took = time.perf_counter() + seconds, []

    async def work() -> None:
        now = time.perf_counter()
        while now < ends:
            assert await client.send({"cmd": "echo"}, DATA) == DATA
            before, now = now, time.perf_counter()
            took.append(now - before)

    await asyncio.gather(*(work() for _ in range(window)))
    return took


def main() -> None:
    """Run the end that the command line names."""
    words = [word for word in sys.argv[1:] if word != "--plain"]
    run: Callable[[Coroutine[Any, Any, None]], None] = asyncio.run if "--plain" in sys.argv else uvloop.run
    run(serve() if words[0] == "server" else ask(words[1], int(words[2]), float(words[3])))


if __name__ == "__main__":
    main()
