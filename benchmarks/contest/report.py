"""The report: figures between two comments of the README, whose other text is written by hand, and all samples as JSON.

Used by `bench`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from contest import tables
from contest.floors import floors
from contest.machine import in_words
from contest.pauses import Pauses
from contest.samples import Results
from contest.transports import Exchanges

BEGIN: Final = "<!-- figures: begin (written by `make bench`) -->"
END: Final = "<!-- figures: end -->"


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What figures cannot be read without."""

    machine: Mapping[str, str | int]
    versions: Mapping[str, str]
    settings: Mapping[str, float]
    left_out: Sequence[str] = field(default=())


@dataclass(frozen=True, kw_only=True)
class Found:
    """All that was measured; `transports` is empty where they were left out."""

    results: Results
    pauses: Mapping[str, Pauses]
    transports: Exchanges


def figures(found: Found, circumstances: Circumstances) -> str:
    """All that is generated of the README."""
    results = found.results
    parts = [
        _circumstances(circumstances),
        "### Goals",
        tables.promises(floors(results, found.pauses)),
        "### At a fixed rate",
        tables.fixed_rate(results),
        "### Beside NestJS's other transports",
        tables.transports(found.transports) if found.transports else "Not measured.",
        "### CPU per request",
        tables.cpu(results),
        "### Large bodies",
        tables.bodies(results),
        "### Traces",
        tables.tracing(results) or "Not measured.",
        "### Latency and throughput",
        tables.latency(results),
        tables.rates(results),
        "### Memory and start",
        tables.memory(results),
        "### Pauses of the garbage collector",
        tables.pauses(found.pauses),
        "### Spread over the replicas",
        tables.spread(results),
        "### The load itself",
        tables.load(results),
    ]
    problems = results.problems()
    if problems:
        parts += ["### What went wrong", "\n".join(f"- {problem}" for problem in problems)]
    return "\n\n".join(parts)


def _circumstances(found: Circumstances) -> str:
    machine = found.machine
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    lines = [
        f"{in_words(machine)}; {versions}.",
        f"Median of {found.settings['rounds']:.0f} rounds, {found.settings['seconds']:g} s per load and contender.",
        *found.left_out,
    ]
    return "\n".join(lines)


def write_readme(path: Path, text: str) -> None:
    """Put the figures between the comments."""
    whole = path.read_text()
    before, found, rest = whole.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        raise ValueError(f"{path.name} has lost the comments that figures stand between: {BEGIN} {END}")
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def write_json(path: Path, found: Found, circumstances: Circumstances) -> None:
    """Write all there is."""
    judged = [{**asdict(floor), "verdict": floor.verdict.strip("*")} for floor in floors(found.results, found.pauses)]
    document = {
        **asdict(circumstances),
        "floors": judged,
        "pauses": {case: asdict(pauses) for case, pauses in found.pauses.items()},
        "transports": [
            {"transport": title, "window": window, "rounds": [one._asdict() for one in samples]}
            for (title, window), samples in found.transports.items()
        ],
        "rounds": found.results.as_json(),
    }
    path.write_text(json.dumps(_rounded(document), indent=1, ensure_ascii=False) + "\n")


def _rounded(value: object) -> object:
    """Leave out digits that mean nothing."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, Mapping):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(inner) for inner in value]
    return value
