"""What one measurement found, and the medians over the rounds.

Used by `rounds`, which takes samples, and `tables`, which reads them. A ratio is taken inside each round first: what
slows a machine down for a while then slows both sides of the ratio.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Final

from contest.cases import Case
from contest.contenders import PROXY, REPLICA_SIDE

LOAD: Final = "load"
REPLICAS: Final = "replicas"
_MICRO: Final = 1000.0
_MILLI: Final = 1e6
_MEGABYTE: Final = 1e6


@dataclass(kw_only=True)
class Sample:
    """One contender under one load in one round. CPU is microseconds per request, times are milliseconds."""

    requests: int
    rate: float
    cpu_us: Mapping[str, float]
    p50_ms: float
    p99_ms: float
    rss_mb: float | None
    shares: tuple[float, ...]
    problems: tuple[str, ...] = field(default=())

    @property
    def proxy_us(self) -> float | None:
        """CPU per request of all processes between callers and apps; None where there are none."""
        if PROXY not in self.cpu_us:
            return None
        return self.cpu_us[PROXY] + self.cpu_us.get(REPLICA_SIDE, 0.0)

    @property
    def unevenness(self) -> float:
        """The busiest replica's requests, as a multiple of an even share."""
        return max(self.shares) * len(self.shares)


def read_sample(found: Mapping[str, Any], counts: list[int]) -> Sample:
    """Read what the load printed, and judge it with what the replicas counted."""
    requests = max(int(found["requests"]), 1)
    sides = [found["rss_bytes"][side] for side in (PROXY, REPLICA_SIDE) if side in found["rss_bytes"]]
    return Sample(
        requests=found["requests"],
        rate=found["requests"] / found["seconds"],
        cpu_us={name: spent / _MICRO / requests for name, spent in found["cpu_ns"].items()},
        p50_ms=found["p50_ns"] / _MILLI,
        p99_ms=found["p99_ns"] / _MILLI,
        rss_mb=sum(sides) / _MEGABYTE if sides else None,
        shares=tuple(count / max(sum(counts), 1) for count in counts),
        problems=tuple(_problems(found, sum(counts))),
    )


def _problems(found: Mapping[str, Any], ran: int) -> list[str]:
    problems = list(found["problems"])
    if found["answered"] != found["sent"]:
        problems.append(f"{found['sent']} requests were sent, {found['answered']} answered")
    if ran != found["sent"]:
        problems.append(f"{found['sent']} requests were sent, the replicas ran {ran}")
    return problems


@dataclass(kw_only=True)
class Start:
    """How a contender started in one round."""

    ready_s: float | None
    idle_mb: float | None


@dataclass
class Results:
    """All samples, by round; figures are medians over the rounds, None where nothing was measured."""

    rounds: list[dict[tuple[str, str], Sample]] = field(default_factory=list)
    starts: list[dict[str, Start]] = field(default_factory=list)

    def begin_round(self) -> None:
        """From here on, samples are those of the next round."""
        self.rounds.append({})
        self.starts.append({})

    def add(self, case: Case, contender: str, sample: Sample) -> None:
        """Keep a sample of this round."""
        self.rounds[-1][case.key, contender] = sample

    def figure(self, case: str, contender: str, of: Callable[[Sample], float | None]) -> float | None:
        """Return the median of one figure."""
        return _median([of(found[case, contender]) for found in self.rounds if (case, contender) in found])

    def ratio(self, case: str, above: str, below: str) -> float | None:
        """Return the median of the rounds' ratios of CPU per request."""
        return _median([*self.ratios(case, above, below)])

    def ratios(self, case: str, above: str, below: str) -> list[float]:
        """Return each round's ratio of CPU per request."""
        found = [_ratio(samples.get((case, above)), samples.get((case, below))) for samples in self.rounds]
        return [ratio for ratio in found if ratio is not None]

    def added(self, case: str, above: str, below: str, of: Callable[[Sample], float]) -> float | None:
        """Return the median of the rounds' differences of a figure."""
        pairs = [(found.get((case, above)), found.get((case, below))) for found in self.rounds]
        return _median([of(one) - of(other) for one, other in pairs if one is not None and other is not None])

    def start(self, contender: str, of: Callable[[Start], float | None]) -> float | None:
        """Return the median of a figure of the starts."""
        return _median([of(found[contender]) for found in self.starts if contender in found])

    def problems(self) -> list[str]:
        """All that was not as it has to be, in a line each."""
        return [
            f"round {number}, {case}, {contender}: {problem}"
            for number, found in enumerate(self.rounds, 1)
            for (case, contender), sample in found.items()
            for problem in sample.problems
        ]

    def as_json(self) -> list[dict[str, Any]]:
        """All rounds."""
        return [
            {
                "starts": {contender: asdict(start) for contender, start in starts.items()},
                "samples": [{"case": c, "contender": who, **asdict(sample)} for (c, who), sample in found.items()],
            }
            for starts, found in zip(self.starts, self.rounds, strict=True)
        ]


def _ratio(above: Sample | None, below: Sample | None) -> float | None:
    if above is None or below is None or above.proxy_us is None or not below.proxy_us:
        return None
    return above.proxy_us / below.proxy_us


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
