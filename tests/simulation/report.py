"""What the command tells: the sum of many runs, and the conversation of one that failed.

Used by the command and the tests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pprint import pformat
from typing import Final

from simulation.clock import START
from simulation.fleet import Outcome, run
from simulation.ledger import Violation
from simulation.recount import Transition, transitions_allowed
from simulation.scenario import Scenario
from tcpservice.snapshot import SECOND

_LAST_LINES: Final = 60
_FIRST_LINES: Final = 20
_LONGEST: Final = 240


@dataclass
class Total:
    """The sum of many runs."""

    seeds: int = 0
    messages: int = 0
    steps: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    transitions: set[Transition] = field(default_factory=set)
    failed: dict[str, list[tuple[int, str]]] = field(default_factory=dict)

    def add(self, seed: int, outcome: Outcome) -> list[str]:
        """Add a run; return the rules that it is the first to break."""
        self.seeds += 1
        self.messages += outcome.messages
        self.steps += outcome.steps
        self.outcomes += outcome.outcomes
        self.codes += outcome.codes
        self.transitions |= outcome.transitions
        new = []
        for violation in first_of_each(outcome.violations):
            found = self.failed.setdefault(violation.invariant, [])
            if not found:
                new.append(violation.invariant)
            found.append((seed, violation.text))
        return new

    def lines(self) -> Iterator[str]:
        """Write the report."""
        yield f"{self.seeds:,} seeds, {self.messages:,} messages, {self.steps:,} steps"
        yield "How clients saw their requests end: " + _counts(self.outcomes)
        yield "How sidecars saw messages end, and what they logged: " + _counts(self.codes)
        for invariant, found in sorted(self.failed.items(), key=lambda entry: -len(entry[1])):
            seed, text = found[0]
            yield f"BROKEN in {len(found)} seeds: {invariant}"
            yield f"    first in seed {seed}: {text}"
        allowed = transitions_allowed()
        if allowed:
            yield f"{len(self.transitions & allowed)} of {len(allowed)} allowed transitions were taken"
            for record, state, event in sorted(allowed - self.transitions):
                yield f"    not taken: {record} {state} {event}"
        if not self.failed:
            yield "No rule was broken."


def first_of_each(violations: Sequence[Violation]) -> list[Violation]:
    """Return the first violation of each rule."""
    found: dict[str, Violation] = {}
    for violation in violations:
        found.setdefault(violation.invariant, violation)
    return list(found.values())


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counter.most_common()) or "none"


def _short(line: str) -> str:
    return line if "EXCEPTION" in line else line[:_LONGEST]


def conversation(scenario: Scenario, invariant: str | None = None) -> str:
    """Run a scenario again, and write who sent what to whom until a rule was broken (None: any rule)."""
    outcome = run(scenario, journal=True)
    found = [each for each in outcome.violations if invariant in (None, each.invariant)]
    until = (found[0].at - START) / SECOND if found else float("inf")
    lines = [_short(line) for line in outcome.lines if float(line.split(maxsplit=1)[0]) <= until]
    if len(lines) > _FIRST_LINES + _LAST_LINES:
        left_out = len(lines) - _FIRST_LINES - _LAST_LINES
        lines = [*lines[:_FIRST_LINES], f"      ... {left_out} lines ...", *lines[-_LAST_LINES:]]
    broken = [f"BROKEN at {(each.at - START) / SECOND:.6f} s: {each.invariant}: {each.text}" for each in found[:5]]
    return "\n".join([pformat(scenario), "", *lines, "", *broken])
