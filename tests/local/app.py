"""The app of the local mode's tests: one service of a chain, with handlers that answer, stream, wait and fail.

Run as a replica by `tcpservice up`: listens on PORT; NEXT names the service that it asks before it answers a `chain`.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

from tcpservice_transport import Client, Context, RpcError, Server

NAME = os.environ["HOSTNAME"]
server = Server("0.0.0.0", int(os.environ["PORT"]))
following: list[Client] = []


@server.message_pattern("whoami")
async def whoami(_data: object, _context: Context) -> object:
    return NAME


@server.message_pattern("variables")
async def variables(data: object, _context: Context) -> object:
    assert isinstance(data, list)
    return [os.environ.get(name) for name in data]


@server.message_pattern("wait")
async def wait(data: object, _context: Context) -> object:
    await asyncio.sleep(float(str(data)))
    return NAME


@server.message_pattern("count")
async def count(data: object, _context: Context) -> AsyncIterator[object]:
    for number in range(int(str(data))):
        yield number


@server.message_pattern("fail")
async def fail(_data: object, _context: Context) -> object:
    raise RpcError({"status": "error", "message": "as asked"})


@server.message_pattern("chain")
async def chain(data: object, context: Context) -> object:
    host = os.environ.get("NEXT_HOST")
    if not host:
        return [NAME]
    if not following:
        following.append(Client(host, int(os.environ["NEXT_PORT"])))
    metadata = context.metadata if isinstance(context.metadata, dict) else None
    answered = await following[0].send("chain", data, metadata=metadata)
    assert isinstance(answered, list)
    return [NAME, *answered]


async def main() -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await server.start()
    print(f"{NAME} listens", flush=True)
    await ended.wait()
    await server.close()
    print(f"{NAME} leaves", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
