"""The load generator's processes at both ends of a proxy: the replicas that answer, and the callers.

Used by `bench`, `rounds` and `pauses`. The program is benchmarks/load, built by `tools`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from contest.cases import Case
from contest.contenders import HOST, Running
from contest.processes import Child, Children
from contest.samples import LOAD, REPLICAS

_EXTRA_SECONDS: Final = 60.0
# One thread each: on few cores, a second one only spins and takes the proxy's time.
_ONE_THREAD: Final = {"GOMAXPROCS": "1"}


@contextmanager
def replicas(load: Path, count: int) -> Iterator[tuple[Child, list[int]]]:
    """Run a number of replicas; give the process, and their ports."""
    with Children() as children:
        child = children.start(REPLICAS, [str(load), "replicas", "--count", str(count)], _ONE_THREAD)
        yield child, json.loads(child.line())


def call(load: Path, case: Case, running: Running, fleet: Child, *, seconds: float, warmup: float) -> dict[str, Any]:
    """Put the load of a case on a contender; return what the callers printed. Raises BenchError."""
    argv = [str(load), "call", "--targets", ",".join(f"{HOST}:{port}" for port in running.ports)]
    argv += [*case.flags(), "--time", f"{seconds}s", "--warmup", f"{warmup}s"]
    watched: Mapping[str, Sequence[Child]] = {**running.sides, REPLICAS: [fleet]}
    for side, processes in watched.items():
        pids = [str(pid) for child in processes for pid in child.pids()]
        argv += ["--watch", f"{side}={','.join(pids)}"]
    with Children() as children:
        callers = children.start(LOAD, argv, _ONE_THREAD)
        found: dict[str, Any] = json.loads(callers.finish(seconds + warmup + _EXTRA_SECONDS))
        return found
