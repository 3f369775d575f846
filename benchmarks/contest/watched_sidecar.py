"""`python -m contest.watched_sidecar`: a sidecar that also measures the pauses of Python's garbage collector.

Used by `pauses`, through `contenders`. It takes the arguments of `python -m tcpservice_sidecar` and runs the same code,
with a callback of the collector beside it. It answers lines on stdin: an empty one with the nanoseconds of each pause
since the empty line before, `collect` with those of a full collection that it then runs.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from threading import Thread

from tcpservice_sidecar.__main__ import main


class Pauses:
    """The time of each collection, from start to end, during which the process does nothing else."""

    def __init__(self) -> None:
        self._began = 0
        self._found: list[int] = []

    def __call__(self, phase: str, _: dict[str, int]) -> None:
        """Note that the collector starts or stops."""
        now = time.perf_counter_ns()
        if phase == "start":
            self._began = now
        else:
            self._found.append(now - self._began)

    def report(self) -> None:
        """Answer each line on stdin, until it ends."""
        for line in sys.stdin:
            if line.strip() == "collect":
                gc.collect()
                print(self._found.pop(), flush=True)
            else:
                found, self._found = self._found, []
                print(json.dumps(found), flush=True)


if __name__ == "__main__":
    pauses = Pauses()
    gc.callbacks.append(pauses)
    Thread(target=pauses.report, daemon=True).start()
    sys.exit(main())
