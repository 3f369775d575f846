"""Scenarios that once broke a rule, kept as files so that each is a test by its name.

Used by the command, which writes them (`--keep NAME`), and by the tests, which run them. A file holds the scenario
itself, not the seed, so it stays the same scenario when `draw_scenario` changes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from simulation.scenario import Scenario

FOLDER: Final = Path(__file__).parent / "kept"


def names() -> list[str]:
    """Return the names of the kept scenarios."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def load(name: str) -> Scenario:
    """Read a kept scenario."""
    return msgspec.json.decode((FOLDER / f"{name}.json").read_bytes(), type=Scenario)


def keep(name: str, scenario: Scenario) -> Path:
    """Write a scenario under a name."""
    path = FOLDER / f"{name}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(scenario), indent=1) + b"\n")
    return path
