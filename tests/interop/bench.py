"""What all behaviour tests share: a replica and a client process of each major, and the ways between them.

Everything starts when it is first needed and ends with the test session.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from interop.nest import ClientProcess, NestClient, NestServer
from interop.node import MAJORS, Major
from interop.ways import Front, Way, front

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class Bench:
    """Replicas, clients and ways by major, each started once."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._servers: dict[Major, NestServer] = {}
        self._processes: dict[Major, ClientProcess] = {}
        self._fronts: dict[Way, Front] = {}
        self._clients: dict[tuple[Way, Major, Major], NestClient] = {}

    def server(self, major: Major) -> NestServer:
        """The replica of a major."""
        if major not in self._servers:
            self._servers[major] = self._stack.enter_context(NestServer(major, name=f"nest{major}"))
        return self._servers[major]

    def process(self, major: Major) -> ClientProcess:
        """The client process of a major."""
        if major not in self._processes:
            self._processes[major] = self._stack.enter_context(ClientProcess(major))
        return self._processes[major]

    def port(self, way: Way, server: Major) -> int:
        """Where to dial the replica of a major on a way."""
        if way not in self._fronts:
            replicas = {f"nest{major}": [self.server(major).port] for major in MAJORS}
            self._fronts[way] = self._stack.enter_context(front(way, replicas))
        return self._fronts[way].ports[f"nest{server}"]

    def client(self, way: Way, client: Major, server: Major) -> NestClient:
        """The client of a major that all tests of this pair share on a way."""
        key = (way, client, server)
        if key not in self._clients:
            self._clients[key] = self.new_client(*key)
        return self._clients[key]

    def new_client(self, way: Way, client: Major, server: Major) -> NestClient:
        """A client of its own, with a connection of its own."""
        return NestClient(client, self.port(way, server), process=self.process(client)).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, at)
