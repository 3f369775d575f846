"""The hostile side of `fuzz.process`, a process of its own: callers, sidecars and a replica that send any bytes."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from multiprocessing.sharedctypes import Synchronized
from random import Random
from typing import Final, NamedTuple

from fuzz import streams
from fuzz.campaign import Options, random_of
from tcpservice.wire.mesh import Preface, encode_preface

AT_ONCE: Final = 4
READ_S: Final = 0.02
CLOSE_S: Final = 5.0
SHARE: Final = {"plain": 0.45, "mesh": 0.35, "evil": 0.2}


class Ports(NamedTuple):
    """Where the hostile ones connect to; `evil` is the service of which the hostile replica is the only one."""

    plain: int
    mesh: int
    evil: int
    key: str


def attack(
    asked: Options, ports: Ports, listener: socket.socket, count: Synchronized[int], stop: Synchronized[int]
) -> None:
    """Attack until the time or the inputs are used up, or `stop` is set; `count` is how many inputs were sent."""
    asyncio.run(_attack(asked, ports, listener, count, stop))


async def _attack(
    asked: Options, ports: Ports, listener: socket.socket, count: Synchronized[int], stop: Synchronized[int]
) -> None:
    replica = Replica(Random(asked.seed))
    server = await asyncio.start_server(replica.serve, sock=listener)
    until = time.monotonic() + asked.seconds
    numbers = iter(range(asked.first, 1 << 62))

    async def worker() -> None:
        for number in numbers:
            used_up = asked.inputs and count.value >= asked.inputs
            if used_up or stop.value or time.monotonic() > until:
                return
            sent = await connection(random_of(asked.seed, number), ports)
            with count.get_lock():
                count.value += sent

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    server.close()
    await replica.close()


async def connection(random: Random, ports: Ports) -> int:
    """Open one connection and send some streams; return of how many frames."""
    (kind,) = random.choices(list(SHARE), list(SHARE.values()))
    pieces = [random.choice(streams.PIECES)(random) for _ in range(random.choice([1, 5, 20, 60]))]
    data = b"".join(pieces)
    if kind == "mesh" and random.random() < 0.95:
        data = encode_preface(Preface(ports.key)) + data
    port = {"plain": ports.plain, "mesh": ports.mesh, "evil": ports.evil}[kind]
    with suppress(OSError, TimeoutError):
        reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 10)
        try:
            for chunk in streams.chunks(random, data)[:50]:
                writer.write(chunk)
                await asyncio.sleep(0)
            with suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1 << 20), READ_S)
            if random.random() < 0.3:
                writer.transport.abort()
        finally:
            writer.close()
    return len(pieces)


class Replica:
    """Answers each read with some stream, or closes."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def close(self) -> None:
        """Close the connections, and wait until they have ended."""
        for writer in self._connections.values():
            writer.close()
        if self._connections:
            await asyncio.wait(self._connections, timeout=CLOSE_S)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Play one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        task.add_done_callback(self._connections.pop)
        with suppress(OSError):
            while await reader.read(1 << 16):
                if self._random.random() < 0.1:
                    break
                writer.write(streams.stream(self._random))
        writer.close()
