"""All that runs: brought in line with the plan again and again, and told to the sidecars.

Used by `tcpservice up`, the demo and tests. Whatever happened (a file changed, somebody scaled, a replica died), the
same two things follow: what runs is compared with what should, and the slices are written anew where they differ.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from tcpservice_local.designs import Design, Designer, Front, Options, is_stale
from tcpservice_local.fleet_plan import Plan
from tcpservice_local.pod import STOPPED, Pod, Told
from tcpservice_local.processes import Guard
from tcpservice_local.registry import PREFIX
from tcpservice_local.sidecar import Sidecar
from tcpservice_local.sidecar_flags import FRONT, STATE
from tcpservice_local.slices import slices_of
from tcpservice_local.tasks import begin

SETTLE_S: Final = 0.02
_HOLD_S: Final = 10.0
_GRACE_S: Final = 5.0


class Fleet:
    """The replicas and the front of one run. `told` gets (who, line), `changed` is called when anything is another."""

    def __init__(self, options: Options, told: Told, changed: Callable[[], None] = lambda: None) -> None:
        self._options = options
        self._told = told
        self._on_change = changed
        self.guard = Guard(options.folder)
        self._designer = Designer(options)
        self._front: Sidecar | None = None
        self._design: Front | None = None
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._leaving: set[asyncio.Task[None]] = set()
        self._published = ""
        self._hold_until: float | None = None
        self._publishing: asyncio.TimerHandle | None = None
        self._scales: dict[str, int] = {}
        self._stopped: set[str] = set()
        self.plan = Plan(services=(), workloads=(), notes=())
        self.pods: dict[str, Pod] = {}

    @staticmethod
    def folder() -> Path:
        """Make the folder of a run, which nobody else may read."""
        return Path(tempfile.mkdtemp(prefix=PREFIX))

    async def start(self, plan: Plan) -> Self:
        """Begin to run a plan. Raises NoPortError."""
        (self._options.folder / STATE).mkdir()
        await self.guard.start()
        self._hold_until = asyncio.get_running_loop().time() + _HOLD_S
        asyncio.get_running_loop().call_later(_HOLD_S, self._wake.set)
        self.apply(plan)
        self._tasks = [begin(self._keep_in_line())]
        return self

    def apply(self, plan: Plan) -> None:
        """Take a new plan; what did not change goes on undisturbed. Raises NoPortError; nothing has changed then."""
        front = self._designer.front(plan)
        before = {workload.key: workload.replicas for workload in self.plan.workloads}
        for workload in plan.workloads:
            asked = self._options.replicas.get(workload.key, self._options.replicas.get(workload.name))
            if workload.key not in before and asked is not None:
                self._scales[workload.key] = asked
            elif workload.key in before and before[workload.key] != workload.replicas:
                self._scales.pop(workload.key, None)
        self._designer.replicas(plan, self._scales)
        self.plan, self._design = plan, front
        self._publish()
        self._wake.set()

    @property
    def ports(self) -> dict[str, int]:
        """The port of the front on 127.0.0.1 for each service by `namespace/name`."""
        return dict(self._design.ports) if self._design is not None else {}

    @property
    def front_admin(self) -> int:
        """The admin port of the front."""
        return self._design.admin if self._design is not None else 0

    def replicas(self, workload: str) -> int:
        """Return how many replicas a workload is to have."""
        known = {each.key: each.replicas for each in self.plan.workloads}
        return self._scales.get(workload, known.get(workload, 0))

    def ready(self) -> bool:
        """Whether every replica that should be there is ready, and the front, too, and the sidecars were told so."""
        wanted = self._designer.replicas(self.plan, self._scales).keys() - self._stopped
        there = {name for name, pod in self.pods.items() if pod.ready}
        told = self._publishing is None
        return told and wanted <= there and self._front is not None and self._front.ready

    # What people do

    def scale(self, workload: str, replicas: int) -> None:
        """Give a workload so many replicas. Raises NoPortError."""
        scales = {**self._scales, workload: max(0, replicas)}
        self._designer.replicas(self.plan, scales)
        self._scales = scales
        self._wake.set()

    def kill(self, name: str) -> None:
        """Kill a replica's app, as a crash would; it is started again."""
        self.pods[name].kill()

    def toggle_pause(self, name: str) -> None:
        """Freeze a replica's app or let it go on."""
        self.pods[name].toggle_pause()

    def stop(self, name: str) -> None:
        """Let a replica leave; it stays away until it is started."""
        self._stopped.add(name)
        self._wake.set()

    def restart(self, name: str) -> None:
        """Replace a replica by a new one; start one that is stopped or waits after a crash."""
        pod = self.pods[name]
        if name in self._stopped:
            self._stopped.discard(name)
        elif pod.app.waiting:
            pod.app.hurry()
        else:
            self._let_go(pod)
        self._wake.set()

    async def close(self, grace: float = _GRACE_S) -> None:
        """End everything, and leave nothing behind."""
        for task in (*self._tasks, *self._leaving):
            task.cancel()
        if self._front is not None:
            self._front.hush()
        ending = [pod.end(grace) for pod in self.pods.values()]
        await asyncio.gather(*ending, *([self._front.stop()] if self._front is not None else []))
        if self._publishing is not None:
            self._publishing.cancel()
        await self.guard.stop()
        self._designer.close()

    # Bringing it in line

    async def _keep_in_line(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._align_front()
            self._align()

    async def _align_front(self) -> None:
        """Start the front, or replace it where it must listen elsewhere."""
        assert self._design is not None
        design, told = self._design, self._told
        if self._front is not None:
            if self._front.program == design.program:
                return
            await self._front.stop()
        self._front = Sidecar(design.program, design.admin, self.guard, lambda line: told(FRONT, line), self._changed)
        self._front.start()

    def _align(self) -> None:
        """Let surplus replicas leave, start missing ones, and let one leave that is to be another."""
        wanted = self._designer.replicas(self.plan, self._scales)
        self._stopped &= wanted.keys()
        for name, pod in list(self.pods.items()):
            if name not in wanted or name in self._stopped:
                self._let_go(pod)
        held = self._holds(wanted)
        for name, design in wanted.items():
            pod_there = self.pods.get(name)
            missing = pod_there is None or pod_there.state == STOPPED
            if missing and name not in self._stopped and not (held and not design.serves):
                self._add(design)
        for workload in {design.workload for design in wanted.values()}:
            self._roll([pod for pod in self.pods.values() if pod.design.workload == workload], wanted)

    def _roll(self, pods: Sequence[Pod], wanted: Mapping[str, Design]) -> None:
        """Let one replica of a workload leave that is to be another, once those that are right are ready.

        So a change takes one replica at a time, and one that does not come up takes no more than one.
        """
        stale = [pod for pod in pods if is_stale(pod.design, wanted.get(pod.name)) and not pod.leaving]
        right = [pod for pod in pods if pod not in stale and pod.name not in self._stopped]
        if stale and all(pod.ready for pod in right):
            self._let_go(min(stale, key=lambda pod: pod.ready))

    def _holds(self, wanted: Mapping[str, Design]) -> bool:
        """Whether callers still wait for the services: at the beginning, until these are ready, but not for ever.

        In a cluster they do not wait, and their first messages fail; here that would only look like a fault.
        """
        if self._hold_until is None:
            return False
        serving = {name for name, design in wanted.items() if design.serves} - self._stopped
        there = {name for name, pod in self.pods.items() if pod.ready}
        if serving <= there or asyncio.get_running_loop().time() >= self._hold_until:
            self._hold_until = None
        return self._hold_until is not None

    def _add(self, design: Design) -> None:
        pod = Pod(design, self.guard, self._told, self._changed)
        self.pods = dict(sorted([*self.pods.items(), (design.name, pod)], key=lambda item: _order(item[0])))
        pod.start()
        self._changed()

    def _let_go(self, pod: Pod) -> None:
        """Let a replica leave in its own time."""
        if pod.leaving:
            return
        pod.leaving = True
        task = begin(self._leave(pod))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _leave(self, pod: Pod) -> None:
        await pod.leave()
        if pod.name not in self._stopped and self.pods.get(pod.name) is pod:
            del self.pods[pod.name]
        self._wake.set()
        self._changed()

    # Telling the sidecars

    def _changed(self) -> None:
        if self._publishing is None:
            self._publishing = asyncio.get_running_loop().call_later(SETTLE_S, self._tell)

    def _tell(self) -> None:
        """Tell the sidecars, then people."""
        self._publishing = None
        self._publish()
        self._on_change()
        self._wake.set()

    def _publish(self) -> None:
        """Write what all sidecars read, in one go, where it is another than before."""
        endpoints = [endpoint for pod in self.pods.values() for endpoint in pod.endpoints()]
        documents = [service.document for service in self.plan.services]
        documents += slices_of(self.plan.services, endpoints)
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": documents}, indent=1)
        if text == self._published:
            return
        self._published = text
        target = self._options.folder / STATE / "services.json"
        fresh = target.with_suffix(".new")
        fresh.write_text(text)
        os.replace(fresh, target)
        for sidecar in (self._front, *(pod.sidecar for pod in self.pods.values())):
            if sidecar is not None:
                sidecar.look()


def _order(name: str) -> tuple[str, int]:
    """Sort `orders-2` before `orders-10`."""
    base, _, number = name.rpartition("-")
    return base, int(number)
