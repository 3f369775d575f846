"""Fixtures of the transport's tests: an event loop beside them, a Python server, NestJS by major."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from interop.nest import ClientProcess, NestClient, NestServer
from interop.node import MAJORS, Major
from transport.loop import Loop
from transport.twin import Twin


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    """A loop in a thread of its own."""
    running = Loop()
    yield running
    running.close()


@pytest.fixture(scope="module")
def twin(loop: Loop) -> Iterator[Twin]:
    """Python's server with the handlers of the NestJS replica."""
    found: Twin = loop.run(_started())
    yield found
    loop.run(found.server.close(grace=0))
    assert (found.server.in_flight, found.server.connections) == (0, 0)


async def _started() -> Twin:
    twin = Twin()
    await twin.server.start()
    return twin


@pytest.fixture(scope="module", params=MAJORS)
def major(request: pytest.FixtureRequest) -> Major:
    """Each major of NestJS."""
    found: Major = request.param
    return found


@pytest.fixture(scope="module")
def caller(major: Major, twin: Twin) -> Iterator[NestClient]:
    """A NestJS client of Python's server."""
    with ClientProcess(major) as process, NestClient(major, twin.server.port, process=process) as client:
        yield client


@pytest.fixture(scope="module")
def nest(major: Major) -> Iterator[NestServer]:
    """A NestJS server."""
    with NestServer(major, name="nest") as server:
        yield server
