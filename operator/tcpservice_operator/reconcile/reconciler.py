"""The reconcile loop: for each TcpService that an event affects, it computes the plan and writes the differences.

Used by `main`. Each reconcile starts from the whole state, not from the event. If the cluster matches the plan, nothing
is written. A write that the API server refuses is retried, with growing pauses.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from msgspec.structs import replace

from tcpservice_operator.api.operator_metrics import OperatorMetrics
from tcpservice_operator.api.plain_objects import Body, Key, key_of
from tcpservice_operator.cache.cluster_state import ClusterState
from tcpservice_operator.cache.endpoints import REPLICAS_SUFFIX
from tcpservice_operator.cache.objects import Pod, TcpService, read_service
from tcpservice_operator.kube.kube_client import ApiError
from tcpservice_operator.reconcile.events import Event, event_document
from tcpservice_operator.reconcile.eviction import Eviction
from tcpservice_operator.reconcile.plan import Plan, make_plan
from tcpservice_operator.reconcile.service_documents import Document, release_of

_SETTLE_S: Final = 0.05
_AT_ONCE: Final = 8
_MOST_WRITES: Final = 5
_WITHIN_S: Final = 60.0
_CLIENT_ERROR: Final = 400
_CONFLICT: Final = 409
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0

GRACE_PERIOD_S: Final = 2.0
"""How long the operator waits before it creates the Service of a TcpService's name. One `kubectl apply` of both may
create the TcpService first, and it fails if the operator creates the Service in between."""

REPLACEMENT_TIMEOUT_S: Final = 60.0
"""How long the replacement of an evicted pod may take to become ready before an Event reports it."""

_CHECK_AGAIN_S: Final = 10.0
_LOGGER: Final = logging.getLogger("tcpservice.operator")


class Writer(Protocol):
    """Writes to the API server."""

    async def apply_service(self, document: Body) -> None:
        """Apply a Service. Raises ApiError."""

    async def release_service(self, change: Body) -> None:
        """Change the owner of a Service by a merge patch. Raises ApiError."""

    async def apply_status(self, key: Key, status: Body) -> None:
        """Apply the status of a TcpService. Raises ApiError."""

    async def post_event(self, document: Body) -> None:
        """Create an Event. Raises ApiError."""

    async def evict(self, pod: Key) -> None:
        """Evict a pod. Raises ApiError; 429: a disruption budget does not allow it."""

    async def desired_pods(self, namespace: str, workload: str) -> int | None:
        """Return the desired number of pods of a workload (`Kind/name`), None if it does not exist. Raises ApiError."""


class Reconciler:
    """Reconciles TcpServices while `may_write` says that this replica leads.

    `now` returns the time as RFC 3339. `grace_period` is how many seconds the operator waits before it creates the
    Service of a TcpService's name. `replacement_timeout` is how many seconds a workload may lack pods before an Event
    reports that evictions have stopped.
    """

    def __init__(
        self,
        state: ClusterState,
        writer: Writer,
        may_write: Callable[[], bool],
        now: Callable[[], str],
        grace_period: float = GRACE_PERIOD_S,
        replacement_timeout: float = REPLACEMENT_TIMEOUT_S,
        metrics: OperatorMetrics | None = None,
    ) -> None:
        self._state = state
        self._writer = writer
        self._may_write = may_write
        self._now = now
        self._grace_period = grace_period
        self._replacement_timeout = replacement_timeout
        self._short_since: dict[Key, float] = {}
        self._stopped: dict[Key, str] = {}
        self._first_reconciled: dict[Key, float] = {}
        self._due: set[Key] = set()
        self._metrics = metrics or OperatorMetrics()
        self._metrics.queue.set_function(lambda: len(self._due))
        self._failures: dict[Key, int] = {}
        self._written: dict[Key, deque[float]] = {}
        self._refused: dict[Key, str] = {}
        self._evictable: dict[Key, frozenset[str]] = {}
        self._reported_stopped: set[Key] = set()
        self._reported_refused: dict[Key, frozenset[tuple[str, str]]] = {}
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._wake = asyncio.Event()

    def touch(self, keys: Iterable[Key]) -> None:
        """Request a reconcile of these TcpServices."""
        self._due.update(keys)
        self._wake.set()

    async def run(self) -> None:
        """Reconcile the requested TcpServices, without end."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(_SETTLE_S)
            self._wake.clear()
            while self._due and self._may_write():
                due, self._due = self._due, set()
                async with asyncio.TaskGroup() as tasks:
                    for key in due:
                        tasks.create_task(self._reconcile_or_retry(key))

    async def _reconcile_or_retry(self, key: Key) -> None:
        async with self._at_once:
            began, outcome = time.perf_counter(), "failed"
            try:
                await self.reconcile(key)
                outcome = "ok"
                self._failures.pop(key, None)
            except ApiError as error:
                self._retry_later(key, error)
            finally:
                self._metrics.reconciles.labels(outcome).observe(time.perf_counter() - began)

    async def reconcile(self, key: Key) -> None:
        """Reconcile one TcpService. Raises ApiError."""
        plan = self._plan(key)
        if plan is None:
            self._forget(key)
            await self._release(key)
            return
        if plan.disowned is not None and self._may_write():
            await self._writer.release_service(plan.disowned)
        refused = self._refused.get(key, "")
        refusal = await self._apply_services(key, plan.services)
        if self._refused.get(key, "") != refused:
            plan = self._plan(key) or plan
        tcp_service = self._state.tcp_services.get(key)
        if self._may_write() and tcp_service is not None and tcp_service.status != plan.status:
            await self._writer.apply_status(key, plan.status)
            await self._post_events(tcp_service, plan.events)
        if self._may_write() and tcp_service is not None:
            await self._report_refused(tcp_service, plan.refusals)
        if refusal is not None:
            raise refusal
        if plan.is_injected:
            self._evictable.pop(key, None)
            self._reported_stopped.discard(key)
        if plan.eviction is None:
            self._short_since.pop(key, None)
            self._stopped.pop(key, None)
        elif tcp_service is not None and self._may_write() and not await self._is_short(tcp_service, plan.eviction):
            await self._evict(tcp_service, plan.eviction.pod, plan.pods)

    def _plan(self, key: Key) -> Plan | None:
        return make_plan(self._state, key, self._now(), self._stopped.get(key, ""), self._refused.get(key, ""))

    async def _apply_services(self, key: Key, documents: Iterable[Document]) -> ApiError | None:
        """Apply Services. Return the error if the API server refuses one; the caller writes the status, then retries.

        Raises ApiError if the API server cannot be reached, or is busy.
        """
        refusal = None
        for document in documents:
            if self._may_write() and not self._is_there(document) and not self._in_grace_period(key, document):
                try:
                    times = self._times_of_writes(document)
                    await self._writer.apply_service(document)
                    times.append(asyncio.get_running_loop().time())
                except ApiError as error:
                    if not _CLIENT_ERROR <= error.status < _SERVER_ERROR or error.status == _TOO_MANY:
                        raise
                    refusal, name = error, "/".join(key_of(document))
                    self._refused[key] = f"{name}: {error}"
        if refusal is None:
            self._refused.pop(key, None)
        return refusal

    async def _release(self, key: Key) -> None:
        """Release the Service `<name>-replicas` of a deleted TcpService, once no sidecar resolves it."""
        service = self._state.unreleased_service(key)
        if service is not None and self._may_write() and not self._state.is_resolved(key):
            await self._writer.release_service(release_of(service, key[1]))

    async def _is_short(self, tcp_service: TcpService, eviction: Eviction) -> bool:
        """Whether a workload lacks ready pods. If so, it is checked again, and an Event reports it after a while."""
        key, loop = tcp_service.key, asyncio.get_running_loop()
        lacking = ""
        for workload, ready in sorted(eviction.ready.items()):
            desired = await self._writer.desired_pods(key[0], workload)
            if desired is None or ready < desired:
                state = f"{workload} has {ready} ready pods of {desired}" if desired else f"{workload} does not exist"
                look = f"kubectl describe -n {key[0]} {workload.lower()}"
                lacking = (
                    f"The operator evicts no pod until all pods of each workload are ready. {state}. To see why: {look}"
                )
                break
        if not lacking:
            self._short_since.pop(key, None)
            self._stopped.pop(key, None)
            return False
        loop.call_later(_CHECK_AGAIN_S, self.touch, [key])
        since = self._short_since.setdefault(key, loop.time())
        if loop.time() - since >= self._replacement_timeout and self._stopped.get(key) != lacking:
            if key not in self._stopped:
                await self._post_events(tcp_service, [Event("Warning", "EvictingStopped", lacking)])
            self._stop(key, lacking)
        return True

    def _stop(self, key: Key, reason: str) -> None:
        """Note why evictions have stopped, for the status."""
        if self._stopped.get(key) != reason:
            self._stopped[key] = reason
            self.touch([key])

    async def _evict(self, tcp_service: TcpService, pod: Pod, there: frozenset[str]) -> None:
        """Evict a pod that existed at the first eviction since all had the sidecar.

        A pod created later without the sidecar is a failed replacement.
        """
        key, name = tcp_service.key, pod.key[1]
        if pod.uid in self._evictable.setdefault(key, there):
            try:
                await self._writer.evict(pod.key)
            except ApiError as error:
                if error.status == _TOO_MANY:
                    self._stop(key, f"The API server does not allow the operator to evict {name} now: {error}")
                raise
            await self._post_events(
                tcp_service, [Event("Normal", "Evicted", f"{name} has no sidecar; its workload replaces it.")]
            )
        elif key not in self._reported_stopped:
            self._reported_stopped.add(key)
            text = f"Evictions have stopped: the new pod {name} has no sidecar either. To see why: tcpservice check"
            await self._post_events(tcp_service, [Event("Warning", "EvictingStopped", text)])

    async def _report_refused(self, tcp_service: TcpService, refused: Mapping[tuple[str, str], Event]) -> None:
        """Write Events for pods that get no sidecar, once for each owner and reason."""
        reported = self._reported_refused.get(tcp_service.key, frozenset())
        self._reported_refused[tcp_service.key] = frozenset(refused)
        await self._post_events(tcp_service, [refused[each] for each in sorted(refused.keys() - reported)])

    async def _post_events(self, tcp_service: TcpService, events: Iterable[Event]) -> None:
        """Write Events. A failed write is logged and not retried, because nothing depends on Events."""
        for each in events:
            try:
                await self._writer.post_event(event_document(tcp_service, each, self._now()))
            except ApiError as error:
                _LOGGER.warning(
                    "could not write the Event %s of TcpService %s: %s", each.reason, "/".join(tcp_service.key), error
                )

    def _times_of_writes(self, document: Document) -> deque[float]:
        """Return when a Service was written last. Raises ApiError if another client keeps changing it back.

        A write that the API server refuses does not count.
        """
        key = key_of(document)
        times = self._written.setdefault(key, deque(maxlen=_MOST_WRITES))
        now = asyncio.get_running_loop().time()
        if len(times) == _MOST_WRITES and now - times[0] < _WITHIN_S:
            show = f"kubectl get service -n {key[0]} {key[1]} -o yaml --show-managed-fields"
            raise ApiError(
                _CONFLICT, f"another client repeatedly changes the Service {'/'.join(key)}. To see which one: {show}"
            )
        return times

    def _in_grace_period(self, key: Key, document: Document) -> bool:
        """Whether to wait before creating the Service of callers. If so, a reconcile follows after the grace period."""
        loop = asyncio.get_running_loop()
        first = self._first_reconciled.setdefault(key, loop.time())
        left = first + self._grace_period - loop.time()
        if key_of(document) != key or key in self._state.services or left <= 0:
            return False
        loop.call_later(left, self.touch, [key])
        return True

    def _is_there(self, document: Document) -> bool:
        planned = read_service({**document, "metadata": {**document["metadata"], "uid": ""}})
        there = self._state.services.get(planned.key)
        return there is not None and replace(there, uid="") == planned

    def _forget(self, key: Key) -> None:
        for name in (key[1], key[1] + REPLICAS_SUFFIX):
            self._written.pop((key[0], name), None)
        self._evictable.pop(key, None)
        self._refused.pop(key, None)
        self._short_since.pop(key, None)
        self._stopped.pop(key, None)
        self._first_reconciled.pop(key, None)
        self._reported_stopped.discard(key)
        self._reported_refused.pop(key, None)

    def _retry_later(self, key: Key, error: ApiError) -> None:
        """Request a reconcile after a pause that doubles with each failure."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(failures, 10))
        _LOGGER.warning("could not reconcile TcpService %s, next attempt in %g s: %s", "/".join(key), pause, error)
        asyncio.get_running_loop().call_later(pause, self.touch, [key])
