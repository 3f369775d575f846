"""What is measured: how many callers, how many requests in flight for each, and what the messages are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
MEGABYTE: Final = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Case:
    """One load. `size` 0 is a message of 64 bytes in all; `traced` also runs with traces on."""

    key: str
    title: str
    window: int = 1
    connections: int = 16
    size: int = 0
    mix: bool = False
    replicas: int = 3
    traced: bool = False

    @property
    def moved_megabytes(self) -> float:
        """Data of one request and its answer, where the data is what costs."""
        return 2 * self.size / MEGABYTE

    def flags(self) -> list[str]:
        """Write it as flags of the load."""
        flags = ["--connections", str(self.connections), "--window", str(self.window), "--size", str(self.size)]
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
BODIES: Final = ("4-kib", "256-kib", "1-mib")
CROWD: Final = "callers-1000"
