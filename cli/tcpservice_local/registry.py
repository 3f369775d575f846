"""The runs of `tcpservice up` on this machine, so that `tcpservice send`, `ps`, `logs` and the like find them.

Used by `up`, which writes a file for as long as it runs, and by the others, which read those of the same user. The file
lies in the run's own folder, which the guard removes even after kill -9.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import DecodeError, Struct
from msgspec.json import decode, encode

PREFIX: Final = "tcpservice-up-"
_FILE: Final = "run.json"


class NotThereError(Exception):
    """No run, or none that has what was asked for; the message is for people."""


class Run(Struct, frozen=True, kw_only=True):
    """A running `up`: its process, and the port on 127.0.0.1 of each service by `namespace/name`."""

    pid: int
    ports: Mapping[str, int]


def announce(folder: Path, ports: Mapping[str, int]) -> None:
    """Tell others on which ports this run's services are."""
    fresh = folder / f"{_FILE}.new"
    fresh.write_bytes(encode(Run(pid=os.getpid(), ports=ports)))
    os.replace(fresh, folder / _FILE)


def runs() -> list[Run]:
    """Return the runs of this user that are still there."""
    return [run for _, run in folders()]


def folders() -> list[tuple[Path, Run]]:
    """Return the runs of this user that are still there, each with its folder."""
    found = []
    for path in sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{_FILE}")):
        try:
            # Another user's folder may hold a link to a file of this user.
            if {path.lstat().st_uid, path.parent.lstat().st_uid} != {os.getuid()}:
                continue
            run = decode(path.read_bytes(), type=Run)
            os.kill(run.pid, 0)
        except (OSError, OverflowError, DecodeError):
            continue
        found.append((path.parent, run))
    return found


def find(name: str, among: list[Run]) -> list[tuple[Run, str]]:
    """Return each run that has a service of that name, which may be `namespace/name`, with the service's key."""
    return [(run, key) for run in among for key in run.ports if name in (key, key.partition("/")[2])]
