"""One run of a fuzzer: random inputs from a seed for so many seconds, a summary, and the input that broke something.

Used by the commands beside it. Each input has a random generator of its own, made of the seed and the input's number:
`--seed S --first N --inputs 1` gives one input again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from random import Random
from typing import NamedTuple

_MOST_SHOWN = 5000


class Finding(Exception):
    """Something that must never happen did: what, and with which input."""

    def __init__(self, what: str, given: object) -> None:
        shown = repr(given)
        if len(shown) > _MOST_SHOWN:
            shown = f"{shown[:_MOST_SHOWN]}... ({len(shown)} characters; `again` below gives it whole)"
        super().__init__(f"{what}\n  input: {shown}")


class Options(NamedTuple):
    """What the command line asks for; `inputs` 0 stands for as many as fit."""

    seed: int
    seconds: float
    inputs: int
    first: int


class Result(NamedTuple):
    """How many inputs were tried, and what the first bad one was."""

    inputs: int
    finding: str | None


def parser(description: str, *, seconds: float = 60, inputs: int = 0) -> argparse.ArgumentParser:
    """Make a parser with the flags that all fuzzers have."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--seconds", type=float, default=seconds, help="how long (default %(default)s)")
    made.add_argument("--inputs", type=int, default=inputs, help="how many inputs at most (default: as many as fit)")
    made.add_argument("--seed", type=int, default=None, help="the inputs follow from it (default: the time)")
    made.add_argument("--first", type=int, default=0, help="the number of the first input (default 0)")
    return made


def options(given: argparse.Namespace) -> Options:
    """Return what those flags say."""
    seed = time.time_ns() % 2**32 if given.seed is None else given.seed
    return Options(seed, given.seconds, given.inputs, given.first)


def random_of(seed: int, number: int) -> Random:
    """Return the random generator of one input."""
    return Random(f"{seed}/{number}")


def run(asked: Options, attempt: Callable[[Random], None]) -> Result:
    """Try inputs until the time is over; an exception of any kind is a finding."""
    until, number = time.monotonic() + asked.seconds, asked.first
    while time.monotonic() < until and not (asked.inputs and number - asked.first >= asked.inputs):
        try:
            attempt(random_of(asked.seed, number))
        except Exception as error:
            again = f"--seed {asked.seed} --first {number} --inputs 1"
            return Result(number - asked.first + 1, f"{type(error).__name__}: {error}\n  again: {again}")
        number += 1
    return Result(number - asked.first, None)


def report(name: str, asked: Options, result: Result) -> int:
    """Print the summary; return the exit status."""
    print(f"{name}: seed {asked.seed}, {result.inputs} inputs, {'a finding' if result.finding else 'nothing found'}")
    if result.finding:
        print(result.finding)
    return 1 if result.finding else 0
