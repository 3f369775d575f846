"""What the benchmarks of the operator ask of its process, and requests of which some are under way at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterable
from pathlib import Path
from typing import Final, TypeVar

from cluster.running import Operator

AT_ONCE: Final = 32
_TICKS: Final = 100

T = TypeVar("T")


def is_quiet(operator: Operator) -> bool:
    """Whether it leads and reconciled nothing for two seconds."""
    if not operator.figure("leading"):
        return False
    before = operator.figure("writes_total"), operator.figure("reconcile_duration_seconds_count")
    time.sleep(2)
    return (operator.figure("writes_total"), operator.figure("reconcile_duration_seconds_count")) == before


def memory(operator: Operator) -> int:
    """Return its resident memory in bytes."""
    status = Path(f"/proc/{operator.child.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) * 1024


def cpu(operator: Operator) -> float:
    """Return the CPU time that it has used, in seconds."""
    fields = Path(f"/proc/{operator.child.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


async def all_of(wanted: Iterable[Awaitable[T]]) -> list[T]:
    """Await all, some at a time; return the results in their order."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(awaited: Awaitable[T]) -> T:
        async with places:
            return await awaited

    return await asyncio.gather(*map(one, wanted))
