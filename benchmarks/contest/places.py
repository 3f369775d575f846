"""Where the benchmark's things are. All that it makes itself lies under `build/bench`, which git ignores."""

from __future__ import annotations

from pathlib import Path
from typing import Final

BENCHMARKS: Final = Path(__file__).parents[1]
ROOT: Final = BENCHMARKS.parent
PEERS: Final = BENCHMARKS / "peers"
README: Final = BENCHMARKS / "README.md"
RESULTS: Final = BENCHMARKS / "results.json"
PICTURE: Final = ROOT / "docs" / "costs.svg"
BUILD: Final = ROOT / "build" / "bench"
RUNNING: Final = BUILD / "running"


def say(line: str) -> None:
    """Tell the person who waits what happens, in a line."""
    print(line, flush=True)
