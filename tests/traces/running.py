"""A receiver that runs in a thread of its own, so that blocking exporters and processes can send to it."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from shell.running import wait_until
from tcpservice_traces import Receiver, Trace, TraceStore

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 10.0


class Running:
    """The receiver, its store and its URL."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._traces = TraceStore()
        self.receiver = Receiver(self._traces)
        self.url = asyncio.run_coroutine_threadsafe(self.receiver.start(), loop).result(SECONDS)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    def traces(self) -> list[Trace]:
        """Return all traces, the oldest first, as the loop's thread sees them."""

        async def recent() -> list[Trace]:
            return self._traces.recent(100)[::-1]

        return asyncio.run_coroutine_threadsafe(recent(), self._loop).result(SECONDS)

    def trace(self, spans: int) -> Trace:
        """Wait until so many spans have come, and return the one trace that they are of."""
        wait_until(lambda: sum(len(each.spans) for each in self.traces()) >= spans, f"{spans} spans come")
        (found,) = self.traces()
        assert len(found.spans) == spans, found.spans
        return found

    def close(self) -> None:
        """Stop it."""
        for end in (self.receiver.close, self._loop.shutdown_default_executor):
            asyncio.run_coroutine_threadsafe(end(), self._loop).result(SECONDS)


@contextmanager
def receiving() -> Iterator[Running]:
    """Run a receiver."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        running = Running(loop)
        try:
            yield running
        finally:
            running.close()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(SECONDS)
        loop.close()
