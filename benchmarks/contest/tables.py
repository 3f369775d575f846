"""The report's tables, as Markdown. Used by `report`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Final

from contest.cases import BODIES, CASES, CROWD, FIXED_RATE, Case
from contest.contenders import PROXY, REPLICA_SIDE
from contest.floors import Floor
from contest.pauses import Pauses
from contest.samples import LOAD, REPLICAS, Results, Sample
from contest.transports import WINDOWS, Exchanges

NAMES: Final = {
    "direct": "direct",
    "one": "one sidecar",
    "two": "two sidecars",
    "envoy": "Envoy",
    "two-envoys": "two Envoys",
    "haproxy": "HAProxy",
}
TRACED: Final = {"traced-1": "1 %", "traced-100": "100 %"}
_RATIOS: Final = (("one", "haproxy"), ("one", "envoy"), ("two", "two-envoys"))
_NOTHING: Final = "-"
_DIGITS: Final = 3
_PUBLISHED: Final = (
    ("one sidecar of Istio 1.24, as published", "0.20", "60"),
    ("one ztunnel of Istio 1.24, as published", "0.06", "12"),
)
"""vCPU for 1,000 HTTP requests per second of 1 KB, and MB: istio.io/docs/ops/deployment/performance-and-scalability."""
_LOADED: Final = {"window-32": "64 B, window 32", "1-mib": "1 MiB bodies", CROWD: "1,000 callers, 10 replicas"}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table whose first column is text and whose others are figures."""
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def show(value: float | None, unit: str = "") -> str:
    """Write a figure with about three digits that count."""
    if value is None:
        return _NOTHING
    whole = len(str(int(abs(value))))
    return f"{value:,.{max(0, min(2, _DIGITS - whole))}f}{unit}"


def present(results: Results) -> list[str]:
    """Return the contenders that were measured."""
    seen = {contender for found in results.rounds for _, contender in found}
    return [key for key in NAMES if key in seen]


def cpu(results: Results) -> str:
    """Show the CPU per request of whatever stands between, and its ratios."""
    keys = [key for key in present(results) if key != "direct"]
    pairs = [(above, below) for above, below in _RATIOS if below in keys]
    rows = [
        [
            case.title,
            *(_cpu_cell(results, case, key) for key in keys),
            *(show(results.ratio(case.key, above, below)) for above, below in pairs),
        ]
        for case in CASES
    ]
    ratios = [f"{NAMES[above].split()[0]} / {NAMES[below]}" for above, below in pairs]
    return table(["CPU, µs per request", *(NAMES[key] for key in keys), *ratios], rows)


def _cpu_cell(results: Results, case: Case, key: str) -> str:
    total = results.figure(case.key, key, lambda sample: sample.proxy_us)
    behind = results.figure(case.key, key, lambda sample: sample.cpu_us.get(REPLICA_SIDE))
    if behind is None:
        return show(total)
    before = results.figure(case.key, key, lambda sample: sample.cpu_us.get(PROXY))
    return f"{show(total)} ({show(before)} + {show(behind)})"


def bodies(results: Results) -> str:
    """Show the CPU per megabyte."""
    keys = [key for key in present(results) if key != "direct"]
    rows = [
        [case.title, *(show(results.figure(case.key, key, _per_megabyte(case))) for key in keys)]
        for case in CASES
        if case.key in BODIES
    ]
    return table(["CPU, µs per MB moved", *(NAMES[key] for key in keys)], rows)


def _per_megabyte(case: Case) -> Callable[[Sample], float | None]:
    return lambda sample: None if sample.proxy_us is None else sample.proxy_us / case.moved_megabytes


def latency(results: Results) -> str:
    """Show the time from a request's write to its last answer."""
    keys = present(results)

    def cell(case: Case, key: str) -> str:
        half = results.figure(case.key, key, lambda sample: sample.p50_ms)
        most = results.figure(case.key, key, lambda sample: sample.p99_ms)
        return f"{show(half)} / {show(most)}"

    rows = [[case.title, *(cell(case, key) for key in keys)] for case in CASES]
    return table(["latency p50 / p99, ms", *(NAMES[key] for key in keys)], rows)


def rates(results: Results) -> str:
    """Show how many requests went through."""
    return _plain(results, "requests per second", lambda sample: sample.rate)


def spread(results: Results) -> str:
    """Show how evenly replicas are used."""
    return _plain(results, "busiest replica, x an even share", lambda sample: sample.unevenness)


def _plain(results: Results, title: str, of: Callable[[Sample], float | None]) -> str:
    keys = present(results)
    rows = [[case.title, *(show(results.figure(case.key, key, of)) for key in keys)] for case in CASES]
    return table([title, *(NAMES[key] for key in keys)], rows)


def memory(results: Results) -> str:
    """Show memory and start, by contender."""
    rows = [
        [
            NAMES[key],
            show(results.start(key, lambda start: start.ready_s)),
            show(results.start(key, lambda start: start.idle_mb)),
            *(show(results.figure(case, key, lambda sample: sample.rss_mb)) for case in _LOADED),
        ]
        for key in present(results)
        if key != "direct"
    ]
    return table(["", "start to ready, s", "RSS idle, MB", *(f"RSS, {title}" for title in _LOADED.values())], rows)


def tracing(results: Results) -> str:
    """Show what traces cost one sidecar; empty where they were not measured."""
    seen = {contender for found in results.rounds for _, contender in found}
    keys = [key for key in TRACED if key in seen]
    if not keys:
        return ""
    rows = [
        [
            case.title,
            show(results.figure(case.key, "one", lambda sample: sample.proxy_us)),
            *(_traced_cell(results, case, key) for key in keys),
        ]
        for case in CASES
        if case.traced
    ]
    return table(["one sidecar, CPU, µs per request", "tracing off", *(f"{TRACED[key]} traced" for key in keys)], rows)


def _traced_cell(results: Results, case: Case, key: str) -> str:
    figure = results.figure(case.key, key, lambda sample: sample.proxy_us)
    return f"{show(figure)} ({show(results.ratio(case.key, key, 'one'), 'x')})"


def fixed_rate(results: Results) -> str:
    """Show what two proxies add to each message at a rate that leaves them idle for most of the time."""
    keys = [key for key in present(results) if (FIXED_RATE.key, key) in results.rounds[0]]
    rows = [[NAMES[key], *_at_fixed_rate(results, key)] for key in keys]
    published = [[title, _NOTHING, _NOTHING, cpu, megabytes] for title, cpu, megabytes in _PUBLISHED]
    head = ["latency p50 / p99, ms", "added p50 / p99, ms", "vCPU per 1,000 messages/s", "RSS per proxy, MB"]
    return table([FIXED_RATE.title, *head], [*rows, *published])


def _at_fixed_rate(results: Results, key: str) -> list[str]:
    quantiles: tuple[Callable[[Sample], float], ...] = (lambda sample: sample.p50_ms, lambda sample: sample.p99_ms)
    total = " / ".join(show(results.figure(FIXED_RATE.key, key, of)) for of in quantiles)
    if key == "direct":
        return [total, _NOTHING, _NOTHING, _NOTHING]
    added = " / ".join(show(results.added(FIXED_RATE.key, key, "direct", of)) for of in quantiles)
    whole, before, behind = (
        show(results.figure(FIXED_RATE.key, key, of))
        for of in (
            lambda sample: _vcpu(sample.proxy_us),
            lambda sample: _vcpu(sample.cpu_us.get(PROXY)),
            lambda sample: _vcpu(sample.cpu_us.get(REPLICA_SIDE)),
        )
    )
    proxies = 1 + FIXED_RATE.replicas
    megabytes = results.figure(FIXED_RATE.key, key, lambda sample: sample.rss_mb and sample.rss_mb / proxies)
    return [total, added, f"{whole} ({before} + {behind})", show(megabytes)]


def _vcpu(microseconds: float | None) -> float | None:
    """Turn CPU per message into the cores that 1,000 messages per second keep busy."""
    return None if microseconds is None else microseconds / 1000


def pauses(found: Mapping[str, Pauses]) -> str:
    """Show how often the garbage collector ran, and for how long each time."""
    rows = [
        [
            one.title,
            f"{one.seconds:.1f}",
            f"{len(one.lengths):,}",
            *(show(one.within(share)) if one.lengths else _NOTHING for share in (0.5, 0.999, 1.0)),
            show(one.full),
        ]
        for one in found.values()
    ]
    head = ["run, s", "collections", "p50, ms", "p99.9, ms", "longest, ms", "a full collection, ms"]
    return table(["one sidecar", *head], rows)


def transports(found: Exchanges) -> str:
    """Show requests per second and latency over each of NestJS's transports."""
    rows = []
    for title in dict.fromkeys(title for title, _ in found):
        cells = []
        for window in WINDOWS:
            samples = found.get((title, window), [])
            cells += [
                show(median(one.rate for one in samples)) if samples else _NOTHING,
                show(median(one.p50_ms for one in samples)) if samples else _NOTHING,
            ]
        rows.append([title, *cells])
    head = [text for window in WINDOWS for text in (f"requests/s, window {window}", "p50, ms")]
    return table(["NestJS 12, one client, two replicas", *head], rows)


def promises(judged: Iterable[Floor]) -> str:
    """Show the floors, and whether they are met."""
    rows = [
        [floor.title, show(floor.limit, floor.unit), show(floor.found, floor.unit), _range(floor), floor.verdict]
        for floor in judged
    ]
    return table(["", "at most", "found", "single rounds", ""], rows)


def _range(floor: Floor) -> str:
    if not floor.each:
        return ""
    return f"{show(min(floor.each))} to {show(max(floor.each), floor.unit)}"


def load(results: Results) -> str:
    """Show what the benchmark's own processes cost, with nothing between them."""
    rows = [
        [case.title, *(show(results.figure(case.key, "direct", _own(side))) for side in (LOAD, REPLICAS))]
        for case in CASES
    ]
    return table(["CPU, µs per request, direct", "callers", "replicas"], rows)


def _own(side: str) -> Callable[[Sample], float | None]:
    return lambda sample: sample.cpu_us.get(side)
