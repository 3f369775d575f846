"""What kopf watches, and where its events go.

The only module that imports kopf. Only event handlers are used: others would write annotations or finalizers on users'
objects, which would hang once the operator is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any, Final

import kopf

from tcpservice.spec.schema import GROUP
from tcpservice_operator.cluster import PLURAL, VERSION, Cluster
from tcpservice_operator.objects import Body, Key
from tcpservice_operator.state import State

Touch = Callable[[set[Key]], None]
"""Let TcpServices be looked at again; called for every event, as who is told of what may have changed, too."""

See = Callable[..., set[Key]]

_GONE: Final = "DELETED"
_CONNECT_S: Final = 5.0
_WATCH_S: Final = 300


class _Pauses:
    """The seconds before each repetition of a request that failed, without end: an API server may be gone for long."""

    def __iter__(self) -> Iterator[float]:
        yield from (0.5, 1.0, 2.0, 3.0)
        yield from repeat(_CONNECT_S)


def registry_of(state: State, touch: Touch, cluster: Cluster) -> kopf.OperatorRegistry:
    """Return the handlers of one operator."""
    registry = kopf.OperatorRegistry()

    def watch(see: See, *resource: str) -> None:
        async def take(event: Any, **_: Any) -> None:
            body: Body = event["object"]
            touch(see(body, gone=event["type"] == _GONE))

        kopf.on.event(*resource, registry=registry)(take)

    watch(state.see_wanted, GROUP, VERSION, PLURAL)
    watch(state.see_service, "v1", "services")
    watch(state.see_pod, "v1", "pods")
    watch(state.see_slice, "discovery.k8s.io", "v1", "endpointslices")
    watch(state.see_namespace, "v1", "namespaces")
    watch(state.see_policy, "networking.k8s.io", "v1", "networkpolicies")

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
    await kopf.operator(registry=registry, settings=settings, standalone=True, clusterwide=True, ready_flag=begun)


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
