"""One run of local mode: manifests taken in as they change, replicas, figures, traces, and a name for `send`.

Used by `tcpservice up`, which shows it, and by the demo and tests, which drive it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from msgspec import Struct

from tcpservice_local import registry
from tcpservice_local.addresses import NoPortError
from tcpservice_local.control import Control
from tcpservice_local.designs import Options
from tcpservice_local.figures import History, scrape
from tcpservice_local.files import Files
from tcpservice_local.fleet import Fleet
from tcpservice_local.fleet_plan import FIRST_FREE, Plan, make_plan
from tcpservice_local.manifests import Refused, read_manifests
from tcpservice_local.pod import CRASHED, STARTING, Pod
from tcpservice_local.process_log import ProcessLog
from tcpservice_local.sidecar_flags import FRONT
from tcpservice_local.tasks import begin
from tcpservice_traces import Receiver, TraceStore

LOOK_S: Final = 0.5
SCRAPE_S: Final = 1.0
SILENCE_S: Final = 10.0
_COLLECTOR: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class Asked(Struct, frozen=True, kw_only=True):
    """What the command line asks for."""

    files: Files
    replicas: Mapping[str, int] = {}
    ports: Mapping[str, int] = {}
    inspect: Collection[str] = ()


class WrongRunError(Exception):
    """What was asked for cannot be, given the manifests."""


class Local:
    """A run, as a context: what it started ends with it.

    `told` gets (who, line) of the processes, `said` what the run itself has to say, `changed` is called when the state
    of a replica is another.
    """

    def __init__(
        self,
        asked: Asked,
        told: Callable[[str, str], None],
        said: Callable[[str], None],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._asked = asked
        self.log = ProcessLog()
        self._told = told
        self._said = said
        self._changed = changed
        self._files = asked.files
        self._texts: list[tuple[str, str]] = []
        self._folder = Fleet.folder()
        self._started = AsyncExitStack()
        self._started.callback(shutil.rmtree, self._folder, ignore_errors=True)
        self._announced: dict[str, int] = {}
        self._accepted: list[tuple[str, str]] = []
        self._trouble = ""
        self._silent: dict[str, tuple[int, float]] = {}
        self.grace = 5.0
        self.history = History()
        self.traces = TraceStore()
        self.collector = next((os.environ[name] for name in _COLLECTOR if os.environ.get(name)), None)

    async def __aenter__(self) -> Self:
        """Start everything. Raises OSError, Refused, NoPortError, WrongRunError."""
        try:
            self._texts = self._files.texts()
            self._accepted = self._texts
            plan = make_plan(read_manifests(self._texts))
            _check(self._asked, plan)
            await self._begin(plan)
        except BaseException:
            await self._started.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._started.aclose()

    async def _begin(self, plan: Plan) -> None:
        url = None
        if self.collector is None:
            receiver = Receiver(self.traces)
            self._started.push_async_callback(receiver.close)
            url = await receiver.start()
        options = Options(
            folder=self._folder,
            inherited=inherited(os.environ),
            replicas=self._asked.replicas,
            ports=self._asked.ports,
            inspect=self._asked.inspect,
            collector=url,
        )
        self.fleet = Fleet(options, self._take_line, self._changed)
        control = Control(self.fleet, self.history, self.log, self.traces)
        self._started.push_async_callback(control.close)
        self._started.callback(self.log.end)
        self._started.push_async_callback(lambda: self.fleet.close(self.grace))
        await self.fleet.start(plan)
        try:
            await control.start(self._folder)
        except OSError as error:  # TMPDIR is too long for the name of a socket
            self._say(f"tcpservice ps, logs, traces and restart cannot find this run: {error} ({self._folder})")
        self._announce(plan)
        for task in (begin(self._watch()), begin(self._measure())):
            self._started.callback(task.cancel)
        self._started.callback(self._files.stop)

    def _take_line(self, who: str, line: str) -> None:
        self.log.add(who, line)
        self._told(who, line)

    def _say(self, text: str) -> None:
        for line in text.splitlines():
            self.log.add("", line)
        self._said(text)

    def _announce(self, plan: Plan) -> None:
        by_message = {service.key for service in plan.services if not service.by_connection}
        ports = self.fleet.ports
        registry.announce(self._folder, {key: port for key, port in ports.items() if key in by_message})
        for note in plan.notes:
            self._say(note)
        for service in plan.services:
            port = ports[service.key]
            if port == self._announced.get(service.key, service.port if not self._announced else 0):
                continue
            asked = self._asked.ports.get(service.key, self._asked.ports.get(service.name))
            why = ""
            if port not in (service.port, asked):
                low = service.port < FIRST_FREE and port == service.local_port
                why = f"; ports below {FIRST_FREE} need root" if low else f"; port {service.local_port} is taken"
            self._say(f"{service.name} is at 127.0.0.1:{port}{why}")
        self._announced = dict(self.fleet.ports)

    async def _watch(self) -> None:
        """Take in what changes in the files; what is wrong changes nothing."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                texts = await asyncio.to_thread(self._files.texts)
            except OSError as error:
                self._say_once(f"{error.filename}: {error.strerror}; the last good state goes on")
                continue
            self._trouble = ""
            if texts != self._texts:
                self._texts = texts
                self._take(texts)
            elif self.crashed():
                self._look_for_commands()

    def _say_once(self, trouble: str) -> None:
        """Say what is wrong with the files, once as long as it stays the same."""
        if trouble != self._trouble:
            self._trouble = trouble
            self._say(trouble)

    def _take(self, texts: Sequence[tuple[str, str]]) -> None:
        try:
            plan = make_plan(read_manifests(texts))
            _check_services(plan, "there is no TcpService among the manifests any more")
            self.fleet.apply(plan)
        except (Refused, NoPortError, WrongRunError) as error:
            for line in str(error).splitlines():
                self._say(line)
            self._say("the last good state goes on")
        else:
            self._accepted = list(texts)
            self._say("the changed manifests are in effect")
            self._announce(plan)

    def _look_for_commands(self) -> None:
        """Find again where commands run, while a replica crashes: its script may have been built since."""
        try:
            plan = make_plan(read_manifests(self._accepted))
        except Refused:
            return
        folders = {workload.key: workload.folder for workload in self.fleet.plan.workloads}
        moved = [each for each in plan.workloads if folders.get(each.key, each.folder) != each.folder]
        if moved:
            try:
                self.fleet.apply(plan)
            except NoPortError as error:
                self._say_once(str(error))
                return
            for workload in moved:
                self._say(f"{workload.name} runs in {workload.folder} now, because its script is there")

    async def _measure(self) -> None:
        while True:
            await asyncio.sleep(SCRAPE_S)
            await self.measure()
            self._tell_of_silence()

    def _tell_of_silence(self) -> None:
        """Say once of each process that runs for long and does not listen where it should."""
        now = asyncio.get_running_loop().time()
        for pod in self.fleet.pods.values():
            if pod.state != STARTING or pod.app.pid is None or not pod.design.probe_port:
                self._silent.pop(pod.name, None)
                continue
            pid, since = self._silent.setdefault(pod.name, (pod.app.pid, now))
            if pid != pod.app.pid:
                self._silent[pod.name] = (pod.app.pid, now)
            elif since <= now - SILENCE_S:
                self._silent[pod.name] = (pid, float("inf"))
                self._say(_silence(pod))

    async def measure(self) -> None:
        """Read the sidecars' figures now."""
        admins = {pod.name: pod.design.admin for pod in self.fleet.pods.values()}
        await scrape({**admins, FRONT: self.fleet.front_admin}, self.history)

    def crashed(self) -> list[str]:
        """Return the names of the replicas that ended and wait to be started again."""
        return [pod.name for pod in self.fleet.pods.values() if pod.state == CRASHED]


def _silence(pod: Pod) -> str:
    """Say what is known of a replica that runs and does not become ready."""
    port = pod.design.probe_port
    variable = next((name for name, value in pod.design.app.variables.items() if value == str(port)), "PORT")
    text = f"{pod.name} runs, but is not ready after {SILENCE_S:g} s"
    if "was answered" in pod.probe_failure:
        return f"{text}: {pod.probe_failure}"
    return f"{text}: it does not listen on 127.0.0.1:{port}, the port in its variable {variable}"


def _check(asked: Asked, plan: Plan) -> None:
    _check_services(plan, f"there is no TcpService among the manifests of {asked.files}; up needs at least one")
    deployments = {workload.key: workload.name for workload in plan.workloads}
    _check_names("--replicas", "Deployment", asked.replicas, deployments)
    _check_names("--inspect", "Deployment", asked.inspect, deployments)
    _check_names("--port", "TcpService or Service", asked.ports, {each.key: each.name for each in plan.services})


def _check_services(plan: Plan, otherwise: str) -> None:
    if all(service.by_connection for service in plan.services):
        raise WrongRunError(otherwise)


def _check_names(flag: str, kind: str, asked: Iterable[str], there: Mapping[str, str]) -> None:
    for name in asked:
        if name not in (*there, *there.values()):
            known = ", ".join(there.values()) or "none"
            raise WrongRunError(f'{flag}: the manifests have no {kind} "{name}"; they have {known}')


def inherited(shell: Mapping[str, str]) -> dict[str, str]:
    """Return what the apps have of the shell; where no Python environment is active, this command's own is."""
    variables = dict(shell)
    home = Path(sys.executable).parent
    if sys.prefix != sys.base_prefix and not shell.get("VIRTUAL_ENV"):
        variables["PATH"] = f"{home}{os.pathsep}{shell.get('PATH', os.defpath)}"
    return variables
