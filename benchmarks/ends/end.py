"""One end of a pair in Python: `end.py server`, or `end.py client PORT WINDOW SECONDS`; `--plain` without uvloop.

Speaks as benchmarks/ends/end.mjs does: a server prints its port, a client a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Coroutine
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
        print(server.port, flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def ask(port: int, window: int, seconds: float) -> None:
    """Keep a window of requests under way for a time; print how many were answered, and at what cost."""
    async with Client(port=port) as client:
        await _ask_for(WARM_UP_S, window, client)
        server = await client.send("cpu")
        cpu, began = time.process_time(), time.perf_counter()
        answered = await _ask_for(seconds, window, client)
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        server = await client.send("cpu") - server
    print(json.dumps({"rate": answered / took, "client": cpu / answered * 1e6, "server": server / answered * 1e6}))


async def _ask_for(seconds: float, window: int, client: Client) -> int:
    ends, answered = time.perf_counter() + seconds, 0

    async def work() -> None:
        nonlocal answered
        while time.perf_counter() < ends:
            assert await client.send({"cmd": "echo"}, DATA) == DATA
            answered += 1

    await asyncio.gather(*(work() for _ in range(window)))
    return answered


def main() -> None:
    """Run the end that the command line names."""
    words = [word for word in sys.argv[1:] if word != "--plain"]
    run: Callable[[Coroutine[Any, Any, None]], None] = asyncio.run if "--plain" in sys.argv else uvloop.run
    run(serve() if words[0] == "server" else ask(int(words[1]), int(words[2]), float(words[3])))


if __name__ == "__main__":
    main()
