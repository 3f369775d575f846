"""The `tcpservice-sidecar` command: everything put together, and the order of starting and stopping.

Flags are read, manifests are read, ports are bound, and only then is the sidecar ready; what is wrong on the way is
said in one line each, with exit status 2. SIGTERM and SIGINT leave without loss; a second one leaves at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol, TextIO, cast

from tcpservice.exchange import Exchange, Notice
from tcpservice.snapshot import Endpoint, Service, Snapshot
from tcpservice_flags import USAGE_ERROR, Address, SettingsError, usage_line
from tcpservice_sidecar.admin import Admin
from tcpservice_sidecar.appcheck import AppCheck
from tcpservice_sidecar.connector import Connector
from tcpservice_sidecar.garbage import settle
from tcpservice_sidecar.gate import Gate
from tcpservice_sidecar.hosts import Hosts
from tcpservice_sidecar.io import ExchangeIO, now_ns
from tcpservice_sidecar.leaving import Leaving
from tcpservice_sidecar.linewriter import LineWriter
from tcpservice_sidecar.listeners import Listeners
from tcpservice_sidecar.logs import Foreign, Log
from tcpservice_sidecar.metrics import Metrics
from tcpservice_sidecar.names import Names
from tcpservice_sidecar.prometheus import Exposition
from tcpservice_sidecar.relay import Relays
from tcpservice_sidecar.security import Plain
from tcpservice_sidecar.settings import PROGRAM, Discovery, Settings, read_settings
from tcpservice_sidecar.source import FileSource
from tcpservice_sidecar.supervision import keep_running
from tcpservice_sidecar.upstreams import UpstreamSource, service_of

if TYPE_CHECKING:
    from tcpservice_sidecar.telemetry.pipeline import Pipeline

try:
    import uvloop
except ImportError:
    _new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
else:
    _new_loop = uvloop.new_event_loop

_CLOSING_LOOKS = 50
_CLOSING_LOOK_S = 0.01
_INFORMING = {"endpoint_recovered", "endpoint_leaving"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sidecar until it is told to leave; return the exit status."""
    try:
        settings = read_settings(sys.argv[1:] if arguments is None else arguments)
        with asyncio.Runner(loop_factory=_new_loop) as runner:
            return runner.run(Sidecar(settings).run())
    except SettingsError as error:
        sys.stderr.write(usage_line(PROGRAM, error))
        return USAGE_ERROR


class Source(Protocol):
    """Where snapshots come from."""

    def look(self) -> None:
        """Look for a change now."""

    async def watch(self, swap: Callable[[Snapshot], None]) -> None:
        """Give each new snapshot to `swap`, for ever."""


class Sidecar:
    """One sidecar process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lines = LineWriter(sys.stderr)
        self._log = Log(self._lines, settings.log_format)
        tracing = settings.telemetry.traces is not None
        self._exchange = Exchange(settings.bounds, seed=int.from_bytes(os.urandom(8)), tracing=tracing, strict=False)
        self._metrics = Metrics(self._exchange)
        self._security = Plain()
        self._names = Names()
        self._connector = Connector(self._security, Hosts(settings.pod_address), self._names)
        self._ready = False

    async def run(self) -> int:
        """Start, serve, leave."""
        with self._writing_lines():
            try:
                return await self._run()
            finally:
                await self._names.close()

    @contextmanager
    def _writing_lines(self) -> Iterator[None]:
        """Let all that would be written to stderr go through the thread that writes lines: that may wait, this not."""
        root, stderr = logging.getLogger(), sys.stderr
        handlers, root.handlers = root.handlers, [Foreign(self._log)]
        sys.stderr = cast("TextIO", self._lines)
        try:
            yield
        finally:
            sys.stderr, root.handlers = stderr, handlers
            self._lines.close()

    async def _run(self) -> int:
        for text in self._settings.ignored:
            self._log.warn("setting_ignored", text)
        snapshot = await self._first_snapshot()
        if snapshot is None:
            return USAGE_ERROR
        loop = asyncio.get_running_loop()
        _allow_many_files()
        self._io = io = ExchangeIO(self._exchange, self._connector, loop)
        relays = Relays(io, self._connector, self._log, self._settings.bounds.queue_timeout)
        self._listeners = Listeners(io, relays, self._security, self._log)
        self._leaving = Leaving(io, self._listeners, self._log, self._settings.grace)
        io.hand_over = relays.take_over
        io.stop_listening, io.start_listening = self._listeners.stop_listening, self._listeners.start_listening
        io.on_notice, io.on_finished = self._tell, self._metrics.add
        self._pipeline = self._export()
        return await self._serve(snapshot)

    def _export(self) -> Pipeline | None:
        """Begin to export traces and metrics, where a collector is named."""
        telemetry = self._settings.telemetry
        if telemetry.traces is None and telemetry.metrics is None:
            return None
        for name in telemetry.ignored:
            os.environ.pop(name, None)
        from tcpservice_sidecar.telemetry.pipeline import Pipeline

        pipeline = Pipeline(telemetry, self._metrics, self._log)
        self._io.on_spans = pipeline.add
        pipeline.start()
        return pipeline

    async def _first_snapshot(self) -> Snapshot | None:
        settings = self._settings
        if settings.upstreams:
            self._source: Source = (upstreams := UpstreamSource(settings.upstreams, self._names, self._log))
            return await upstreams.load()
        self._source = files = FileSource(settings.files, self._log)
        try:
            reading = files.load()
        except OSError as error:
            raise SettingsError(f"--file: {error.filename}: {error.strerror}") from error
        for problem in reading.problems:
            self._lines.write(f"{problem}\n")
        for ignored in reading.ignored:
            self._log.info("manifest_ignored", f"{ignored} is not for the sidecar")
        if settings.discovery is None or reading.snapshot is None:
            return reading.snapshot
        return self._follow_operator(settings.discovery, reading.snapshot)

    def _follow_operator(self, settings: Discovery, bootstrap: Snapshot) -> Snapshot:
        from tcpservice_sidecar.discovery import DiscoverySource  # its HTTP client is needed in a cluster alone

        apps = {find_service(bootstrap, name, "--app").key: _own_app(address) for name, address in self._settings.apps}
        self._source = source = DiscoverySource(settings, bootstrap, self._connector, self._log, self._failing, apps)
        self._metrics.silence = source.silence
        return source.in_force

    def _failing(self) -> set[str]:
        """Return the services that have replicas, none of which can be reached or means to stay."""
        return {
            seen.service
            for seen in self._exchange.services()
            if seen.endpoints and all(endpoint.state in ("ejected", "absent", "leaving") for endpoint in seen.endpoints)
        }

    async def _serve(self, snapshot: Snapshot) -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, stop)
        loop.add_signal_handler(signal.SIGUSR1, self._source.look)
        app = AppCheck(self._add_apps(snapshot), self._connector)
        self._swap(snapshot)
        admin = Admin(
            self._exchange,
            Exposition(self._metrics.points),
            app=app,
            why_not_ready=self._why_not_ready,
            leaving=self._leaving,
            gate=Gate(self._io, self._leaving, app, self._log),
            hook_key=self._settings.hook_key,
        )
        bound = await self._bind(snapshot)
        if self._settings.admin is not None:
            bound.append(("admin", await admin.start(self._settings.admin)))
        for name, address in bound:
            sys.stdout.write(f"listening {name}={address}\n")
        sys.stdout.flush()
        settle()
        self._ready = True
        self._exchange.expect_apps(now_ns())
        self._io.touch()
        watching = loop.create_task(
            keep_running(lambda: self._source.watch(self._swap), "following the configuration", self._log)
        )
        try:
            await stop.wait()
            await self._leaving.leave()
            await self._close_callers()
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
            await admin.stop()
            if self._pipeline is not None:
                await self._pipeline.stop()
        return 0

    async def _bind(self, snapshot: Snapshot) -> list[tuple[str, Address]]:
        bound: list[tuple[str, Address]] = []
        for name, address in self._settings.listen:
            service = find_service(snapshot, name, "--listen")
            bound.append((name, await self._listeners.listen(service, address)))
        for name, address in self._settings.front:
            service = find_service(snapshot, name, "--front")
            bound.append((f"front/{name}", await self._listeners.listen(service, address, front=True)))
        if self._settings.mesh is not None:
            bound.append(("mesh", await self._listeners.listen_mesh(self._settings.mesh)))
        return bound

    def _add_apps(self, snapshot: Snapshot) -> dict[str, Endpoint]:
        apps: dict[str, Endpoint] = {}
        for name, address in self._settings.apps:
            if self._settings.upstreams:
                service = service_of(name, address.port)
            else:
                service = find_service(snapshot, name, "--app")
            apps[name] = _own_app(address)
            self._exchange.add_app(service, apps[name], now_ns())
        return apps

    def _swap(self, snapshot: Snapshot) -> None:
        self._exchange.swap(snapshot, now_ns())
        self._metrics.swapped()
        self._leaving.set_limits(snapshot)
        self._io.touch()

    def _tell(self, notice: Notice, peer: str | None) -> None:
        say = self._log.info if notice.key in _INFORMING else self._log.warn
        say(notice.key, notice.text, service=notice.service, endpoint=notice.endpoint, peer=peer)

    def _why_not_ready(self) -> str | None:
        if self._leaving.begun:
            return "draining"
        return None if self._ready else "starting"

    def _on_signal(self, stop: asyncio.Event) -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    async def _close_callers(self) -> None:
        """Close what is still connected, with time for the last replies to leave.

        A peer that goes on reading gets all; the I/O breaks off one that does not.
        """
        self._exchange.shut(now_ns())
        self._io.touch()
        until = now_ns() + self._leaving.limits.stream_timeout
        await asyncio.sleep(_CLOSING_LOOK_S)
        while any(connection.channel.unsent for connection in self._io.open) and now_ns() < until:
            await asyncio.sleep(_CLOSING_LOOK_S)
        for _ in range(_CLOSING_LOOKS):
            await asyncio.sleep(_CLOSING_LOOK_S)
            if not self._io.open:
                return


def _own_app(address: Address) -> Endpoint:
    return Endpoint(host=address.host, port=address.port, name=f"app at {address}")


def find_service(snapshot: Snapshot, name: str, flag: str) -> Service:
    """Find the service that a flag names. Raises SettingsError, which says what names there are."""
    found = [service for service in snapshot.services if name in (service.key, service.name)]
    if len(found) == 1:
        return found[0]
    if found:
        keys = " or ".join(service.key for service in found)
        raise SettingsError(f"{flag} {name}: there are several services of that name; write {keys}")
    known = ", ".join(service.key for service in snapshot.services) or "none"
    raise SettingsError(f"{flag} {name}: no TcpService has that name; there are: {known}")


def _allow_many_files() -> None:
    """Raise the limit of open sockets as far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
