"""An event loop whose time a test moves on, so that a client's long times pass at once.

A time that passes by itself must be short, and is then over too early where the machine stands still for a moment.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest


class MovedLoop(asyncio.SelectorEventLoop):
    """The real time, and what it was moved on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._moved = 0.0
        super().__init__()
        monkeypatch.setattr("tcpservice_transport.clock.time", SimpleNamespace(monotonic_ns=self._monotonic_ns))
        monkeypatch.setattr("tcpservice_sockets.timer.monotonic_ns", self._monotonic_ns)

    def time(self) -> float:
        """Return the time of all timers."""
        return super().time() + self._moved

    def move(self, seconds: float) -> None:
        """Let so much time pass."""
        self._moved += seconds

    def _monotonic_ns(self) -> int:
        return int(self.time() * 1e9)
