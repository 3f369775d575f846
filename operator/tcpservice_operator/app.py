"""The operator's process: `tcpservice-operator`.

Reads the whole cluster once, then watches it. Every copy tells sidecars what they need; the one that leads keeps
Services, status and certificates in line.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime
from typing import Final

from tcpservice_flags import USAGE_ERROR, Address, SettingsError, bind_error, usage_line
from tcpservice_operator import handlers
from tcpservice_operator.cluster import PLURAL, ApiError, Cluster
from tcpservice_operator.discovery import Discovery
from tcpservice_operator.following import Follower
from tcpservice_operator.kinds import KINDS, Kind
from tcpservice_operator.leading import Leadership
from tcpservice_operator.objects import LEASE, Key
from tcpservice_operator.publishing import Publisher
from tcpservice_operator.reading import Reader
from tcpservice_operator.reconciling import Reconciler
from tcpservice_operator.serving import Serving
from tcpservice_operator.settings import PROGRAM, Settings, read_settings
from tcpservice_operator.state import State
from tcpservice_operator.tokens import Tokens
from tcpservice_operator.trust import Trust
from tcpservice_operator.versions import why_too_old
from tcpservice_operator.webhook import Webhook

_AGAIN_S: Final = 2.0
_LOGGER: Final = logging.getLogger("tcpservice.operator")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the operator until it is told to end; return the exit status."""
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    _LOGGER.setLevel(logging.INFO)
    # Each repetition of each watch would be a line, and what is wrong is said by others already.
    logging.getLogger("kopf._cogs.clients.watching").setLevel(logging.CRITICAL)
    try:
        settings = read_settings(sys.argv[1:] if arguments is None else arguments)
        asyncio.run(run(settings))
    except SettingsError as error:
        sys.stderr.write(usage_line(PROGRAM, error))
        return USAGE_ERROR
    except ApiError as error:
        sys.stderr.write(f"{PROGRAM}: {error}\n")
        return USAGE_ERROR
    return 0


async def run(settings: Settings) -> None:
    """Run until SIGINT or SIGTERM. Raises ApiError where no cluster is configured, SettingsError for a taken port."""
    stop = asyncio.Event()
    _end_by_signal(stop)
    cluster = await Cluster.connect()
    try:
        await _Operator(settings, cluster).run(stop)
    finally:
        await cluster.close()


class _Operator:
    """The parts of one copy, put together."""

    def __init__(self, settings: Settings, cluster: Cluster) -> None:
        home, names = settings.namespace, settings.serving_names
        self._settings = settings
        self._cluster = cluster
        self._state = state = State()
        self._leadership = leadership = Leadership(cluster, (home, LEASE), settings.identity, time.monotonic)
        self._reconciler = Reconciler(state, cluster, lambda: leadership.leading, _now)
        self._trust = Trust(
            state, cluster, home, names, lambda: leadership.leading, lambda: datetime.now(UTC), settings.certificate
        )
        self._publisher = Publisher(state)
        tokens = Tokens(cluster, settings.audience, time.monotonic)
        self._discovery = Discovery(state, self._publisher, tokens, settings.times)
        self._reader = Reader(state, cluster, self._touch)
        self._serving = Serving()
        self._webhook = Webhook(state, settings.sidecar, self._look, self._trust.tell)
        self._read = False
        self._listening = False

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop`."""
        await self._listen("--health", self._serving.plain(*self._settings.health, self._why_not_ready, self._figures))
        try:
            if await self._read_all(stop):
                await self._work(stop)
        except* SettingsError as group:
            raise group.exceptions[0] from None
        finally:
            self._discovery.end()
            await self._serving.stop()
            await self._leadership.release()

    def _follower(self, kind: Kind) -> Follower:
        return Follower(kind, self._state, self._cluster, self._reader, self._touch)

    async def _work(self, stop: asyncio.Event) -> None:
        registry = handlers.registry_of(self._state, self._touch, self._reader, self._cluster)
        watching = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(self._leadership.run()),
                tasks.create_task(self._reader.run()),
                *(tasks.create_task(self._follower(kind).run()) for kind in KINDS if kind.many),
                tasks.create_task(self._reconciler.run()),
                tasks.create_task(self._discovery.run()),
                tasks.create_task(self._trust.run()),
                tasks.create_task(self._begin_to_lead()),
                tasks.create_task(self._serve_sidecars()),
                tasks.create_task(handlers.watch(registry, watching)),
            ]
            await watching.wait()
            _end_by_signal(stop)  # kopf has taken the signals, and would end itself alone, after five seconds
            await stop.wait()
            for task in running:
                task.cancel()

    def _touch(self, keys: set[Key]) -> None:
        self._reconciler.touch(keys)
        self._discovery.touch(keys)
        if not keys:
            self._trust.touch()

    async def _read_all(self, stop: asyncio.Event) -> bool:
        """Read the whole cluster before anything is planned; return whether that was possible before the end."""
        state = self._state
        while not stop.is_set():
            try:
                warn_of_version(await self._cluster.version())
                for kind in KINDS:
                    await self._reader.read(kind)
            except ApiError as error:
                _LOGGER.warning("the cluster cannot be read, and is again in %g s: %s", _AGAIN_S, error)
                await asyncio.sleep(_AGAIN_S)
            else:
                _LOGGER.info("%d TcpServices, %d Services", len(state.wanted), len(state.services))
                self._read = True
                return True
        return False

    async def _serve_sidecars(self) -> None:
        """Tell what there is, then let sidecars come, as soon as there is a certificate."""
        self._publisher.touch(self._state.wanted)
        self._publisher.publish()
        await self._trust.ready.wait()
        host, port = self._settings.listen
        starting = self._serving.secure(host, port, self._trust.context, self._discovery, self._webhook)
        await self._listen("--listen", starting)
        self._listening = True

    async def _look(self, namespace: str) -> State:
        """Return the state with a namespace as it is now; Services matter where there is a TcpService."""
        wanted = await self._cluster.list_in(namespace, PLURAL)
        services = await self._cluster.list_in(namespace, "services") if wanted else ()
        return self._state.as_of(namespace, wanted, services)

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
        """Look at everything whenever this copy begins to lead."""
        while True:
            await self._leadership.began.wait()
            self._leadership.began.clear()
            self._reconciler.touch(self._state.wanted.keys() | self._state.all_outlived())
            self._trust.touch()

    def _why_not_ready(self) -> str:
        if not self._read:
            return "the cluster was not read yet"
        return "" if self._listening else "there is no certificate yet"

    def _figures(self) -> dict[str, float]:
        return {
            "tcpservice_operator_leading": self._leadership.leading,
            "tcpservice_operator_services": len(self._state.wanted),
            "tcpservice_operator_streams": self._publisher.streams,
            "tcpservice_operator_looks_total": self._reconciler.looks,
            "tcpservice_operator_writes_total": self._cluster.writes,
            "tcpservice_operator_reviews_refused_total": self._webhook.refused,
        }


def warn_of_version(version: tuple[int, int]) -> None:
    """Say in the log where Kubernetes is too old."""
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
