"""How the replicas fare: read from their sidecars' metrics, and told for the last few seconds.

Used by the screen of `tcpservice up` and by its summary. A figure is the difference of two samples. Quantiles come from
the histogram's buckets, drawn evenly through a bucket, as Prometheus does. The histogram's sum bounds the slowest
message: with few messages, which are the rule on a laptop, quantiles are then nearly exact.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from typing import Final

import aiohttp
from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

from tcpservice_local.addresses import LOOPBACK

_CLIENT: Final = "rpc_client_call_duration_seconds"
_SERVER: Final = "rpc_server_call_duration_seconds"
_AT_APP: Final = "tcpservice_app_in_flight"
_AT_REPLICAS: Final = "tcpservice_in_flight"
_WINDOW: Final = 4
_TIMEOUT: Final = aiohttp.ClientTimeout(total=2.0)
_GOOD: Final = ("ok", "cancelled")
_INFINITE: Final = float("inf")

Buckets = Counter[float]


class Sample(Struct, frozen=True, kw_only=True):
    """What one sidecar had counted at a time, by (server side, service, route, code).

    `buckets` counts messages up to each time (s), `sums` adds up how long they took (s).
    """

    at: float
    buckets: Mapping[tuple[bool, str, str, str], Buckets]
    sums: Mapping[tuple[bool, str, str, str], float]
    at_app: int
    at_replicas: int


class Figures(Struct, frozen=True, kw_only=True):
    """What happened in some seconds: messages, those that failed, and how long they took, in seconds."""

    messages: int = 0
    failed: int = 0
    rate: float = 0.0
    p50: float | None = None
    p99: float | None = None


def read_sample(text: str, at: float) -> Sample:
    """Read a sidecar's metrics as Prometheus has them."""
    buckets: dict[tuple[bool, str, str, str], Buckets] = {}
    sums: dict[tuple[bool, str, str, str], float] = {}
    gauges: Counter[str] = Counter()
    for family in text_string_to_metric_families(text):
        if family.name in (_AT_APP, _AT_REPLICAS):
            gauges[family.name] = round(sum(sample.value for sample in family.samples))
        if family.name not in (_CLIENT, _SERVER):
            continue
        for sample in family.samples:
            labels = sample.labels
            key = (family.name == _SERVER, labels["service"], labels["route"], labels["code"])
            if sample.name.endswith("_bucket"):
                buckets.setdefault(key, Counter())[float(labels["le"])] += round(sample.value)
            elif sample.name.endswith("_sum"):
                sums[key] = sums.get(key, 0.0) + sample.value
    return Sample(at=at, buckets=buckets, sums=sums, at_app=gauges[_AT_APP], at_replicas=gauges[_AT_REPLICAS])


def figures_of(
    pairs: Iterable[tuple[Sample | None, Sample]], *, server: bool, service: str | None = None, route: str | None = None
) -> Figures:
    """Return what happened at several sidecars."""
    total: Buckets = Counter()
    failed, seconds, spent = 0, 0.0, 0.0
    for before, after in pairs:
        seconds = max(seconds, after.at - before.at if before is not None else 0.0)
        for key, buckets in after.buckets.items():
            if key[0] is not server or service not in (None, key[1]) or route not in (None, key[2]):
                continue
            old = before.buckets.get(key, Counter()) if before is not None else Counter()
            new = Counter({bound: count - old[bound] for bound, count in buckets.items()})  # `-` drops what is 0
            total.update(new)
            spent += after.sums.get(key, 0.0) - (before.sums.get(key, 0.0) if before is not None else 0.0)
            failed += 0 if key[3] in _GOOD else new[float("inf")]
    messages = total[float("inf")]
    rate = messages / seconds if seconds else 0.0
    p50, p99 = quantile(total, 0.5, spent), quantile(total, 0.99, spent)
    return Figures(messages=messages, failed=failed, rate=rate, p50=p50, p99=p99)


def quantile(buckets: Mapping[float, int], share: float, spent: float) -> float | None:
    """Return the time below which that share of the messages ended; None without messages.

    `spent` is how long all of them took. The slowest took no longer than that without what the others took at least.
    """
    count = buckets.get(_INFINITE, 0)
    if not count:
        return None
    wanted, lower, below = ceil(share * count), 0.0, 0
    longest = _longest(buckets, spent)
    for bound in sorted(buckets):
        if buckets[bound] >= wanted:
            upper = max(lower, min(bound, longest))
            return lower + (upper - lower) * (wanted - below) / max(buckets[bound] - below, 1)
        lower, below = bound, buckets[bound]
    return lower


def _longest(buckets: Mapping[float, int], spent: float) -> float:
    """Return how long the slowest message can have taken: at least as long as the lower bound of its bucket."""
    least, lower, top, below = 0.0, 0.0, 0.0, 0
    for bound in sorted(buckets):
        inside = buckets[bound] - below
        if inside:
            least, top = least + inside * lower, lower
        lower, below = bound, buckets[bound]
    return max(top, spent - (least - top))


class History:
    """The last samples of each sidecar by its replica's name, and what those had counted that are gone."""

    def __init__(self) -> None:
        self._samples: dict[str, deque[Sample]] = {}
        self._past: dict[str, list[Sample]] = {}

    def take(self, name: str, sample: Sample) -> None:
        """Take the newest; a sidecar that was started again begins anew."""
        kept = self._samples.setdefault(name, deque(maxlen=_WINDOW))
        if kept and _total(kept[-1]) > _total(sample):
            self._bury(name)
        kept.append(sample)

    def forget(self, names: Iterable[str]) -> None:
        """Take the sidecars that are gone out of what happens lately."""
        for name in set(self._samples) - set(names):
            self._bury(name)
            del self._samples[name]

    def latest(self, name: str) -> Sample | None:
        """Return a sidecar's newest sample."""
        kept = self._samples.get(name)
        return kept[-1] if kept else None

    def names(self) -> list[str]:
        """Return the names of all replicas that were ever seen."""
        return sorted({*self._samples, *self._past})

    def lately(self, name: str, *, server: bool) -> Figures:
        """Return what happened at one sidecar in the last seconds."""
        return figures_of(self._pairs([name]), server=server)

    def ever(self, name: str, *, server: bool) -> Figures:
        """Return what happened at one replica's sidecars since the beginning."""
        return figures_of(self._whole([name]), server=server)

    def routes(self) -> list[tuple[str, str, Figures, Figures]]:
        """Return each service's routes as their callers saw them: in the last seconds, and ever."""
        names, found = self.names(), []
        keys = {key[1:3] for _, sample in self._whole(names) for key in sample.buckets if not key[0]}
        for service, route in sorted(keys):
            recent = figures_of(self._pairs(names), server=False, service=service, route=route)
            ever = figures_of(self._whole(names), server=False, service=service, route=route)
            found.append((service, route, recent, ever))
        return found

    def _bury(self, name: str) -> None:
        """Keep what a sidecar that is gone had counted, as one sample however many there were."""
        kept = self._samples[name]
        if kept:
            self._past[name] = [_sum([*self._past.get(name, []), kept[-1]])]
            kept.clear()

    def _whole(self, names: Iterable[str]) -> list[tuple[Sample | None, Sample]]:
        found = [sample for name in names for sample in (*self._past.get(name, ()), self.latest(name)) if sample]
        return [(None, sample) for sample in found]

    def _pairs(self, names: Iterable[str]) -> list[tuple[Sample | None, Sample]]:
        kept = [self._samples[name] for name in names if name in self._samples]
        return [(samples[0], samples[-1]) for samples in kept if len(samples) > 1]


def _sum(samples: Sequence[Sample]) -> Sample:
    buckets: dict[tuple[bool, str, str, str], Buckets] = {}
    sums: dict[tuple[bool, str, str, str], float] = {}
    for sample in samples:
        for key, counts in sample.buckets.items():
            buckets.setdefault(key, Counter()).update(counts)
            sums[key] = sums.get(key, 0.0) + sample.sums.get(key, 0.0)
    return Sample(at=samples[-1].at, buckets=buckets, sums=sums, at_app=0, at_replicas=0)


def _total(sample: Sample) -> int:
    return sum(buckets[float("inf")] for buckets in sample.buckets.values())


async def scrape(admins: Mapping[str, int], history: History) -> None:
    """Ask the admin port of each sidecar; those that do not answer are left as they were."""
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        found = await asyncio.gather(*(_ask(session, port) for port in admins.values()))
    history.forget(admins)
    for name, text in zip(admins, found, strict=True):
        if text is not None:
            history.take(name, read_sample(text, time.monotonic()))


async def _ask(session: aiohttp.ClientSession, port: int) -> str | None:
    try:
        async with session.get(f"http://{LOOPBACK}:{port}/metrics") as answer:
            return await answer.text() if answer.ok else None
    except (OSError, TimeoutError, aiohttp.ClientError):
        return None
