"""The memory limit of the container, from files as the kernel writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tcpservice_flags import SettingsError
from tcpservice_sidecar.memory import memory_limit
from tcpservice_sidecar.settings import read_settings

MACHINE = 8 << 30
FLAGS = ["--upstream", "orders=127.0.0.1:1", "--listen", "orders=127.0.0.1:0"]


def write(root: Path, **files: str) -> Path:
    """Write files; `__` in a name separates folders."""
    files = {"proc__meminfo": f"MemTotal: {MACHINE // 1024} kB\nMemFree: 1 kB\n"} | files
    for name, text in files.items():
        path = root.joinpath(*name.split("__"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, MACHINE),
        ({"proc__self__cgroup": "0::/\n", "sys__fs__cgroup__memory.max": "268435456\n"}, 268435456),
        ({"proc__self__cgroup": "0::/\n", "sys__fs__cgroup__memory.max": "max\n"}, MACHINE),
        ({"proc__self__cgroup": "0::/\n"}, MACHINE),
        ({"proc__self__cgroup": "spoilt", "sys__fs__cgroup__memory.max": "12"}, MACHINE),
        ({"proc__self__cgroup": "0::/\n", "sys__fs__cgroup__memory.max": "spoilt"}, MACHINE),
        (
            {
                "proc__self__cgroup": "0::/pods/pod1/sidecar\n",
                "sys__fs__cgroup__memory.max": "max\n",
                "sys__fs__cgroup__pods__pod1__memory.max": "100000000\n",
                "sys__fs__cgroup__pods__pod1__sidecar__memory.max": "200000000\n",
            },
            100000000,
        ),
        (
            {"proc__self__cgroup": "0::/../../not/mounted\n", "sys__fs__cgroup__memory.max": "300000000\n"},
            300000000,
        ),
        (
            {
                "proc__self__cgroup": "5:cpu,cpuacct:/a\n4:memory:/docker/b\n1:name=systemd:/c\n",
                "sys__fs__cgroup__memory__docker__b__memory.limit_in_bytes": "134217728\n",
                "sys__fs__cgroup__memory__memory.limit_in_bytes": "9223372036854771712\n",
            },
            134217728,
        ),
        (
            {
                "proc__self__cgroup": "4:memory:/docker/b\n0::/docker/b\n",
                "sys__fs__cgroup__memory__memory.limit_in_bytes": "134217728\n",
            },
            134217728,
        ),
        ({"proc__self__cgroup": "0::/\n", "sys__fs__cgroup__memory.max": "99999999999999\n"}, MACHINE),
    ],
)
def test_the_smallest_limit_counts(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    assert memory_limit(write(tmp_path, **files)) == expected


def test_without_any_file_it_is_the_machines_memory(tmp_path: Path) -> None:
    assert memory_limit(tmp_path) > 1 << 20


def test_a_flag_overrides_it() -> None:
    assert read_settings(FLAGS, {}).memory == memory_limit()
    assert read_settings([*FLAGS, "--memory", "64Mi"], {}).memory == 64 << 20
    assert read_settings(FLAGS, {"TCPSERVICE_MEMORY": "1Gi"}).memory == 1 << 30
    with pytest.raises(SettingsError, match="--memory: expected a size such as 4Mi, got 'much'"):
        read_settings([*FLAGS, "--memory", "much"], {})
    with pytest.raises(SettingsError, match="--memory: expected at least 16Mi"):
        read_settings([*FLAGS, "--memory", "1Mi"], {})
