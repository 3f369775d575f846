"""The loop that makes plans true: looks again at the TcpServices that an event concerns, and writes what differs.

Used by `app`. It knows nothing of what happened: each look starts from the whole state, and where all is as planned
nothing is written. What the API server refuses is tried again, later each time.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from msgspec.structs import replace

from tcpservice_operator.cluster import ApiError
from tcpservice_operator.endpoints import REPLICAS_SUFFIX
from tcpservice_operator.events import Happened, write_event
from tcpservice_operator.evicting import Eviction
from tcpservice_operator.objects import Body, Key, Pod, Wanted, key_of, read_service
from tcpservice_operator.planning import make_plan
from tcpservice_operator.services import Document, release_of
from tcpservice_operator.state import State

_SETTLE_S: Final = 0.05
_AT_ONCE: Final = 8
_MOST_WRITES: Final = 5
_WITHIN_S: Final = 60.0
_CONFLICT: Final = 409
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0

COURTESY_S: Final = 2.0
"""How long people may take to make the Service themselves. One `kubectl apply` of both may make the TcpService first,
and fails at a Service that somebody else made in between."""

PATIENCE_S: Final = 60.0
"""How long the replacement of an evicted pod may take to become ready before an Event reports it."""

_LOOK_AGAIN_S: Final = 10.0
_LOGGER: Final = logging.getLogger("tcpservice.operator")


class Writer(Protocol):
    """Who writes."""

    async def apply_service(self, document: Body) -> None:
        """Make a Service what it should be. Raises ApiError."""

    async def release_service(self, change: Body) -> None:
        """Change the owner of a Service by a merge patch. Raises ApiError."""

    async def apply_status(self, key: Key, status: Body) -> None:
        """Show the status of a TcpService. Raises ApiError."""

    async def post_event(self, document: Body) -> None:
        """Tell people of something that happened. Raises ApiError."""

    async def evict(self, pod: Key) -> None:
        """End a pod, so that its owner makes it anew. Raises ApiError; 429: its disruption budget does not allow it."""

    async def desired_pods(self, namespace: str, workload: str) -> int | None:
        """Return how many pods a workload (`Kind/name`) wants, None where it is not there. Raises ApiError."""


class Reconciler:
    """Keeps TcpServices in line while `may_write` says that this copy leads; `now` gives the time as RFC 3339.

    `courtesy` is how many seconds it leaves others to make the Service of a TcpService's name; `patience` is how many
    seconds a workload may lack pods before an Event reports that evictions have stopped.
    """

    def __init__(
        self,
        state: State,
        writer: Writer,
        may_write: Callable[[], bool],
        now: Callable[[], str],
        courtesy: float = COURTESY_S,
        patience: float = PATIENCE_S,
    ) -> None:
        self._state = state
        self._writer = writer
        self._may_write = may_write
        self._now = now
        self._courtesy = courtesy
        self._patience = patience
        self._short_since: dict[Key, float] = {}
        self._stopped: dict[Key, str] = {}
        self._first_looks: dict[Key, float] = {}
        self._due: set[Key] = set()
        self.looks = 0
        self._failures: dict[Key, int] = {}
        self._written: dict[Key, deque[float]] = {}
        self._evictable: dict[Key, frozenset[str]] = {}
        self._told_stopped: set[Key] = set()
        self._told_refused: dict[Key, frozenset[tuple[str, str]]] = {}
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._wake = asyncio.Event()

    def touch(self, keys: Iterable[Key]) -> None:
        """Let these be looked at again."""
        self._due.update(keys)
        self._wake.set()

    async def run(self) -> None:
        """Look at what is due, again and again."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(_SETTLE_S)
            self._wake.clear()
            while self._due and self._may_write():
                due, self._due = self._due, set()
                async with asyncio.TaskGroup() as looks:
                    for key in due:
                        looks.create_task(self._look(key))

    async def _look(self, key: Key) -> None:
        try:
            async with self._at_once:
                await self.reconcile(key)
        except ApiError as error:
            self._fail(key, error)
        else:
            self._failures.pop(key, None)

    async def reconcile(self, key: Key) -> None:
        """Make what one TcpService asks for true. Raises ApiError."""
        self.looks += 1
        plan = make_plan(self._state, key, self._now(), self._stopped.get(key, ""))
        if plan is None:
            self._forget(key)
            await self._release(key)
            return
        for document in plan.services:
            if self._may_write() and not self._is_there(document) and not self._may_be_made(key, document):
                self._pace(document)
                await self._writer.apply_service(document)
        wanted = self._state.wanted.get(key)
        if self._may_write() and wanted is not None and wanted.status != plan.status:
            await self._writer.apply_status(key, plan.status)
            await self._tell(wanted, plan.happened)
        if self._may_write() and wanted is not None:
            await self._tell_refused(wanted, plan.refused)
        if plan.eviction is None:
            self._short_since.pop(key, None)
            self._stopped.pop(key, None)
        elif wanted is not None and self._may_write() and not await self._is_short(wanted, plan.eviction):
            await self._evict(wanted, plan.eviction.pod, plan.pods)

    async def _release(self, key: Key) -> None:
        """Let the Service of the replicas of a TcpService that is gone be deleted, once no sidecar resolves it."""
        service = self._state.outlived(key)
        if service is not None and self._may_write() and not self._state.is_resolved(key):
            await self._writer.release_service(release_of(service, key[1]))

    async def _is_short(self, wanted: Wanted, eviction: Eviction) -> bool:
        """Whether a workload lacks ready pods; if so, it is checked again, and an Event reports it later."""
        key, loop = wanted.key, asyncio.get_running_loop()
        lacking = ""
        for workload, ready in sorted(eviction.ready.items()):
            desired = await self._writer.desired_pods(key[0], workload)
            if desired is None or ready < desired:
                words = f"{ready} of {desired} pods of {workload} are ready" if desired else f"{workload} is not there"
                look = f"kubectl describe -n {key[0]} {workload.lower()}"
                lacking = f"no pod is evicted until each workload has all its pods: {words}; why: {look}"
                break
        if not lacking:
            self._short_since.pop(key, None)
            self._stopped.pop(key, None)
            return False
        loop.call_later(_LOOK_AGAIN_S, self.touch, [key])
        since = self._short_since.setdefault(key, loop.time())
        if loop.time() - since >= self._patience and self._stopped.get(key) != lacking:
            if key not in self._stopped:
                await self._tell(wanted, [Happened("Warning", "EvictingStopped", lacking)])
            self._stopped[key] = lacking
            self.touch([key])
        return True

    async def _evict(self, wanted: Wanted, pod: Pod, there: frozenset[str]) -> None:
        """Have a pod made anew, unless it was already: then the webhook gives no sidecar, and more would not help."""
        key, name = wanted.key, pod.key[1]
        if pod.uid in self._evictable.setdefault(key, there):
            await self._writer.evict(pod.key)
            await self._tell(wanted, [Happened("Normal", "Evicted", f"{name}, which lacks the sidecar, is made anew")])
        elif key not in self._told_stopped:
            self._told_stopped.add(key)
            text = f"{name} was made without the sidecar, too; why: tcpservice check"
            await self._tell(wanted, [Happened("Warning", "EvictingStopped", text)])

    async def _tell_refused(self, wanted: Wanted, refused: Mapping[tuple[str, str], Happened]) -> None:
        """Tell of pods that are refused a sidecar, of those of one owner and for one reason once."""
        told = self._told_refused.get(wanted.key, frozenset())
        self._told_refused[wanted.key] = frozenset(refused)
        await self._tell(wanted, [refused[each] for each in sorted(refused.keys() - told)])

    async def _tell(self, wanted: Wanted, happened: Iterable[Happened]) -> None:
        """Write Events; nothing depends on them, so that none is written twice."""
        for each in happened:
            try:
                await self._writer.post_event(write_event(wanted, each, self._now()))
            except ApiError as error:
                _LOGGER.warning("the event %s of %s was not written: %s", each.reason, "/".join(wanted.key), error)

    def _pace(self, document: Document) -> None:
        """Note that a Service is written. Raises ApiError where somebody else keeps changing it back."""
        key = key_of(document)
        times = self._written.setdefault(key, deque(maxlen=_MOST_WRITES))
        now = asyncio.get_running_loop().time()
        if len(times) == _MOST_WRITES and now - times[0] < _WITHIN_S:
            show = f"kubectl get service -n {key[0]} {key[1]} -o yaml --show-managed-fields"
            raise ApiError(_CONFLICT, f"somebody else keeps changing the Service {'/'.join(key)}; who it is: {show}")
        times.append(now)

    def _may_be_made(self, key: Key, document: Document) -> bool:
        """Whether people may be about to make a Service; then it is looked for again when they have had their time."""
        loop = asyncio.get_running_loop()
        first = self._first_looks.setdefault(key, loop.time())
        left = first + self._courtesy - loop.time()
        if key_of(document) != key or key in self._state.services or left <= 0:
            return False
        loop.call_later(left, self.touch, [key])
        return True

    def _is_there(self, document: Document) -> bool:
        wanted = read_service({**document, "metadata": {**document["metadata"], "uid": ""}})
        there = self._state.services.get(wanted.key)
        return there is not None and replace(there, uid="") == wanted

    def _forget(self, key: Key) -> None:
        for name in (key[1], key[1] + REPLICAS_SUFFIX):
            self._written.pop((key[0], name), None)
        self._evictable.pop(key, None)
        self._short_since.pop(key, None)
        self._stopped.pop(key, None)
        self._first_looks.pop(key, None)
        self._told_stopped.discard(key)
        self._told_refused.pop(key, None)

    def _fail(self, key: Key, error: ApiError) -> None:
        """Try again later; what is gone by now needs nothing."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(failures, 10))
        _LOGGER.warning("%s is looked at again in %g s: %s", "/".join(key), pause, error)
        asyncio.get_running_loop().call_later(pause, self.touch, [key])
