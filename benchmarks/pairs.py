"""What Python's transport costs beside NestJS's own: each client with each server, a pair at a time.

    python benchmarks/pairs.py            # five rounds, two minutes; writes benchmarks/README.md and pairs.json
    python benchmarks/pairs.py --quick    # one short round; writes nothing

In each round every pair meets every window once, in an order drawn anew. It reports, and judges nothing; 2 is the exit
status where it cannot run: it needs Node.js 20 and npm.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import Final, NamedTuple

from contest import machine, nestjs
from contest.places import BENCHMARKS, README, ROOT, say
from contest.processes import BenchError, Children
from contest.tools import MissingError

RESULTS: Final = BENCHMARKS / "pairs.json"
BEGIN: Final = "<!-- pairs: begin (written by `make bench`) -->"
END: Final = "<!-- pairs: end -->"
WINDOWS: Final = (1, 64)
_CANNOT_RUN: Final = 2
_PATIENCE_S: Final = 30.0

ENDS: Final[dict[str, list[str]]] = {
    "NestJS": [*nestjs.END],
    "Python": [sys.executable, str(BENCHMARKS / "ends" / "end.py")],
    "Python without uvloop": [sys.executable, str(BENCHMARKS / "ends" / "end.py"), "--plain"],
}
PAIRS: Final = (
    ("NestJS", "NestJS"),
    ("NestJS", "Python"),
    ("Python", "NestJS"),
    ("Python", "Python"),
    ("Python without uvloop", "Python without uvloop"),
)


class Case(NamedTuple):
    """A client, a server, and how many requests are under way."""

    client: str
    server: str
    window: int


class Sample(NamedTuple):
    """Requests per second, the median of their latency in ms, and the CPU of each end in microseconds per request."""

    rate: float
    p50: float
    client: float
    server: float


Samples = dict[Case, list[Sample]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all pairs; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round, for trying it out")
    quick = parser.parse_args(arguments).quick
    try:
        nestjs.install()
        samples = measure(rounds=1 if quick else 5, seconds=0.4 if quick else 2.0)
    except (MissingError, BenchError, OSError) as error:
        say(f"bench: {error}")
        return _CANNOT_RUN
    text = table(samples)
    say("\n" + text + "\n")
    if not quick:
        write(text, samples)
    return 0


def measure(rounds: int, seconds: float) -> Samples:
    """Measure each case once a round. Raises BenchError."""
    samples: Samples = defaultdict(list)
    cases = [Case(client, server, window) for client, server in PAIRS for window in WINDOWS]
    for number in range(1, rounds + 1):
        say(f"Round {number} of {rounds}: {len(cases)} pairs and windows ...")
        for case in random.sample(cases, len(cases)):
            samples[case].append(_measure(case, seconds))
    return samples


def _measure(case: Case, seconds: float) -> Sample:
    with Children() as children:
        server = children.start("server", [*ENDS[case.server], "server", "tcp://127.0.0.1"])
        words = ["client", server.line(), str(case.window), str(seconds)]
        client = children.start("client", [*ENDS[case.client], *words])
        return Sample(**json.loads(client.finish(seconds + _PATIENCE_S)))


def table(samples: Samples) -> str:
    """Show medians; the ratio is that of rates in the same round, and again the median."""
    lines = [
        "| client to server | window | requests/s | beside NestJS to NestJS | p50, ms | client, µs | server, µs |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for (client, server, window), found in samples.items():
        own = samples[Case("NestJS", "NestJS", window)]
        ratio = median(one.rate / other.rate for one, other in zip(found, own, strict=True))
        rate, p50, ours, theirs = (median(values) for values in zip(*found, strict=True))
        figures = f"{rate:,.0f} | {ratio:.2f}x | {p50:.2f} | {ours:.1f} | {theirs:.1f}"
        lines.append(f"| {client} to {server} | {window} | {figures} |")
    order = {f"| {client} to {server} | {window} |": 0 for window in WINDOWS for client, server in PAIRS}
    ranks = list(order)
    head, rows = lines[:2], lines[2:]
    rows.sort(key=lambda row: next(rank for rank, start in enumerate(ranks) if row.startswith(start)))
    return "\n".join([*head, *rows])


def write(text: str, samples: Samples) -> None:
    """Put the table between the comments of the README, and all samples into a file."""
    whole = README.read_text()
    before, _, rest = whole.partition(BEGIN)
    README.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}")
    cases = [
        {
            **case._asdict(),
            "rounds": [{key: float(f"{value:.4g}") for key, value in one._asdict().items()} for one in found],
        }
        for case, found in samples.items()
    ]
    RESULTS.write_text(json.dumps({"machine": machine.describe(), "cases": cases}, indent=1) + "\n")
    say(f"Written to {README.relative_to(ROOT)} and {RESULTS.relative_to(ROOT)}.")


if __name__ == "__main__":
    sys.exit(main())
