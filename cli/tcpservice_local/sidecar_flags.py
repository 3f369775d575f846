"""The command lines of the sidecars: one beside each replica, and one front for callers from outside.

Used by `designs`. All read the same folder: the TcpServices as they were last found sound, and where the
replicas are. Pure.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from tcpservice_local.addresses import LOOPBACK
from tcpservice_local.environment import Outlet
from tcpservice_local.fleet_plan import ServicePlan
from tcpservice_local.processes import Program

MESH: Final = "mesh"
ADMIN: Final = "admin"
FRONT: Final = "front"
STATE: Final = "manifests"
TRACED_PAYLOAD: Final = "--traced-payload=2Ki"
"""How much of each message the traces of `up` show."""
_EXPECTED: Final = re.compile(r"listening |[0-9:]+ (info|debug) ")
_OURS: Final = ("TCPSERVICE_", "OTEL_")


def program(folder: Path, flags: Iterable[str], telemetry: Mapping[str, str], inherited: Mapping[str, str]) -> Program:
    """Return a sidecar to be started; the shell's own TCPSERVICE_* and OTEL_* are not meant for it."""
    kept = {name: value for name, value in inherited.items() if not name.startswith(_OURS)}
    return Program(
        words=(
            sys.executable,
            "-m",
            "tcpservice_sidecar",
            "--file",
            str(folder / STATE),
            "--log-format",
            "human",
            *flags,
        ),
        variables={**kept, **telemetry},
        folder=Path.cwd(),
    )


def is_news(line: str) -> bool:
    """Whether a line of a sidecar is worth showing: where it listens and what it took in is known here already."""
    return not _EXPECTED.match(line)


def beside(outlets: Iterable[Outlet], apps: Mapping[str, int], mesh: int, admin: int) -> list[str]:
    """Return the flags of a replica's sidecar; `apps` has the app's port for each service that it serves."""
    flags = [f"--listen={outlet.service.key}={outlet.host}:{outlet.port}" for outlet in outlets]
    if apps:
        flags.append(f"--mesh={LOOPBACK}:{mesh}")
        flags += [f"--app={key}={LOOPBACK}:{port}" for key, port in apps.items()]
    return [*flags, f"--admin={LOOPBACK}:{admin}"]


def in_front(ports: Iterable[tuple[ServicePlan, int]], admin: int) -> list[str]:
    """Return the flags of the front: one port for each service."""
    return [*(f"--front={service.key}={LOOPBACK}:{port}" for service, port in ports), f"--admin={LOOPBACK}:{admin}"]
