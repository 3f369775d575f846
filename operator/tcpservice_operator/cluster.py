"""Kubernetes' API as the operator uses it: lists, server-side apply, and leases, all as plain data.

The only module that imports the `kubernetes` package. Raises ApiError where the API server says no, or nothing.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Final, Self, TypeVar

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException

from tcpservice.spec.schema import GROUP
from tcpservice_operator.objects import OWNER, Body, Key

T = TypeVar("T")

VERSION: Final = "v1alpha1"
PLURAL: Final = "tcpservices"
_APPLY: Final = "application/apply-patch+yaml"
_PAGE: Final = 500
_SECONDS: Final = 10.0
_LEASES: Final = ("coordination.k8s.io", "v1")


class ApiError(Exception):
    """The API server said no (`status`), or could not be reached (0); the text says what it said."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Cluster:
    """One API server, as the kubeconfig or the pod's own account says."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api
        self._core = client.CoreV1Api(api)
        self._objects = client.CustomObjectsApi(api)
        self.writes = 0

    @classmethod
    async def connect(cls) -> Self:
        """Read how to connect: KUBECONFIG or ~/.kube/config, in a pod its service account. Raises ApiError."""
        settings = client.Configuration()
        try:
            if "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ:
                config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
            else:
                await config.load_kube_config(client_configuration=settings)  # type: ignore[no-untyped-call]
        except config.ConfigException as error:
            raise ApiError(0, f"no cluster is configured: {error}") from error
        return cls(client.ApiClient(settings))

    @property
    def settings(self) -> client.Configuration:
        """How it connects."""
        settings: client.Configuration = self._api.configuration
        return settings

    async def close(self) -> None:
        """Close its connections."""
        await self._api.close()  # type: ignore[no-untyped-call]

    # Reading

    async def list_tcp_services(self) -> AsyncIterator[Body]:
        """Give all TcpServices."""
        async for body in self._pages(
            lambda **page: self._objects.list_cluster_custom_object(GROUP, VERSION, PLURAL, **page)
        ):
            yield {"apiVersion": f"{GROUP}/{VERSION}", "kind": "TcpService", **body}

    async def list_services(self) -> AsyncIterator[Body]:
        """Give all Services."""
        async for body in self._pages(_raw(self._core.list_service_for_all_namespaces_without_preload_content)):
            yield body

    async def list_pods(self) -> AsyncIterator[Body]:
        """Give all pods."""
        async for body in self._pages(_raw(self._core.list_pod_for_all_namespaces_without_preload_content)):
            yield body

    async def _pages(self, ask: Any) -> AsyncIterator[Body]:
        following = None
        while following != "":
            page = await _asked(ask(limit=_PAGE, **({"_continue": following} if following else {})))
            for item in page["items"]:
                yield item
            following = page["metadata"].get("continue") or ""

    # Writing

    async def apply_service(self, document: Body) -> None:
        """Make a Service what it should be, as far as the operator owns it."""
        metadata = document["metadata"]
        self.writes += 1
        await _asked(
            self._core.patch_namespaced_service(
                metadata["name"], metadata["namespace"], dict(document), field_manager=OWNER, force=True,
                _content_type=_APPLY,
            )
        )  # fmt: skip

    async def apply_status(self, key: Key, status: Body) -> None:
        """Show the status of a TcpService."""
        namespace, name = key
        metadata = {"name": name, "namespace": namespace}
        body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "TcpService", "metadata": metadata, "status": dict(status)}
        self.writes += 1
        await _asked(
            self._objects.patch_namespaced_custom_object_status(
                GROUP, VERSION, namespace, PLURAL, name, body, field_manager=OWNER, force=True, _content_type=_APPLY
            )
        )

    # Leases

    async def read_lease(self, key: Key) -> Body | None:
        """Return a Lease, None where there is none."""
        try:
            found: Any = await _asked(self._objects.get_namespaced_custom_object(*_LEASES, key[0], "leases", key[1]))
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        lease: Body = found
        return lease

    async def write_lease(self, document: Body) -> None:
        """Create or replace a Lease; where somebody else was quicker, ApiError has the status 409."""
        metadata = document["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        if "resourceVersion" in metadata:
            answer = self._objects.replace_namespaced_custom_object(*_LEASES, namespace, "leases", name, dict(document))
        else:
            answer = self._objects.create_namespaced_custom_object(*_LEASES, namespace, "leases", dict(document))
        await _asked(answer)


def _raw(ask: Any) -> Any:
    async def page(**wanted: Any) -> Any:
        return await (await ask(**wanted)).json()

    return page


async def _asked(answer: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(_SECONDS):
            return await answer
    except ApiException as error:
        raise ApiError(error.status or 0, f"{error.reason}: {(error.body or '')[:500]}") from error
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise ApiError(0, f"the API server cannot be reached: {error!r}") from error
