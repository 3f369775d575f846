"""How much memory this process may use: the limit of its container, from which the bounds of buffers follow.

Used by `settings`. The kernel ends a process that exceeds the limit of its cgroup, and nothing tells it before; the
limit is in files. With cgroup v2, every ancestor's `memory.max` counts as well; in a container, the own cgroup is often
the root of what is mounted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

ROOT: Final = Path("/")
_CGROUPS: Final = "sys/fs/cgroup"
_OWN: Final = "proc/self/cgroup"
_MACHINE: Final = "proc/meminfo"


def memory_limit(root: Path = ROOT) -> int:
    """Return the smallest limit that holds for this process, in bytes; the machine's memory if there is none.

    `root` is where /proc and /sys are found.
    """
    machine = _machine(root)
    return min([machine, *(limit for limit in _limits(root) if limit > 0)])


def _limits(root: Path) -> Iterator[int]:
    try:
        lines = (root / _OWN).read_text("ascii", "replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, colon, own = rest.partition(":")
        if not colon or not number.isdecimal():
            continue
        if not controllers:
            yield from _upwards(root / _CGROUPS, own, "memory.max")
            yield from _upwards(root / _CGROUPS / "unified", own, "memory.max")
        elif "memory" in controllers.split(","):
            yield from _upwards(root / _CGROUPS / "memory", own, "memory.limit_in_bytes")


def _upwards(mounted: Path, own: str, name: str) -> Iterator[int]:
    """Give the limits of a cgroup and its ancestors, as far as they are mounted."""
    parts = [part for part in PurePosixPath(own).parts if part not in ("/", "..")]
    for count in range(len(parts), -1, -1):
        limit = _number(mounted.joinpath(*parts[:count]) / name)
        if limit is not None:
            yield limit


def _number(path: Path) -> int | None:
    """Read a file with one number; None without a number (`max` is no limit)."""
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None


def _machine(root: Path) -> int:
    """Return the machine's memory in bytes."""
    try:
        for line in (root / _MACHINE).read_text("ascii", "replace").splitlines():
            name, _, value = line.partition(":")
            if name == "MemTotal":
                return int(value.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
