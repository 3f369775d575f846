"""A sidecar under a memory limit, as in a pod whose container has `resources.limits.memory`.

Where root may create cgroups with a memory controller (v2, or v1), the sidecar starts in one, in mount and cgroup
namespaces of its own, so that it finds the limit where a container does (/sys/fs/cgroup/memory.max, or
/sys/fs/cgroup/memory/memory.limit_in_bytes), and the kernel kills it above the limit. Elsewhere a thread watches its
resident memory and kills it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from pathlib import Path
from typing import NamedTuple, Self

from interop.processes import Child, ChildError
from interop.sidecar import Sidecar
from shell.running import memory

LIMIT = 256 << 20
WATCH_SECONDS = 0.05
ROOT = Path("/sys/fs/cgroup")


class Controller(NamedTuple):
    """Where cgroups with a memory limit are made here, and how."""

    parent: Path
    limit: str
    seen: Path
    """Where a container finds its own limit."""


def controller() -> Controller | None:
    """Find a place for a cgroup with a memory limit; None where this machine allows none."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    own = {names: path for _, names, path in (line.split(":", 2) for line in lines)}
    candidates = []
    if (ROOT / "memory").is_dir():
        seen = ROOT / "memory"
        for place in (own.get("memory", "/"), "/"):
            parent = ROOT / "memory" / place.lstrip("/")
            candidates.append(Controller(parent, "memory.limit_in_bytes", seen))
    else:
        seen = ROOT
        for place in ("/", own.get("", "/")):
            parent = ROOT / place.lstrip("/")
            candidates.append(Controller(parent, "memory.max", seen))
    return next((each for each in candidates if _usable(each)), None)


def _usable(candidate: Controller) -> bool:
    trial = candidate.parent / f"tcpservice-trial-{os.getpid()}"
    try:
        trial.mkdir()
        try:
            (trial / candidate.limit).write_text(str(LIMIT))
        finally:
            trial.rmdir()
    except OSError:
        return False
    return True


class LimitedSidecar(Sidecar):
    """A sidecar whose memory is limited; `peak` is the most resident memory that it was seen to have, in bytes."""

    def __init__(self, *args: str) -> None:
        super().__init__(*args)
        self.peak = 0
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._controller = controller()
        self._group: Path | None = None
        if self._controller is not None:
            self._group = self._controller.parent / f"tcpservice-{os.getpid()}-{id(self)}"
            plain = self._child
            enter = f"echo $$ > {self._group}/cgroup.procs && exec unshare --cgroup --mount sh -c"
            inner = f'mount --bind {self._group} {self._controller.seen} && exec "$@"'
            self._child = Child(["sh", "-c", f"{enter} '{inner}' sh \"$@\"", "sh", *plain._argv], env=plain._env)

    def start(self) -> Self:
        """Start it within its limit."""
        if self._controller is not None and self._group is not None:
            self._group.mkdir()
            (self._group / self._controller.limit).write_text(str(LIMIT))
        try:
            super().start()
        except ChildError:
            self._remove()
            raise
        self._watcher.start()
        return self

    def _watch(self) -> None:
        while not self._ended.wait(WATCH_SECONDS):
            with contextlib.suppress(OSError, StopIteration):
                self.peak = max(self.peak, memory(self))
                if self._group is None and self.peak > LIMIT:
                    self.signal(signal.SIGKILL)

    @property
    def survived(self) -> bool:
        """Whether it still runs."""
        return self._child.alive

    def stop(self, timeout: float = 5.0) -> None:
        """End it and remove its cgroup."""
        self._ended.set()
        super().stop(timeout)
        if self._watcher.ident is not None:
            self._watcher.join()
        self._remove()

    def _remove(self) -> None:
        if self._group is not None:
            with contextlib.suppress(OSError):
                self._group.rmdir()
