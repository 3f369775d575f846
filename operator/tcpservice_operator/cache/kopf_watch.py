"""Watches TcpServices, by kopf.

Used by `main`. kopf lists again by itself, and does not say what was deleted meanwhile, so each of its lists requests
another one (`listing`); `ClusterState` ignores what is older than the last event. This is the only module that imports
kopf. It uses event handlers only: other handlers of kopf write annotations or finalizers on users' objects, and objects
with a finalizer could not be deleted after the operator was removed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import repeat
from typing import Any, Final

import kopf

from tcpservice_operator.api.plain_objects import Body
from tcpservice_operator.cache.cluster_state import ClusterState
from tcpservice_operator.cache.kinds import KINDS, Collection, Kind
from tcpservice_operator.cache.listing import Lister, Touch
from tcpservice_operator.kube.kube_client import KubeClient

_GONE: Final = "DELETED"
_LISTED: Final = None
"""The type of an event for an object that existed when the watch began, for the first time or again."""

_CONNECT_S: Final = 5.0
_WATCH_S: Final = 300


class _Pauses:
    """The seconds before each retry of a request, without end: an API server may be unavailable for long."""

    def __iter__(self) -> Iterator[float]:
        yield from (0.5, 1.0, 2.0, 3.0)
        yield from repeat(_CONNECT_S)


def registry_of(
    state: ClusterState, touch: Touch, lister: Lister, cluster: KubeClient, namespaces: Sequence[str]
) -> kopf.OperatorRegistry:
    """Return kopf's registry, with the handlers of all kinds that kopf watches in these namespaces; none: in all."""
    registry = kopf.OperatorRegistry()

    def watch(kind: Kind) -> None:
        apply_event = partial(kind.apply_event, state)

        async def take(event: Any, **_: Any) -> None:
            body: Body = event["object"]
            touch(apply_event(body, deleted=event["type"] == _GONE))
            if event["type"] is _LISTED:
                lister.list_soon(Collection(kind, body["metadata"]["namespace"] if namespaces else ""))

        kopf.on.event(kind.group, kind.version, kind.plural, registry=registry)(take)

    for kind in KINDS:
        if kind.by_kopf:
            watch(kind)

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return await _connection(cluster)

    return registry


async def watch(registry: kopf.OperatorRegistry, begun: asyncio.Event, namespaces: Sequence[str]) -> None:
    """Watch these namespaces, or all if none is named, until it is cancelled. `begun` is set when kopf has started."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.networking.connect_timeout = _CONNECT_S
    settings.networking.error_backoffs = _Pauses()
    # A watch whose connection died silently begins again after this time.
    settings.watching.server_timeout = _WATCH_S
    settings.watching.client_timeout = _WATCH_S + _CONNECT_S
    # kopf would derive a name from the user, and the user of a pod has no name.
    identity: Any = "standalone"
    await kopf.operator(
        registry=registry, settings=settings, standalone=True, clusterwide=not namespaces, namespaces=namespaces,
        ready_flag=begun, identity=identity,
    )  # fmt: skip


async def _connection(cluster: KubeClient) -> kopf.ConnectionInfo:
    """Return the connection settings of the operator's client, for kopf."""
    given = cluster.settings
    token = await given.get_api_key_with_prefix("BearerToken") or ""
    scheme, _, value = token.rpartition(" ")
    return kopf.ConnectionInfo(
        server=given.host,
        ca_path=given.ssl_ca_cert,
        insecure=not given.verify_ssl,
        scheme=scheme or None,
        token=value or None,
        certificate_path=given.cert_file,
        private_key_path=given.key_file,
        default_namespace="default",
    )
