"""Three Python servers restarted one after the other, under load, by clients that name all three: nothing is lost."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

from interop.processes import Child
from tcpservice_transport import Client

REPLICA = Path(__file__).with_name("replica.py")
EACH = 30
"""How many answers of a server, and all streams at once, come between two restarts."""


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Load:
    """Clients that ask, listen and tell, until they are told to stop."""

    def __init__(self, clients: list[Client]) -> None:
        self._clients = clients
        self._told = iter(range(10**9))
        self.stopping = asyncio.Event()
        self.answered: Counter[int] = Counter()
        self.streams = 0
        self.told: list[int] = []

    async def run(self) -> None:
        """Put all to work; raises what any of them meets."""
        async with asyncio.TaskGroup() as tasks:
            for client in self._clients:
                for number in range(8):
                    tasks.create_task(self._ask(client, number))
                tasks.create_task(self._tell(client))
                tasks.create_task(self._listen(client))

    async def _ask(self, client: Client, number: int) -> None:
        while not self.stopping.is_set():
            port, data = await client.send("work", number)
            assert data == number
            self.answered[port] += 1

    async def _tell(self, client: Client) -> None:
        while not self.stopping.is_set():
            number = next(self._told)
            await client.emit("happened", number)
            self.told.append(number)
            await asyncio.sleep(0.001)

    async def _listen(self, client: Client) -> None:
        while not self.stopping.is_set():
            assert [number async for number in client.stream("count", 15)] == list(range(15))
            self.streams += 1


def test_a_rolling_restart_loses_nothing(tmp_path: Path) -> None:
    ports = free_ports(3)
    heard = tmp_path / "heard"

    def replica(port: int) -> Child:
        return Child([sys.executable, str(REPLICA), str(port), str(heard)]).start()

    async def scene() -> None:
        children = {port: replica(port) for port in ports}
        try:
            async with asyncio.timeout(300), AsyncExitStack() as stack:
                clients = [Client(addresses=[("127.0.0.1", port) for port in ports]) for _ in range(3)]
                for client in clients:
                    await stack.enter_async_context(client)
                load = Load(clients)
                running = asyncio.create_task(load.run())
                for port in [*ports, *ports]:
                    answered, streams = load.answered[port] + EACH, load.streams + len(clients)
                    while (load.answered[port] < answered or load.streams < streams) and not running.done():
                        await asyncio.sleep(0.01)
                    await asyncio.to_thread(children[port].stop, 60)
                    assert (children[port].returncode, children[port].stderr) == (0, "")
                    children[port] = replica(port)
                    before = load.answered[port]
                    while load.answered[port] == before and not running.done():
                        await asyncio.sleep(0.01)
                load.stopping.set()
                await running
        finally:
            for child in children.values():
                await asyncio.to_thread(child.stop)
        assert min(load.answered.values()) > 50, load.answered
        assert load.streams > 3
        assert sorted(map(int, heard.read_text().split())) == sorted(load.told)

    asyncio.run(scene())
