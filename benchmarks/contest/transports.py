"""Requests and replies of NestJS apps with two replicas, over each way to reach them that NestJS has.

Used by `bench`. The apps are the same each time, and so is the client: benchmarks/ends/end.mjs, which keeps a window of
requests in flight. Between them is nothing, a sidecar, or a message broker.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from contest.contenders import HOST, OneSidecar, accepts, free_port
from contest.nestjs import END
from contest.places import say
from contest.processes import BenchError, Children
from contest.tools import Tool

WINDOWS: Final = (1, 16)
_REPLICAS: Final = 2
_EXTRA_SECONDS: Final = 30.0


class Exchange(NamedTuple):
    """What one client found: requests per second, and half of them answered within `p50_ms`."""

    rate: float
    p50_ms: float


Exchanges = dict[tuple[str, int], list[Exchange]]
"""By the title of a transport and the window; one for each round."""


class Transport(Protocol):
    """A way to reach the replicas."""

    @property
    def title(self) -> str:
        """Its name in the table."""

    def start(self, children: Children) -> str:
        """Start two replicas and what is between; return the URL that a client dials."""


class DirectTCP:
    """The client dials one of the replicas: a ClientTCP has one connection."""

    title = "TCP, direct (one replica)"

    def start(self, children: Children) -> str:
        """Start the replicas only."""
        return _replicas(children, f"tcp://{HOST}")[0]


class SidecarTCP:
    """The client dials its sidecar."""

    title = "TCP through one sidecar"

    def start(self, children: Children) -> str:
        """Start the replicas, and a sidecar before them."""
        ports = [int(urlsplit(url).port or 0) for url in _replicas(children, f"tcp://{HOST}")]
        return f"tcp://{HOST}:{OneSidecar().start(children, ports).ports[0]}"


class Nats:
    """Client and replicas dial a NATS server, where the replicas share a queue group."""

    title = "NATS, a queue group"

    def __init__(self, tool: Tool) -> None:
        self._tool = tool

    def start(self, children: Children) -> str:
        """Start the NATS server, and the replicas."""
        port = _broker(children, self._tool, "--addr", HOST, "--port")
        return _replicas(children, f"nats://{HOST}:{port}")[0]


class Redis:
    """Client and replicas dial a Redis server, which delivers each request to all replicas."""

    title = "Redis (each replica runs each request)"

    def __init__(self, tool: Tool) -> None:
        self._tool = tool

    def start(self, children: Children) -> str:
        """Start the Redis server, and the replicas."""
        port = _broker(children, self._tool, "--bind", HOST, "--save", "", "--appendonly", "no", "--port")
        return _replicas(children, f"redis://{HOST}:{port}")[0]


def measure(transports: Sequence[Transport], rounds: int, seconds: float) -> Exchanges:
    """Measure each transport at each window once a round; one that fails in a round is left out of it with a line."""
    found: Exchanges = defaultdict(list)
    for number in range(1, rounds + 1):
        say(f"Round {number} of {rounds}: {len(transports)} transports of NestJS ...")
        for transport in random.sample(transports, len(transports)):
            try:
                for window, exchange in _measure(transport, seconds).items():
                    found[transport.title, window].append(exchange)
            except BenchError as error:
                say(f"  {transport.title}: {error}")
    return {(one.title, window): found[one.title, window] for one in transports for window in WINDOWS}


def _measure(transport: Transport, seconds: float) -> dict[int, Exchange]:
    with Children() as children:
        url = transport.start(children)
        found = {}
        for window in WINDOWS:
            client = children.start("client", [*END, "client", url, str(window), str(seconds)])
            printed = json.loads(client.finish(seconds + _EXTRA_SECONDS))
            found[window] = Exchange(printed["rate"], printed["p50"])
        return found


def _replicas(children: Children, url: str) -> list[str]:
    """Start the replicas; return the URL that each of them prints."""
    replicas = [children.start("replica", [*END, "server", url]) for _ in range(_REPLICAS)]
    return [replica.line() for replica in replicas]


def _broker(children: Children, tool: Tool, *flags: str) -> int:
    """Start a broker whose last flag takes the port, and wait until it listens; return the port."""
    port = free_port()
    broker = children.start(tool.path.name, [str(tool.path), *flags, str(port)], tool.env)
    broker.until(lambda: accepts(port), "listener")
    return port
