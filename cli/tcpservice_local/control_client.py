"""Asks the runs of `tcpservice up` on this machine, by their control sockets.

Used by `tcpservice ps`, `logs`, `traces` and `restart`. If there are several runs, `ps` and `traces` ask all of them;
`logs` and `restart` ask the one that has the replica.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import aiohttp
from msgspec import DecodeError
from msgspec.json import decode

from tcpservice_local import registry
from tcpservice_local.control import SOCKET, Failure, Overview
from tcpservice_local.process_log import LogLine
from tcpservice_local.registry import NotThereError
from tcpservice_traces import Trace

_TIMEOUT: Final = aiohttp.ClientTimeout(total=10.0)
_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None)
_LONGEST: Final = 1 << 20
_URL: Final = "http://up"
Answer = TypeVar("Answer")


class Run:
    """A run, asked by its socket."""

    def __init__(self, run: registry.Run, folder: Path) -> None:
        self.pid = run.pid
        self._socket = str(folder / SOCKET)

    async def overview(self) -> Overview:
        """Ask what it runs."""
        return await self._ask("GET", "/replicas", {}, Overview)

    async def traces(self, *, failed: bool) -> list[Trace]:
        """Ask for its recent traces, newest first."""
        return await self._ask("GET", "/traces", {"failed": "1"} if failed else {}, list[Trace])

    async def trace(self, prefix: str) -> Trace:
        """Ask for the trace whose id begins so."""
        return await self._ask("GET", f"/traces/{prefix}", {}, Trace)

    async def restart(self, name: str) -> None:
        """Replace a replica by a new one, or start one that has stopped."""
        await self._ask("POST", f"/restart/{name}", {}, Overview)

    async def logs(self, names: list[str], *, tail: int | None, follow: bool) -> AsyncIterator[LogLine]:
        """Give the last lines of some replicas, all for none, and those that come."""
        query = [("name", name) for name in names]
        query += [("tail", str(tail))] if tail is not None else []
        query += [("follow", "1")] if follow else []
        try:
            async with self._session(_NO_TIMEOUT) as session, session.get(f"{_URL}/logs", params=query) as response:
                if response.status != 200:
                    raise NotThereError(decode(await response.read(), type=Failure).message)
                async for line in response.content:
                    yield decode(line, type=LogLine)
        except (OSError, aiohttp.ClientError) as error:
            raise NotThereError(f"tcpservice up (process {self.pid}) has ended: {error}") from error

    async def _ask(self, method: str, path: str, query: Mapping[str, str], kind: type[Answer]) -> Answer:
        try:
            async with (
                self._session(_TIMEOUT) as session,
                session.request(method, f"{_URL}{path}", params=query) as response,
            ):
                body = await response.read()
        except (OSError, TimeoutError, aiohttp.ClientError) as error:
            reason = str(error) or type(error).__name__
            raise NotThereError(f"tcpservice up (process {self.pid}) does not answer: {reason}") from error
        try:
            if response.status != 200:
                raise NotThereError(decode(body, type=Failure).message)
            return decode(body, type=kind)
        except DecodeError as error:
            message = f"tcpservice up (process {self.pid}) is of another version than this command: {error}"
            raise NotThereError(message) from error

    def _session(self, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientSession:
        connector: Any = aiohttp.UnixConnector(self._socket)
        return aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=_LONGEST)


def running() -> list[Run]:
    """Return the runs of this user. Raises NotThereError where there is none."""
    found = [Run(run, folder) for folder, run in registry.folders()]
    if not found:
        raise NotThereError("no `tcpservice up` is running; start one with: tcpservice up -f FOLDER")
    return found


async def overviews(runs: Sequence[Run]) -> dict[Run, Overview]:
    """Ask all runs what they run; those that do not answer are left out. Raises NotThereError if none answers."""
    answers = await asyncio.gather(*(run.overview() for run in runs), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, NotThereError):
            raise answer
    found = {run: answer for run, answer in zip(runs, answers, strict=True) if isinstance(answer, Overview)}
    if not found:
        raise NotThereError("\n".join(map(str, answers)))
    return found


async def the_one(runs: Sequence[Run], names: Sequence[str]) -> Run:
    """Return the run that has all replicas, Deployments or writers of log lines of these names; else the only run.

    Raises NotThereError where there is none, or more than one.
    """
    asked = await overviews(runs)
    known = {
        run: [name for each in overview.replicas for name in (each.name, each.workload)]
        for run, overview in asked.items()
    }
    found = [run for run, there in known.items() if set(names) <= {*there, *asked[run].writers}]
    if len(found) == 1:
        return found[0]
    if found:
        pids = ", ".join(str(run.pid) for run in found)
        what = f"several runs of tcpservice up have {names[0]}" if names else "there are several runs of tcpservice up"
        raise NotThereError(f"{what} (processes {pids}); end one of them, or use its own terminal")
    missing = next((name for name in names if all(name not in there for there in known.values())), names[0])
    replicas = ", ".join(sorted({name for there in known.values() for name in there})) or "none"
    raise NotThereError(f'there is no replica or Deployment "{missing}"; there is: {replicas}')
