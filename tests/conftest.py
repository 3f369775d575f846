"""Counts of tests for each layer, and the rules of CI: nothing is skipped, no layer shrinks below its floor, all ends.

A test that hangs fails after a while (pytest-timeout), and a thread that a test left behind does not keep a run alive.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

from tcpservice.implementation import COMPILED, running

TESTS = Path(__file__).parent
FLOORS: dict[str, int] = json.loads((TESTS / "floors.json").read_text())
LONGER = {"acceptance": 3600, "e2e": 2400}
"""Layers whose tests may take longer than others, in seconds: chaos as long as is asked for, and building images."""
NO_SKIP = bool(os.environ.get("TCPSERVICE_NO_SKIP"))

settings.register_profile("project", deadline=None, derandomize=NO_SKIP)
settings.load_profile("project")

SIDECAR = TESTS.parent / "sidecar"


def _stale() -> list[str]:
    """Name the compiled modules that are older than their sources."""
    return [
        str(library.relative_to(SIDECAR))
        for library in SIDECAR.glob("tcpservice/**/*.so")
        for source in library.parent.glob(f"{library.name.partition('.')[0]}.p*")
        if source.stat().st_mtime > library.stat().st_mtime
    ]


def pytest_sessionstart() -> None:
    if running() == COMPILED and (stale := _stale()):
        pytest.exit(f"older than their sources: {', '.join(stale)}; run `make build/.built`", returncode=2)


STATUS = pytest.StashKey[int]()
_passed: Counter[str] = Counter()
_seconds: dict[str, float] = defaultdict(float)


def _layer(nodeid: str) -> str:
    return nodeid.removeprefix("tests/").partition("/")[0]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where nothing may be skipped."""
    report = yield
    if NO_SKIP and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, though nothing may be: {item.nodeid}: {call.excinfo}"
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _seconds[_layer(report.nodeid)] += report.duration
    if report.when == "call" and report.passed:
        _passed[_layer(report.nodeid)] += 1


def _layers_run(config: pytest.Config) -> list[str]:
    """Return the layers that are run whole; single files of one have no floor."""
    folders = [path for path in (Path(argument).resolve() for argument in config.args) if path.is_dir()]
    named = {_layer(str(path.relative_to(TESTS.parent))) for path in folders}
    return sorted(FLOORS) if "tests" in named else sorted(named & set(FLOORS))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a run in which a layer has fewer tests than it once had."""
    short = [layer for layer in _layers_run(session.config) if _passed[layer] < FLOORS[layer]]
    if NO_SKIP and exitstatus == pytest.ExitCode.OK and short:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    session.config.stash[STATUS] = int(session.exitstatus)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if seconds := LONGER.get(_layer(item.nodeid)):
            item.add_marker(pytest.mark.timeout(seconds))


def pytest_unconfigure(config: pytest.Config) -> None:
    """End here and now where a test, a failed one as a rule, left a thread that Python would wait for."""
    main = threading.main_thread()
    left = [thread.name for thread in threading.enumerate() if thread is not main and not thread.daemon]
    if left:
        print(f"threads that tests left behind: {', '.join(left)}", file=sys.stderr, flush=True)
        os._exit(config.stash.get(STATUS, 1))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for layer in _layers_run(config):
        verdict = "" if _passed[layer] >= FLOORS[layer] else "  BELOW ITS FLOOR"
        floor = f"(floor {FLOORS[layer]}){verdict}"
        terminalreporter.write_line(f"layer {layer}: {_passed[layer]} passed in {_seconds[layer]:.0f} s {floor}")
