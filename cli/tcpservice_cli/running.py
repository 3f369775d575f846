"""What `tcpservice up` does: a run of local mode, shown on the screen or as lines until something ends it.

Used by `up`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import traceback
from collections.abc import Iterator
from typing import Any, Final, Protocol

from tcpservice_cli.lines import Lines
from tcpservice_cli.manifest_flags import files_of
from tcpservice_cli.screen import Screen
from tcpservice_cli.summary import summary
from tcpservice_flags import SettingsError
from tcpservice_local.addresses import NoPortError
from tcpservice_local.local import Asked, Local, WrongRunError
from tcpservice_local.manifests import Refused

WRONG: Final = 2
FAILED: Final = 1
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class View(Protocol):
    """What shows a run."""

    def told(self, who: str, line: str) -> None:
        """Take a line that a process wrote."""

    def said(self, text: str) -> None:
        """Take what the run has to say."""

    def changed(self) -> None:
        """Take note that a replica's state is another."""

    async def show(self, local: Local, ended: asyncio.Event) -> None:
        """Show the run until it is ended."""


async def run_manifests(given: argparse.Namespace) -> int:
    """Run manifests until they are to end; return the exit status."""
    view: View = Lines() if given.plain or not (sys.stdout.isatty() and sys.stdin.isatty()) else Screen()
    asked = Asked(files=files_of(given), replicas=dict(given.replicas), ports=dict(given.port), inspect=given.inspect)
    try:
        with _signals() as ended, _faults(ended) as faults:
            async with Local(asked, view.told, view.said, view.changed) as local:
                if given.duration is not None:
                    asyncio.get_running_loop().call_later(given.duration, ended.set)
                await view.show(local, ended)
                await local.measure()
                report = summary(local)
    except WrongRunError as error:
        raise SettingsError(str(error)) from error
    except (Refused, NoPortError) as error:
        sys.stderr.write(f"{error}\n")
        return WRONG
    except OSError as error:
        sys.stderr.write(f"{error.filename}: {error.strerror}\n" if error.filename else f"{error}\n")
        return WRONG
    print(report, flush=True)
    if faults:
        sys.stderr.write("tcpservice up ended because of a fault of its own, which is worth a report:\n")
        sys.stderr.write("".join(traceback.format_exception(faults[0])))
        return FAILED
    return 0


@contextlib.contextmanager
def _faults(ended: asyncio.Event) -> Iterator[list[BaseException]]:
    """Give the exceptions that nothing here awaits; the first of them ends the run."""
    faults: list[BaseException] = []

    def take(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if "exception" in context:
            faults.append(context["exception"])
            ended.set()
        else:
            loop.default_exception_handler(context)

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(take)
    try:
        yield faults
    finally:
        loop.set_exception_handler(None)


@contextlib.contextmanager
def _signals() -> Iterator[asyncio.Event]:
    """Give an event that is set by Ctrl-C and its like."""
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, ended.set)
    try:
        yield ended
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
