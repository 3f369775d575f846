"""What is measured: how many callers, how many requests in flight for each or at which rate, and which messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
MEGABYTE: Final = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Case:
    """One load. `size` 0 is a message of 64 bytes in all; `traced` also runs with traces on.

    With a `rate`, callers send so many requests per second together, answered or not, and `window` has no effect.
    `stretch` is how many times longer than the others it takes.
    """

    key: str
    title: str
    window: int = 1
    connections: int = 16
    size: int = 0
    mix: bool = False
    replicas: int = 3
    traced: bool = False
    rate: int = 0
    stretch: int = 1

    @property
    def moved_megabytes(self) -> float:
        """Data of one request and its answer, where the data is what costs."""
        return 2 * self.size / MEGABYTE

    def flags(self) -> list[str]:
        """Write it as flags of the load."""
        flags = ["--connections", str(self.connections), "--window", str(self.window), "--size", str(self.size)]
        if self.rate:
            flags += ["--rate", str(self.rate)]
        return [*flags, "--mix"] if self.mix else flags


CASES: Final = (
    Case(key="window-1", title="64 B, window 1", traced=True),
    Case(key="window-8", title="64 B, window 8", window=8, traced=True),
    Case(key="window-32", title="64 B, window 32", window=32, traced=True),
    Case(key="mix-1", title="mix, window 1", mix=True),
    Case(key="mix-8", title="mix, window 8", window=8, mix=True),
    Case(key="4-kib", title="4 KiB, window 1", size=4 * KIB),
    Case(key="256-kib", title="256 KiB, window 1", size=256 * KIB),
    Case(key="1-mib", title="1 MiB, window 1", size=MIB),
    Case(key="callers-1000", title="64 B, 1,000 callers, 10 replicas, window 1", connections=1000, replicas=10),
)
FIXED_RATE: Final = Case(
    key="fixed-rate",
    title="1,000 messages/s of 1 KB, 16 connections, 2 replicas",
    size=1000,
    replicas=2,
    rate=1000,
    stretch=3,
)
BODIES: Final = ("4-kib", "256-kib", "1-mib")
CROWD: Final = "callers-1000"
