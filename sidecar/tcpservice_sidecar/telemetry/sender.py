"""A thread that sends batches, so that a collector that is slow holds up itself alone.

Used by `pipeline`, one for each signal. The event loop gives it a batch while it is idle, and hears how that went; the
thread is a daemon, so that a collector that hangs cannot keep the sidecar from leaving.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class Sender(Generic[T]):
    """Sends one batch at a time from a thread of its own, and tells the loop how it went."""

    def __init__(self, name: str, send: Callable[[T], bool], done: Callable[[T, bool], None]) -> None:
        self._send = send
        self._done = done
        self._loop = asyncio.get_running_loop()
        self._batches: SimpleQueue[T | None] = SimpleQueue()
        self.idle = asyncio.Event()
        self.idle.set()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def send(self, batch: T) -> None:
        """Begin to send; only while `idle`."""
        self.idle.clear()
        self._batches.put(batch)

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            try:
                sent = self._send(batch)
            except Exception:
                logging.getLogger("opentelemetry").exception("the exporter failed")
                sent = False
            try:
                self._loop.call_soon_threadsafe(self._finish, batch, sent)
            except RuntimeError:
                return

    def _finish(self, batch: T, sent: bool) -> None:
        self.idle.set()
        self._done(batch, sent)

    def close(self) -> None:
        """Let the thread end once it is done."""
        self._batches.put(None)
