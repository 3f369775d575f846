"""Sending one message many times, and what is to be said of it.

Used by `send`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import NamedTuple

_SHARES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))


class Outcome(NamedTuple):
    """How a message ended: None, or the error as JSON has it."""

    error: object

    @property
    def code(self) -> str:
        """What the error is counted as."""
        code = self.error.get("code") if isinstance(self.error, dict) else None
        return code if isinstance(code, str) else "error"


class Repeating:
    """Many of the same message, some at a time."""

    def __init__(self, send: Callable[[], Awaitable[Outcome]]) -> None:
        self._send = send
        self._left = 0
        self._milliseconds: list[float] = []
        self._errors: Counter[str] = Counter()
        self._seconds = 0.0

    @property
    def failed(self) -> int:
        """How many ended with an error."""
        return self._errors.total()

    async def run(self, count: int, concurrency: int) -> None:
        """Send `count` messages, up to `concurrency` at a time."""
        self._left = count
        started = time.perf_counter()
        await asyncio.gather(*(self._work() for _ in range(min(concurrency, count))))
        self._seconds = time.perf_counter() - started

    async def _work(self) -> None:
        while self._left > 0:
            self._left -= 1
            started = time.perf_counter()
            outcome = await self._send()
            self._milliseconds.append((time.perf_counter() - started) * 1000)
            if outcome.error is not None:
                self._errors[outcome.code] += 1

    def summary(self) -> str:
        """Say how many there were, how many failed and why, and how long they took."""
        times = sorted(self._milliseconds)
        shares = [f"{name} {times[int(share * (len(times) - 1))]:.2f} ms" for name, share in _SHARES]
        lines = [
            f"{len(times)} messages in {self._seconds:.2f} s, {len(times) / self._seconds:.0f} a second",
            ", ".join([*shares, f"slowest {times[-1]:.2f} ms"]),
        ]
        failures = ", ".join(f"{count} {code}" for code, count in self._errors.most_common())
        return "\n".join([*lines, f"failed: {failures}" if failures else "failed: 0"])
