"""Makes a failing scenario smaller while it breaks the same rule, so that people can read what happened.

Used by the command. Hypothesis shrinks what it drew itself; a scenario of the bulk runner was drawn from a number, so
it is shrunk here, as plain data: parts are left out in halves, quarters and so on, and numbers are made smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final, TypeVar

from simulation.fleet import run
from simulation.scenario import Burst, Scenario

T = TypeVar("T")

_MOST_RUNS: Final = 400


def breaks(scenario: Scenario, invariant: str) -> bool:
    """Whether a run of the scenario breaks a rule."""
    return any(violation.invariant == invariant for violation in run(scenario).violations)


def shrink(scenario: Scenario, invariant: str, *, most_runs: int = _MOST_RUNS) -> Scenario:
    """Return the smallest scenario found that still breaks the rule."""
    left = most_runs
    smaller = True
    while smaller and left > 0:
        smaller = False
        for candidate in _candidates(scenario):
            left -= 1
            if breaks(candidate, invariant):
                scenario, smaller = candidate, True
                break
            if left <= 0:
                break
    return scenario


def _candidates(scenario: Scenario) -> Iterator[Scenario]:
    for faults in _without_parts(scenario.faults):
        yield replace(scenario, faults=faults)
    for bursts in _without_parts(scenario.bursts):
        yield replace(scenario, bursts=bursts)
    for place, burst in enumerate(scenario.bursts):
        for count in {1, burst.count // 2, burst.count - 1} - {0, burst.count}:
            changed: list[Burst] = list(scenario.bursts)
            changed[place] = replace(burst, count=count)
            yield replace(scenario, bursts=tuple(changed))
    yield from _simpler(scenario)


def _simpler(scenario: Scenario) -> Iterator[Scenario]:
    simple: dict[str, object] = {"jitter": 0, "splits": 0.0, "tracing": False, "capacity": 1_000_000}
    for name, value in simple.items():
        if getattr(scenario, name) != value:
            change: Callable[..., Scenario] = replace
            yield change(scenario, **{name: value})
    times = [burst.at for burst in scenario.bursts] + [fault.at for fault in scenario.faults]
    last = max(times, default=0)
    if scenario.length > last + 1:
        yield replace(scenario, length=last + 1)
    used = 1 + max((burst.client for burst in scenario.bursts), default=0)
    if used < len(scenario.clients):
        yield replace(scenario, clients=scenario.clients[:used])


def _without_parts(parts: tuple[T, ...]) -> Iterator[tuple[T, ...]]:
    size = len(parts)
    while size:
        for start in range(0, len(parts), size):
            yield parts[:start] + parts[start + size :]
        size //= 2
