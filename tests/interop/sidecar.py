"""The sidecar under test, as its users start it: `python -m tcpservice_sidecar ...`.

with Sidecar("--upstream", "orders=127.0.0.1:3001", "--listen", "orders=127.0.0.1:0") as sidecar:
    connect(sidecar.ports["orders"])
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from interop.processes import Child, ChildError

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0
LISTENERS = ("--listen", "--front", "--mesh", "--admin")


class Sidecar:
    """One sidecar process; `ports` holds the port of each listener by its printed name (`mesh`, `admin` too)."""

    def __init__(self, *args: str, env: Mapping[str, str] | None = None) -> None:
        command = [sys.executable, "-m", "tcpservice_sidecar", *args]
        self._child = Child(command, env={"PYTHONPATH": str(ROOT / "sidecar"), **(env or {})})
        self._expected = sum(arg in LISTENERS for arg in args)
        self.ports: dict[str, int] = {}

    def start(self) -> Self:
        """Start it and wait until all listeners are bound."""
        self._child.start()
        deadline = time.monotonic() + START_SECONDS
        try:
            while len(self.ports) < self._expected:
                self._take(self._child.line(deadline - time.monotonic()))
        except ChildError:
            self._child.kill()
            raise
        return self

    def _take(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        name, _, address = rest.partition("=")
        if word == "listening" and address:
            self.ports[name] = int(address.rpartition(":")[2])

    @property
    def process(self) -> Child:
        """The process."""
        return self._child

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    @property
    def stderr(self) -> str:
        """Its log so far."""
        return self._child.stderr

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._child.signal(number)

    def kill(self) -> None:
        """End it at once."""
        self._child.kill()

    def stop(self, timeout: float = 5.0) -> None:
        """Ask it to end, and wait for it."""
        self._child.stop(timeout)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
