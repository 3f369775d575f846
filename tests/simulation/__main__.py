"""The command `python -m simulation`, run from `tests/`: many seeds for some minutes, or one seed as a conversation.

    python -m simulation --minutes 10 --seed 0   seeds 0, 1, 2, ... for ten minutes on all cores
    python -m simulation --only 25               one seed: each broken rule, with a small scenario and its conversation
    python -m simulation --only 25 --keep NAME   the same, and keep the small scenario as a test

The exit status is 1 if a rule was broken.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from itertools import count
from random import Random

import tcpservice_sidecar  # noqa: F401 - chooses the compiled scan where it is there
from simulation import kept
from simulation.fleet import Outcome, run
from simulation.report import Total, conversation, first_of_each
from simulation.scenario import Scenario, draw_scenario
from simulation.shrinking import shrink

_PROGRESS_S = 60.0


def _run_seed(seed: int) -> tuple[int, Outcome]:
    return seed, run(draw_scenario(Random(seed)))


def _seeds(first: int, deadline: float) -> Iterator[int]:
    for seed in count(first):
        if time.monotonic() >= deadline:
            return
        yield seed


def _run_many(first: int, minutes: float, workers: int, *, shown: int) -> int:
    total = Total()
    began = told = time.monotonic()
    deadline = began + 60 * minutes
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        for seed, outcome in pool.imap_unordered(_run_seed, _bounded(_seeds(first, deadline), workers)):
            for invariant in total.add(seed, outcome):
                print(f"after {time.monotonic() - began:.0f} s, seed {seed}: BROKEN: {invariant}", flush=True)
            if time.monotonic() - told >= _PROGRESS_S:
                told = time.monotonic()
                print(f"{(told - began) / 60:.0f} min: {total.seeds:,} seeds, {total.messages:,} messages", flush=True)
            _gate.release()
    print("\n".join(total.lines()))
    print(f"{total.messages / (time.monotonic() - began):,.0f} messages per second with {workers} processes")
    for invariant, found in list(total.failed.items())[:shown]:
        _show(draw_scenario(Random(found[0][0])), invariant)
    return 1 if total.failed else 0


_gate = multiprocessing.get_context("fork").Semaphore(0)


def _bounded(seeds: Iterator[int], workers: int) -> Iterator[int]:
    """Give out a few seeds ahead of the results: the pool alone would take them all at once."""
    for _ in range(4 * workers):
        _gate.release()
    for seed in seeds:
        _gate.acquire()
        yield seed


def _show(scenario: Scenario, invariant: str) -> Scenario:
    small = shrink(scenario, invariant)
    print(f"\n{'=' * 100}\n{invariant}\n")
    print(conversation(small, invariant))
    return small


def _run_one(seed: int, name: str | None, rule: str | None) -> int:
    scenario = draw_scenario(Random(seed))
    found = [each for each in first_of_each(run(scenario).violations) if rule is None or rule in each.invariant]
    for violation in found:
        small = _show(scenario, violation.invariant)
        if name is not None:
            print(f"kept as {kept.keep(name, small)}")
            break
    if not found:
        print("No rule was broken.")
    return 1 if found else 0


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m simulation", description="Simulates a fleet of sidecars.")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long to run new seeds (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="the first seed (default: 0)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one per core)")
    parser.add_argument(
        "--show", type=int, default=3, help="of how many broken rules to show a conversation (default: 3)"
    )
    parser.add_argument("--only", type=int, help="run this one seed, and show what it broke")
    parser.add_argument("--rule", help="with --only: only rules whose names contain this text")
    parser.add_argument("--keep", metavar="NAME", help="with --only: keep the small scenario as a test of this name")
    arguments = parser.parse_args()
    if arguments.only is not None:
        return _run_one(arguments.only, arguments.keep, arguments.rule)
    return _run_many(arguments.seed, arguments.minutes, arguments.workers, shown=arguments.show)


if __name__ == "__main__":
    sys.exit(main())
