"""`make bench`: what the sidecar costs beside HAProxy, Envoy, and no proxy at all.

    python benchmarks/bench.py            # five rounds, 15 minutes; writes benchmarks/README.md and results.json
    python benchmarks/bench.py --quick    # one short round; writes build/bench/quick.md and quick.json

It reports, and judges nothing: the exit status is 0 whatever the figures are, 2 where it cannot run. It needs Linux
and Go. What can be missing is left out with a line that says why: Envoy, HAProxy, and NestJS with NATS and Redis.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

from contest import machine, nestjs, pauses, picture, report, tools, transports
from contest.contenders import Contender, Direct, Envoy, HAProxy, OneSidecar, TwoEnvoys, TwoSidecars
from contest.load import replicas
from contest.places import BUILD, PICTURE, README, RESULTS, ROOT, RUNNING, say
from contest.processes import BenchError, Children
from contest.rounds import Plan, Rounds
from contest.tools import MissingError, Tool

_CANNOT_RUN: Final = 2
_INTERRUPTED: Final = 130
_OPEN_FILES: Final = 8192


class Field(NamedTuple):
    """Who takes part, and who does not and why."""

    contenders: list[Contender]
    traced: list[Contender]
    transports: list[transports.Transport]
    peers: dict[str, Tool]
    left_out: list[str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit status."""
    given = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        _prepare()
        load = tools.build_load()
        with ExitStack() as stack:
            _measure(given, load, stack)
    except (MissingError, BenchError) as error:
        say(f"bench: {error}")
        return _CANNOT_RUN
    except KeyboardInterrupt:
        say("bench: interrupted; what it started is ended")
        return _INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, help="rounds; figures are their medians (default 5, quick 1)")
    parser.add_argument("--seconds", type=float, help="time of each measurement (default 1.5, quick 0.4)")
    parser.add_argument("--quick", action="store_true", help="one short round, for trying it out")
    return parser


def _interrupt(*_: object) -> NoReturn:
    """Make SIGTERM end what was started, as Ctrl-C does."""
    raise KeyboardInterrupt


def _prepare() -> None:
    if not sys.platform.startswith("linux"):
        raise MissingError("processor time and memory are read as Linux keeps them; this is another system")
    BUILD.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(RUNNING, ignore_errors=True)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def _measure(given: argparse.Namespace, load: Path, stack: ExitStack) -> None:
    field = _field(load, stack, quick=given.quick)
    plan = Plan(
        load=load,
        rounds=given.rounds or (1 if given.quick else 5),
        seconds=given.seconds or (0.4 if given.quick else 1.5),
        warmup=0.15 if given.quick else 0.3,
        contenders=field.contenders,
        traced=field.traced,
    )
    rounds = Rounds(plan)
    rounds.run()
    stretch = 2 if given.quick else 8
    found = report.Found(
        results=rounds.results,
        pauses=pauses.measure(load, seconds=stretch * plan.seconds, warmup=plan.warmup),
        transports=transports.measure(field.transports, plan.rounds, plan.seconds) if field.transports else {},
    )
    circumstances = report.Circumstances(
        machine=machine.describe(),
        versions=tools.versions(field.peers),
        settings={"rounds": plan.rounds, "seconds": plan.seconds, "warmup": plan.warmup},
        left_out=field.left_out,
    )
    _write(found, circumstances, quick=given.quick)


def _write(found: report.Found, circumstances: report.Circumstances, *, quick: bool) -> None:
    """Show the figures, and write them; those of a quick round are not for the README."""
    text = report.figures(found, circumstances)
    say("\n" + text + "\n")
    figures, samples = (BUILD / "quick.md", BUILD / "quick.json") if quick else (README, RESULTS)
    if quick:
        figures.write_text(text + "\n")
    else:
        report.write_readme(figures, text)
        PICTURE.write_text(picture.costs(found.results))
    report.write_json(samples, found, circumstances)
    say(f"Written to {figures.relative_to(ROOT)} and {samples.relative_to(ROOT)}.")


def _field(load: Path, stack: ExitStack, *, quick: bool) -> Field:
    """See who can take part."""
    left_out: list[str] = []
    peers: dict[str, Tool] = {}
    contenders: list[Contender] = [Direct(), OneSidecar(), TwoSidecars()]
    if envoy := _got("Envoy", tools.get_envoy, left_out):
        peers["envoy"] = envoy
        contenders += [Envoy(envoy), TwoEnvoys(envoy)]
    if haproxy := _got("HAProxy", tools.get_haproxy, left_out):
        peers["haproxy"] = haproxy
        contenders.append(HAProxy(haproxy))
    ways = _transports(peers, left_out, quick=quick)
    traced = _traced(load, stack, left_out)
    for line in left_out:
        say(line)
    return Field(contenders, traced, ways, peers, left_out)


def _got(name: str, get: Callable[[], Tool], left_out: list[str]) -> Tool | None:
    """Return a program, or say why it is left out."""
    try:
        return get()
    except MissingError as error:
        left_out.append(f"{name} is left out: {error}.")
        return None


def _transports(peers: dict[str, Tool], left_out: list[str], *, quick: bool) -> list[transports.Transport]:
    """See which of NestJS's transports can be measured."""
    if quick:
        left_out.append("NestJS over TCP, NATS and Redis is left out of a quick round.")
        return []
    try:
        nestjs.install()
    except MissingError as error:
        left_out.append(f"NestJS over TCP, NATS and Redis is left out: {error}.")
        return []
    found: list[transports.Transport] = [transports.DirectTCP(), transports.SidecarTCP()]
    if nats := _got("NATS", tools.get_nats, left_out):
        peers["nats"] = nats
        found.append(transports.Nats(nats))
    if redis := _got("Redis", tools.get_redis, left_out):
        peers["redis"] = redis
        found.append(transports.Redis(redis))
    return found


def _traced(load: Path, stack: ExitStack, left_out: list[str]) -> list[Contender]:
    """Return the sidecars that send traces, if a sidecar takes a manifest that asks for them."""
    collector = stack.enter_context(Children()).start("collector", [str(load), "collector"])
    port = int(collector.line().strip("[]"))
    traced: list[Contender] = [OneSidecar("traced-1", "1", port), OneSidecar("traced-100", "100", port)]
    try:
        with replicas(load, 1) as (_, ports), Children() as children:
            traced[0].start(children, ports)
    except BenchError:
        left_out.append("Traces are left out: this sidecar takes no manifest with `tracing`.")
        return []
    return traced


if __name__ == "__main__":
    sys.exit(main())
