"""The process of the operator, `tcpservice-operator`, and the wiring of its parts.

It lists the cluster, or the namespaces of `--watch-namespaces`, once and then watches them. Every replica of the
operator serves discovery streams and the webhook. The replica that leads also writes: Services, status, Events,
evictions and the CA. By `--roles`, several Deployments share this work, so that a stall in one does not delay another.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Awaitable, Coroutine, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from tcpservice_flags import USAGE_ERROR, Address, SettingsError, bind_error, usage_line
from tcpservice_operator.api.kubernetes_versions import why_too_old
from tcpservice_operator.api.names import CA_LEASE_NAME, LEASE_NAME, PLURAL
from tcpservice_operator.api.operator_metrics import OperatorMetrics
from tcpservice_operator.api.plain_objects import Key
from tcpservice_operator.cache import kopf_watch
from tcpservice_operator.cache.cluster_state import ClusterState
from tcpservice_operator.cache.kinds import Collection, collections
from tcpservice_operator.cache.listing import Lister
from tcpservice_operator.cache.watching import Watcher
from tcpservice_operator.discovery.publisher import Publisher
from tcpservice_operator.discovery.streams import Discovery
from tcpservice_operator.discovery.tokens import Tokens
from tcpservice_operator.http.servers import Servers
from tcpservice_operator.identity.ca_distribution import CaDistribution
from tcpservice_operator.inject.resource_fit import NamespaceRules
from tcpservice_operator.inject.webhook import Webhook
from tcpservice_operator.kube.kube_client import ApiError, KubeClient
from tcpservice_operator.kube.lease import Leadership
from tcpservice_operator.operator_settings import PROGRAM, Role, Settings, read_settings
from tcpservice_operator.reconcile.reconciler import Reconciler

_RETRY_S: Final = 2.0
_SERVING: Final = frozenset({Role.WEBHOOK, Role.DISCOVERY})
_LOGGER: Final = logging.getLogger("tcpservice.operator")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the operator until SIGINT or SIGTERM; return the exit status."""
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    _LOGGER.setLevel(logging.INFO)
    # kopf would log each retry of each watch; other parts of the operator log the cause already.
    logging.getLogger("kopf._cogs.clients.watching").setLevel(logging.CRITICAL)
    try:
        settings = read_settings(sys.argv[1:] if arguments is None else arguments)
        asyncio.run(run(settings))
    except (SettingsError, ApiError) as error:
        logging.disable()  # watches that were cancelled in the middle of an answer may log that, which explains nothing
        sys.stderr.write(usage_line(PROGRAM, error) if isinstance(error, SettingsError) else f"{PROGRAM}: {error}\n")
        return USAGE_ERROR
    return 0


async def run(settings: Settings) -> None:
    """Run until SIGINT or SIGTERM. Raises ApiError if no cluster is configured, SettingsError if a port is in use."""
    stop = asyncio.Event()
    _end_by_signal(stop)
    metrics = OperatorMetrics()
    cluster = await KubeClient.connect(metrics)
    try:
        await _Operator(settings, cluster, metrics).run(stop)
    finally:
        await cluster.close()


class _Operator:
    """The parts of one replica of the operator, wired together."""

    def __init__(self, settings: Settings, cluster: KubeClient, metrics: OperatorMetrics) -> None:
        home, names = settings.namespace, settings.serving_names
        self._settings = settings
        self._cluster = cluster
        self._metrics = metrics
        self._state = state = ClusterState()
        lease = LEASE_NAME if Role.RECONCILE in settings.roles else CA_LEASE_NAME
        self._leadership = leadership = Leadership(cluster, (home, lease), settings.identity, time.monotonic)
        self._reconciler = Reconciler(state, cluster, lambda: leadership.leading, _now, metrics=metrics)
        self._ca_distribution = CaDistribution(
            state, cluster, home, names, self._keeps_ca, lambda: datetime.now(UTC), settings.certificate,
            settings.watched, reviews=Role.WEBHOOK in settings.roles,
        )  # fmt: skip
        self._publisher = Publisher(state)
        tokens = Tokens(cluster, settings.audience, time.monotonic)
        self._discovery = Discovery(state, self._publisher, tokens, settings.stream_limits)
        self._lister = Lister(state, cluster, self._touch)
        self._servers = Servers()
        self._webhook = Webhook(
            state, settings.sidecar, self._read_now, self._ca_distribution.ensure_bundle, self._read_rules,
            metrics=metrics,
        )  # fmt: skip
        metrics.leading.set_function(lambda: leadership.leading)
        metrics.services.set_function(lambda: len(state.tcp_services))
        metrics.conditions = lambda: (
            (condition["type"], condition["status"])
            for each in state.tcp_services.values()
            for condition in each.status.get("conditions") or ()
        )
        metrics.streams.set_function(lambda: self._publisher.streams)
        self._new_namespaces = 0
        self._refused = asyncio.Event()
        self._listed = False
        self._listening = False

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop`."""
        await self._listen("--health", self._servers.plain(*self._settings.health, self._why_not_ready, self._metrics))
        try:
            if await self._list_all(stop):
                await self._work(stop)
        except* SettingsError as group:
            raise group.exceptions[0] from None
        finally:
            self._discovery.end()
            await self._servers.stop()
            await self._leadership.release()

    def _keeps_ca(self) -> bool:
        """Whether this replica writes the CA and its bundle now."""
        return Role.CA in self._settings.roles and self._leadership.leading

    def _watcher(self, collection: Collection) -> Watcher:
        hear = partial(self._metrics.hear, collection.kind.plural, collection.namespace)
        hear()
        return Watcher(collection, self._state, self._cluster, self._lister, self._touch, hear)

    async def _work(self, stop: asyncio.Event) -> None:
        watched = self._settings.watched
        registry = kopf_watch.registry_of(self._state, self._touch, self._lister, self._cluster, watched)
        watching = asyncio.Event()
        work: list[Coroutine[Any, Any, None]] = [
            self._lister.run(),
            *(self._watcher(each).run() for each in collections(watched) if not each.kind.by_kopf),
            kopf_watch.watch(registry, watching, watched),
        ]
        if self._settings.roles & {Role.RECONCILE, Role.CA}:
            work += [self._leadership.run(), self._begin_to_lead()]
        if Role.RECONCILE in self._settings.roles:
            work += [self._reconciler.run(), self._look_up_workloads()]
        if Role.DISCOVERY in self._settings.roles:
            work.append(self._discovery.run())
        if self._settings.roles & {Role.CA, *_SERVING}:
            work.append(self._ca_distribution.run())
        if self._settings.roles & _SERVING:
            work.append(self._serve_sidecars())
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(each) for each in work]
            await watching.wait()
            _end_by_signal(stop)  # kopf has replaced the signal handlers; they would end only kopf, after five seconds
            await stop.wait()
            for task in running:
                task.cancel()

    def _touch(self, keys: set[Key]) -> None:
        if Role.RECONCILE in self._settings.roles:
            self._reconciler.touch(keys)
        if Role.DISCOVERY in self._settings.roles:
            self._discovery.touch(keys)
        else:
            self._state.take_changed_views()
        if self._state.unknown_workloads():
            self._refused.set()
        if self._new_namespaces != self._state.new_namespaces:
            self._new_namespaces = self._state.new_namespaces
            self._ca_distribution.namespace_created()

    async def _list_all(self, stop: asyncio.Event) -> bool:
        """List everything before the first reconcile; return False if the operator was stopped before."""
        state = self._state
        while not stop.is_set():
            try:
                warn_of_version(await self._cluster.version())
                for collection in collections(self._settings.watched):
                    await self._lister.list(collection)
            except ApiError as error:
                _LOGGER.warning("could not list the objects of the cluster, next attempt in %g s: %s", _RETRY_S, error)
                await asyncio.sleep(_RETRY_S)
            else:
                _LOGGER.info("found TcpServices: %d, Services: %d", len(state.tcp_services), len(state.services))
                self._listed = True
                return True
        return False

    async def _serve_sidecars(self) -> None:
        """Publish the known TcpServices, then serve sidecars, once there is a certificate."""
        self._publisher.touch(self._state.tcp_services)
        self._publisher.publish()
        await self._ca_distribution.ready.wait()
        host, port = self._settings.listen
        starting = self._servers.secure(
            host,
            port,
            self._ca_distribution.context,
            self._discovery if Role.DISCOVERY in self._settings.roles else None,
            self._webhook if Role.WEBHOOK in self._settings.roles else None,
        )
        await self._listen("--listen", starting)
        self._listening = True

    async def _read_now(self, namespace: str) -> ClusterState:
        """Return the state with a namespace as the API server has it now; Services matter only to TcpServices."""
        if self._settings.watched and namespace not in self._settings.watched:
            return self._state
        tcp_services = await self._cluster.list_in(namespace, PLURAL)
        services = await self._cluster.list_in(namespace, "services") if tcp_services else ()
        return self._state.as_of(namespace, tcp_services, services)

    async def _read_rules(self, namespace: str) -> NamespaceRules:
        """Return the LimitRanges and ResourceQuotas of a namespace, as the API server has them now."""
        ranges, quotas = await asyncio.gather(
            self._cluster.list_in(namespace, "limitranges"), self._cluster.list_in(namespace, "resourcequotas")
        )
        return NamespaceRules(tuple(ranges), tuple(quotas))

    async def _listen(self, flag: str, starting: Awaitable[str]) -> None:
        name = "sidecars" if flag == "--listen" else "health"
        try:
            address = await starting
        except OSError as error:
            given = self._settings.listen if flag == "--listen" else self._settings.health
            raise SettingsError(f"{flag}: cannot listen on {Address(*given)}: {bind_error(error)}") from error
        sys.stdout.write(f"listening {name}={address}\n")
        sys.stdout.flush()

    async def _begin_to_lead(self) -> None:
        """Request a reconcile of everything whenever this replica begins to lead."""
        while True:
            await self._leadership.began.wait()
            self._leadership.began.clear()
            self._reconciler.touch(self._state.tcp_services.keys() | self._state.all_unreleased())
            self._ca_distribution.request_sync()

    async def _look_up_workloads(self) -> None:
        """Look up the workloads that cannot create pods, without end."""
        while True:
            await self._refused.wait()
            self._refused.clear()
            for namespace, name in sorted(self._state.unknown_workloads()):
                try:
                    found = await self._cluster.workload(namespace, name)
                except ApiError as error:
                    _LOGGER.warning(
                        "could not read %s in namespace %s, which cannot create pods: %s", name, namespace, error
                    )
                    found = None
                self._touch(self._state.apply_workload(namespace, name, found))

    def _why_not_ready(self) -> str:
        if not self._listed:
            return "the operator has not listed the objects of the cluster yet"
        if self._settings.roles & _SERVING and not self._listening:
            return "the operator has no serving certificate yet"
        if Role.WEBHOOK in self._settings.roles and not self._ca_distribution.is_trusted:
            return "the MutatingWebhookConfiguration has no CA bundle of the operator yet"
        return ""


def warn_of_version(version: tuple[int, int]) -> None:
    """Log a warning if Kubernetes is too old."""
    reason = why_too_old(version)
    if reason:
        _LOGGER.warning("%s", reason)


def _end_by_signal(stop: asyncio.Event) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


if __name__ == "__main__":
    sys.exit(main())
