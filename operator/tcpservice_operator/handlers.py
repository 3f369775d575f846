"""What kopf watches, and where its events go.

The only module that imports kopf. Only event handlers are used: others would write annotations or finalizers on users'
objects, which would hang once the operator is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from itertools import repeat
from typing import Any, Final

import kopf

from tcpservice_operator.cluster import Cluster
from tcpservice_operator.kinds import KINDS, Kind
from tcpservice_operator.objects import Body
from tcpservice_operator.reading import Reader, Touch
from tcpservice_operator.state import State

_GONE: Final = "DELETED"
_LISTED: Final = None
"""The type of an event of an object that was there already when the watch began, for the first time or anew."""

_CONNECT_S: Final = 5.0
_WATCH_S: Final = 300


class _Pauses:
    """The seconds before each repetition of a request that failed, without end: an API server may be gone for long."""

    def __iter__(self) -> Iterator[float]:
        yield from (0.5, 1.0, 2.0, 3.0)
        yield from repeat(_CONNECT_S)


def registry_of(state: State, touch: Touch, reader: Reader, cluster: Cluster) -> kopf.OperatorRegistry:
    """Return the handlers of one operator."""
    registry = kopf.OperatorRegistry()

    def watch(kind: Kind) -> None:
        see = partial(kind.see, state)

        async def take(event: Any, **_: Any) -> None:
            body: Body = event["object"]
            touch(see(body, gone=event["type"] == _GONE))
            if event["type"] is _LISTED:
                reader.let_read(kind)

        kopf.on.event(kind.group, kind.version, kind.plural, registry=registry)(take)

    for kind in KINDS:
        if not kind.many:
            watch(kind)

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return await _connection(cluster)

    return registry


async def watch(registry: kopf.OperatorRegistry, begun: asyncio.Event) -> None:
    """Watch until it is cancelled; `begun` is set when kopf has started."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.networking.connect_timeout = _CONNECT_S
    settings.networking.error_backoffs = _Pauses()
    # A watch that died without a word is begun anew after this time.
    settings.watching.server_timeout = _WATCH_S
    settings.watching.client_timeout = _WATCH_S + _CONNECT_S
    # kopf would make a name of the user's, and a pod's user has none.
    identity: Any = "standalone"
    await kopf.operator(
        registry=registry, settings=settings, standalone=True, clusterwide=True, ready_flag=begun, identity=identity
    )


async def _connection(cluster: Cluster) -> kopf.ConnectionInfo:
    """Connect as the rest of the operator does."""
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
