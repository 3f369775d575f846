"""The operator's process: `tcpservice-operator`.

Reads the whole cluster once, then watches it; the copy that leads keeps TcpServices in line.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import tcpservice
from tcpservice_operator import handlers
from tcpservice_operator.cluster import ApiError, Cluster
from tcpservice_operator.leading import Leadership
from tcpservice_operator.reconciling import Reconciler
from tcpservice_operator.state import State

WRONG: Final = 2
_AGAIN_S: Final = 2.0
_LOGGER: Final = logging.getLogger("tcpservice.operator")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the operator until it is told to end; return the exit status."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    _LOGGER.setLevel(logging.INFO)
    try:
        asyncio.run(run(given))
    except ApiError as error:
        sys.stderr.write(f"tcpservice-operator: {error}\n")
        return WRONG
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tcpservice-operator", description="Keeps TcpServices in line in a cluster.")
    parser.add_argument("--version", action="version", version=f"tcpservice-operator {tcpservice.__version__}")
    env = os.environ.get
    parser.add_argument(
        "--namespace", default=env("TCPSERVICE_NAMESPACE", "tcpservice-system"),
        help="where the Lease is kept, by which one of several copies leads (default tcpservice-system)",
    )  # fmt: skip
    parser.add_argument(
        "--identity", default=env("TCPSERVICE_IDENTITY", f"{socket.gethostname()}-{os.getpid()}"),
        help="what this copy calls itself in the Lease (default: host and process id)",
    )  # fmt: skip
    return parser


async def run(given: argparse.Namespace) -> None:
    """Run until SIGINT or SIGTERM. Raises ApiError where no cluster is configured."""
    stop = asyncio.Event()
    _end_by_signal(stop)
    cluster = await Cluster.connect()
    try:
        await _run(given, cluster, stop)
    finally:
        await cluster.close()


async def _run(given: argparse.Namespace, cluster: Cluster, stop: asyncio.Event) -> None:
    state = State()
    leadership = Leadership(cluster, (given.namespace, "tcpservice-operator"), given.identity, time.monotonic)
    reconciler = Reconciler(state, cluster, lambda: leadership.leading, _now)
    if not await _read_all(state, cluster, stop):
        return
    registry, watching = handlers.registry_of(state, reconciler.touch, cluster), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(leadership.run()),
            tasks.create_task(reconciler.run()),
            tasks.create_task(_begin(leadership, state, reconciler)),
            tasks.create_task(handlers.watch(registry, watching)),
        ]
        await watching.wait()
        _end_by_signal(stop)  # kopf has taken the signals, and would end itself alone, after five seconds
        await stop.wait()
        for task in running:
            task.cancel()
    await leadership.release()


def _end_by_signal(stop: asyncio.Event) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


async def _read_all(state: State, cluster: Cluster, stop: asyncio.Event) -> bool:
    """Read the whole cluster before anything is planned from it; return whether that was possible before the end."""
    while not stop.is_set():
        try:
            async for body in cluster.list_services():
                state.see_service(body)
            async for body in cluster.list_pods():
                state.see_pod(body)
            async for body in cluster.list_tcp_services():
                state.see_wanted(body)
        except ApiError as error:
            _LOGGER.warning("the cluster cannot be read, and is again in %g s: %s", _AGAIN_S, error)
            await asyncio.sleep(_AGAIN_S)
        else:
            _LOGGER.info("%d TcpServices, %d Services", len(state.wanted), len(state.services))
            return True
    return False


async def _begin(leadership: Leadership, state: State, reconciler: Reconciler) -> None:
    """Look at everything whenever this copy begins to lead."""
    while True:
        await leadership.began.wait()
        leadership.began.clear()
        reconciler.touch(state.wanted)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


if __name__ == "__main__":
    sys.exit(main())
