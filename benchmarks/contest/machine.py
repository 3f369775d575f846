"""The machine that figures are of."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_GIB: Final = 1 << 30


def describe() -> dict[str, str | int]:
    """Its processor, cores, memory, and system."""
    found = re.search(r"^model name\s*:\s*(.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE") / _GIB
    return {
        "cpu": found.group(1) if found else platform.processor() or platform.machine(),
        "cores": os.cpu_count() or 0,
        "memory_gib": round(memory),
        "kernel": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
    }


def in_words(found: Mapping[str, str | int]) -> str:
    """Write what `describe` returned."""
    return f"{found['cpu']}, {found['cores']} cores, {found['memory_gib']} GiB, {found['kernel']}"


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
