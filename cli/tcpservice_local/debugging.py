"""The command of a replica with Node's debugger on a port of its own.

Used by `designs`. The replicas of a Deployment share this machine, so they cannot all have Node's default port. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tcpservice_local.addresses import LOOPBACK

VARIABLE: Final = "INSPECT_PORT"
"""Has the port in the environment of each such replica, for npm scripts such as `nest start --debug $INSPECT_PORT`."""
_RUNS_PACKAGES: Final = ("npx", "pnpx", "bunx")


def with_debugger(words: Sequence[str], port: int) -> tuple[str, ...]:
    """Return a command that opens Node's debugger on a port of 127.0.0.1.

    `node` and `nest start` have a flag for it. Other commands are left as they are: they read the variable.
    """
    place = f"{LOOPBACK}:{port}"
    names = [Path(word).name for word in words]
    if names[0] == "node":
        return (words[0], f"--inspect={place}", *words[1:])
    if (names[1:] if names[0] in _RUNS_PACKAGES else names)[:2] == ["nest", "start"]:
        return (*words, "--debug", place)
    return tuple(words)
