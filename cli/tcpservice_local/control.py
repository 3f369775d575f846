"""The control socket of a run: what `tcpservice ps`, `logs`, `traces` and `restart` in another terminal ask.

Served by `local` in the folder of the run, which only its user may enter; `control_client` asks. It is HTTP with JSON
over a Unix socket.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from aiohttp import web
from msgspec import Struct
from msgspec.json import encode

from tcpservice_local.figures import Figures, History
from tcpservice_local.fleet import Fleet
from tcpservice_local.pod import SIDECAR, STOPPED, Pod
from tcpservice_local.process_log import LogLine, ProcessLog
from tcpservice_traces import NoSuchTrace, Trace, TraceStore, summary_of

SOCKET: Final = "control.sock"
_MOST_TRACES: Final = 200
_CLOSING_S: Final = 0.2
END: Final = LogLine(-1, "", "")
"""Stands between the lines that were there and those that come."""


class Replica(Struct, frozen=True, kw_only=True):
    """A replica as people see it.

    `workload` is its Deployment's name; `sends` says that the figures are of what it sends, because it serves nothing.
    `waiting` is the time until it is started again (s), `failed` counts since the start, `lately` is of the last
    seconds; `folder` is where its command runs.
    """

    name: str
    workload: str
    state: str
    pid: int | None
    restarts: int
    waiting: float
    in_flight: int
    lately: Figures
    failed: int
    sends: bool
    folder: str


class Address(Struct, frozen=True, kw_only=True):
    """A service and its port on 127.0.0.1."""

    name: str
    port: int


class Overview(Struct, frozen=True, kw_only=True):
    """All that a run runs; `writers` are those whose log lines are kept, replicas that have ended among them."""

    addresses: tuple[Address, ...]
    replicas: tuple[Replica, ...]
    writers: tuple[str, ...] = ()


class Failure(Struct, frozen=True):
    """Why something that was asked for cannot be done, for people."""

    message: str


class Control:
    """The socket of one run."""

    def __init__(self, fleet: Fleet, history: History, log: ProcessLog, traces: TraceStore) -> None:
        self._fleet = fleet
        self._history = history
        self._log = log
        self._store = traces
        self._runner: web.AppRunner | None = None

    async def start(self, folder: Path) -> None:
        """Listen. Raises OSError."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/replicas", self._replicas),
                web.get("/logs", self._logs),
                web.get("/traces", self._traces),
                web.get("/traces/{prefix}", self._trace),
                web.post("/restart/{name}", self._restart),
            ]
        )
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=_CLOSING_S, handler_cancellation=True
        )
        await self._runner.setup()
        await web.UnixSite(self._runner, str(folder / SOCKET)).start()

    async def close(self) -> None:
        """Stop listening; those who follow lines are at their end."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _replicas(self, _: web.Request) -> web.Response:
        return _json(overview(self._fleet, self._history, self._log))

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        """Give the last lines as JSON, a line each, and with `follow` those that come."""
        names = request.query.getall("name", [])
        unknown = [name for name in names if not any(self._writes(who, [name]) for who in self._writers())]
        if unknown:
            return self._not_found(unknown)
        tail = int(request.query["tail"]) if request.query.get("tail", "").isdecimal() else None
        response = web.StreamResponse()
        with contextlib.suppress(ConnectionResetError):  # the other terminal is gone
            await response.prepare(request)
            await self._write_lines(response, names, tail, follow=bool(request.query.get("follow")))
        return response

    async def _write_lines(
        self, response: web.StreamResponse, names: Sequence[str], tail: int | None, *, follow: bool
    ) -> None:
        with self._log.follow(lambda who: self._writes(who, names)) as follower:
            lines = self._log.lines(who for who in self._log.writers() if self._writes(who, names))
            await response.write(_lines(lines if tail is None else lines[len(lines) - min(tail, len(lines)) :]))
            await response.write(_lines([END]))
            while follow and (line := await follower.queue.get()) is not None:
                await response.write(_lines([line]))
                if follower.missed:
                    text = f"{follower.missed} lines are left out, because they came faster than they were read"
                    follower.missed = 0
                    await response.write(_lines([LogLine(0, "", text)]))

    async def _traces(self, request: web.Request) -> web.Response:
        traces: Iterable[Trace] = self._store.recent(_MOST_TRACES)
        if request.query.get("failed"):
            traces = (trace for trace in traces if summary_of(trace).errors)
        return _json(list(traces))

    async def _trace(self, request: web.Request) -> web.Response:
        try:
            return _json(self._store.get(request.match_info["prefix"]))
        except NoSuchTrace as error:
            return _json(Failure(str(error)), status=404)

    async def _restart(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self._fleet.pods:
            return self._not_found([name])
        self._fleet.restart(name)
        return _json(overview(self._fleet, self._history, self._log))

    def _writers(self) -> set[str]:
        return {*self._log.writers(), *self._fleet.pods}

    def _writes(self, who: str, names: Sequence[str]) -> bool:
        """Whether a writer is what one of some names means, and any is where there is no name.

        A name is that of a replica, which means its sidecar, too, of a Deployment, or of the writer itself.
        """
        replica = who.removesuffix(SIDECAR)
        deployment = replica.rpartition("-")[0]
        return not names or any(name in (who, replica, deployment) for name in names)

    def _not_found(self, names: Sequence[str]) -> web.Response:
        known = ", ".join(self._fleet.pods) or "none"
        message = f'there is no replica or Deployment "{names[0]}"; the replicas are: {known}'
        return _json(Failure(message), status=404)


def overview(fleet: Fleet, history: History, log: ProcessLog) -> Overview:
    """Say what a run runs, now."""
    ports = fleet.ports
    return Overview(
        addresses=tuple(
            Address(name=service.name, port=ports[service.key])
            for service in fleet.plan.services
            if service.key in ports
        ),
        replicas=tuple(replica_of(pod, history) for pod in fleet.pods.values()),
        writers=tuple(log.writers()),
    )


def replica_of(pod: Pod, history: History) -> Replica:
    """Say how a replica fares, now."""
    sends = not pod.design.serves
    sample = history.latest(pod.name)
    return Replica(
        name=pod.name,
        workload=pod.name.rpartition("-")[0],
        state=pod.state,
        pid=pod.app.pid,
        restarts=pod.app.restarts,
        waiting=pod.app.waiting,
        in_flight=(sample.at_replicas if sends else sample.at_app) if sample is not None else 0,
        lately=history.lately(pod.name, server=not sends) if pod.state != STOPPED else Figures(),
        failed=history.ever(pod.name, server=not sends).failed,
        sends=sends,
        folder=str(pod.design.app.folder),
    )


def _lines(lines: Iterable[LogLine]) -> bytes:
    return b"".join(encode(line) + b"\n" for line in lines)


def _json(value: object, *, status: int = 200) -> web.Response:
    return web.Response(body=encode(value), content_type="application/json", status=status)
