"""Kubernetes' API as the operator uses it: lists, server-side apply, and leases, all as plain data.

The only module that imports the `kubernetes` package. Raises ApiError where the API server says no, or nothing.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, Final, NamedTuple, Self, TypeVar
from urllib.parse import quote

import aiohttp
import orjson
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException

from tcpservice.lines import Lines, TooLong
from tcpservice.spec.schema import GROUP
from tcpservice_operator.objects import OWNER, Body, Key
from tcpservice_operator.versions import read_version

T = TypeVar("T")

VERSION: Final = "v1alpha1"
PLURAL: Final = "tcpservices"
_APPLY: Final = "application/apply-patch+yaml"
_PAGE: Final = 250
_WATCH_S: Final = 300
_SILENCE_S: Final = 150.0
"""A watch is not silent for longer: the API server sends a bookmark each minute."""

_LONGEST_EVENT: Final = 8 << 20
_MOST_WORDS: Final = 200
_REFUSED: Final = 400
_MISSING: Final = 404
_SECONDS: Final = 10.0
_WORKLOADS: Final = {
    "DaemonSet": ("daemonsets", "status", "status", "desiredNumberScheduled"),
    "ReplicaSet": ("replicasets", "scale", "spec", "replicas"),
    "StatefulSet": ("statefulsets", "scale", "spec", "replicas"),
}
"""Of each kind of workload: the resource, its subresource, and the fields that lead to the number of pods it wants."""

_LEASES: Final = ("coordination.k8s.io", "v1")


class ApiError(Exception):
    """The API server said no (`status`), or could not be reached (0); the text says what it said."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Client(client.ApiClient):
    """Kubernetes' client, for which no name can change the path of a request.

    The client quotes each name, but a URL's reader resolves the segments `.` and `..` even where they are quoted.
    """

    async def param_serialize(
        self, method: Any, resource_path: Any, path_params: Any = None, *more: Any, **named: Any
    ) -> Any:
        """Prepare a request. Raises ApiError where a name is not one segment of a path."""
        for value in (path_params or {}).values():
            _segment(value)
        return await super().param_serialize(method, resource_path, path_params, *more, **named)


class Page(NamedTuple):
    """Some objects, and the version of the whole list that they are part of."""

    version: str
    items: list[Body]


class Cluster:
    """One API server, as the kubeconfig or the pod's own account says."""

    def __init__(self, settings: client.Configuration) -> None:
        self._api = api = _Client(settings)
        self._core = client.CoreV1Api(api)
        self._slices = client.DiscoveryV1Api(api)
        self._network = client.NetworkingV1Api(api)
        self._admission = client.AdmissionregistrationV1Api(api)
        self._authentication = client.AuthenticationV1Api(api)
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
        return cls(settings)

    @property
    def settings(self) -> client.Configuration:
        """How it connects."""
        settings: client.Configuration = self._api.configuration
        return settings

    async def close(self) -> None:
        """Close its connections."""
        await self._api.close()  # type: ignore[no-untyped-call]

    # Any question

    async def ask(self, *path: str, query: Mapping[str, str] | None = None, post: Body | None = None) -> Body:
        """Return the object at a path, or the answer to `post`.

        `path` has one argument for each segment; each is quoted, so that a name cannot add a segment or a query.
        """
        return await _body_of(await self._call(path, query or {}, post))

    async def time(self) -> datetime:
        """Return the API server's time."""
        answer = await self._call(("version",), {}, None)
        await _body_of(answer)
        return parsedate_to_datetime(answer.headers["Date"])

    async def version(self) -> tuple[int, int]:
        """Return the API server's version, major and minor."""
        return read_version(await self.ask("version"))

    async def ask_text(self, *path: str) -> str:
        """Return the text at a path, given as for `ask`."""
        answer = await self._call(path, {}, None)
        text: bytes = await _asked(answer.read())
        if answer.status >= _REFUSED:
            _read(text, answer.status)
        return text.decode("utf-8", "replace")

    async def _call(self, path: Sequence[str], query: Mapping[str, str], post: Body | None) -> Any:
        method, url, headers, body, form = await self._api.param_serialize(
            "GET" if post is None else "POST", "".join(f"/{_segment(each)}" for each in path), {},
            query_params=list(query.items()), body=post, post_params=[], files={},
            header_params={"Accept": "*/*", "Content-Type": "application/json"}, auth_settings=["BearerToken"],
        )  # fmt: skip
        call: Any = self._api.call_api
        answer: Any = await _asked(call(method, url, headers, body, form, _preload_content=False))
        return answer.response

    # Reading

    async def pages(self, plural: str) -> AsyncIterator[Page]:
        """Give all objects of a kind, page by page."""
        async for page in self._pages(self._listing(plural)):
            yield page

    async def changes(self, plural: str, version: str) -> AsyncIterator[Body]:
        """Give the events after a version until the API server ends this. Raises ApiError; 410: it is too old."""
        ask = self._listing(plural)
        wanted = {"resource_version": version, "allow_watch_bookmarks": True, "timeout_seconds": _WATCH_S}
        answer = await _asked(ask(watch=True, _request_timeout=_WATCH_S + _SECONDS, **wanted))
        lines = Lines(_LONGEST_EVENT)
        try:
            if answer.status >= _REFUSED:
                await _body_of(answer)
            while data := await _next_of(answer.content):
                for line in lines.feed(data):
                    yield _event(line)
        except (aiohttp.ClientError, OSError, TimeoutError, TooLong) as error:
            raise ApiError(0, f"the watch of {plural} broke off: {str(error) or 'silence'}") from error
        finally:
            answer.close()

    def _listing(self, plural: str) -> Any:
        """Return what lists a kind in all namespaces."""
        listings: dict[str, Any] = {
            "namespaces": self._core.list_namespace_without_preload_content,
            "services": self._core.list_service_for_all_namespaces_without_preload_content,
            "pods": self._core.list_pod_for_all_namespaces_without_preload_content,
            "configmaps": self._core.list_config_map_for_all_namespaces_without_preload_content,
            "endpointslices": self._slices.list_endpoint_slice_for_all_namespaces_without_preload_content,
            "networkpolicies": self._network.list_network_policy_for_all_namespaces_without_preload_content,
            PLURAL: partial(self._objects.list_cluster_custom_object_without_preload_content, GROUP, VERSION, PLURAL),
        }
        return listings[plural]

    async def list_config_maps(self, name: str) -> list[Body]:
        """Return the ConfigMaps of a name, of all namespaces."""
        ask = partial(self._listing("configmaps"), field_selector=f"metadata.name={name}")
        return [body async for page in self._pages(ask) for body in page.items]

    async def list_in(self, namespace: str, plural: str) -> list[Body]:
        """Return the objects of a kind in one namespace: TcpServices, or one of Kubernetes' core."""
        group = ("apis", GROUP, VERSION) if plural == PLURAL else ("api", "v1")
        found: list[Body] = (await self.ask(*group, "namespaces", namespace, plural))["items"]
        return found

    async def review_token(self, token: str, audience: str) -> Body:
        """Return the status of a TokenReview."""
        spec = {"token": token, "audiences": [audience]}
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        create = self._authentication.create_token_review_without_preload_content
        answer: Body = await _asked(_raw(create)(body=review))
        status: Body = answer["status"]
        return status

    async def _pages(self, ask: Any) -> AsyncIterator[Page]:
        following = None
        while following != "":
            answer = await _asked(_raw(ask)(limit=_PAGE, **({"_continue": following} if following else {})))
            metadata = answer["metadata"]
            following = metadata.get("continue") or ""
            yield Page(metadata["resourceVersion"], answer["items"])

    # Writing

    async def apply_service(self, document: Body) -> None:
        """Make a Service what it should be, as far as the operator owns it."""
        await self._apply(self._core.patch_namespaced_service, document)

    async def release_service(self, change: Body) -> None:
        """Change the owner of a Service; where another one has its name now, ApiError has the status 409."""
        metadata, patch = change["metadata"], self._core.patch_namespaced_service
        await self._write(
            patch(metadata["name"], metadata["namespace"], dict(change), _content_type="application/merge-patch+json")
        )

    async def apply_config_map(self, document: Body) -> None:
        """Make a ConfigMap what it should be."""
        await self._apply(self._core.patch_namespaced_config_map, document)

    async def apply_status(self, key: Key, status: Body) -> None:
        """Show the status of a TcpService."""
        namespace, name = key
        metadata = {"name": name, "namespace": namespace}
        body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "TcpService", "metadata": metadata, "status": dict(status)}
        await self._write(
            self._objects.patch_namespaced_custom_object_status(
                GROUP, VERSION, namespace, PLURAL, name, body, field_manager=OWNER, force=True, _content_type=_APPLY
            )
        )

    async def post_event(self, document: Body) -> None:
        """Tell people of something that happened."""
        await self._write(self._core.create_namespaced_event(document["metadata"]["namespace"], _plain(document)))

    async def desired_pods(self, namespace: str, workload: str) -> int | None:
        """Return how many pods a workload (`Kind/name`) wants, None where it is not there."""
        kind, _, name = workload.partition("/")
        plural, part, *fields = _WORKLOADS[kind]
        try:
            found: Any = await self.ask("apis", "apps", "v1", "namespaces", namespace, plural, name, part)
        except ApiError as error:
            _raise_unless_missing(error)
            return None
        for field in fields:
            found = (found or {}).get(field)
        count: int = found or 0
        return count

    async def evict(self, pod: Key) -> None:
        """End a pod within its disruption budget; where that does not allow it, ApiError has the status 429."""
        namespace, name = pod
        metadata = {"namespace": namespace, "name": name}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        self.writes += 1
        await self.ask("api", "v1", "namespaces", namespace, "pods", name, "eviction", post=eviction)

    async def _apply(self, patch: Any, document: Body) -> None:
        metadata = document["metadata"]
        await self._write(
            patch(
                metadata["name"], metadata["namespace"], dict(document), field_manager=OWNER, force=True,
                _content_type=_APPLY,
            )
        )  # fmt: skip

    async def _write(self, answer: Awaitable[object]) -> None:
        self.writes += 1
        await _asked(answer)

    # The operator's own: the authority's Secret, and Leases

    async def read_secret(self, key: Key) -> Body | None:
        """Return a Secret, None where there is none."""
        namespace, name = key
        ask = _raw(self._core.read_namespaced_secret_without_preload_content)
        try:
            secret: Body = await _asked(ask(name=name, namespace=namespace))
        except ApiError as error:
            _raise_unless_missing(error)
            return None
        return secret

    async def read_webhook(self, name: str) -> Body | None:
        """Return a MutatingWebhookConfiguration, None where there is none."""
        ask = _raw(self._admission.read_mutating_webhook_configuration_without_preload_content)
        try:
            found: Body = await _asked(ask(name=name))
        except ApiError as error:
            _raise_unless_missing(error)
            return None
        return found

    async def patch_webhook(self, name: str, operations: list[dict[str, Any]]) -> None:
        """Change a MutatingWebhookConfiguration by a JSON patch."""
        change = self._admission.patch_mutating_webhook_configuration
        await self._write(change(name, operations, _content_type="application/json-patch+json"))

    async def write_secret(self, document: Body) -> None:
        """Create or replace a Secret; where somebody else was quicker, ApiError has the status 409."""
        metadata = document["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        if "resourceVersion" in metadata:
            await self._write(self._core.replace_namespaced_secret(name, namespace, _plain(document)))
        else:
            await self._write(self._core.create_namespaced_secret(namespace, _plain(document)))

    async def read_lease(self, key: Key) -> Body | None:
        """Return a Lease, None where there is none."""
        try:
            found: Any = await _asked(self._objects.get_namespaced_custom_object(*_LEASES, key[0], "leases", key[1]))
        except ApiError as error:
            _raise_unless_missing(error)
            return None
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


def _segment(name: Any) -> str:
    """Quote a name as one segment of a path. Raises ApiError where it can be none."""
    if name in ("", ".", ".."):
        raise ApiError(_REFUSED, f'"{name}" is not the name of an object')
    return quote(str(name), safe=":")


def _raw(ask: Any) -> Any:
    """Ask for plain data: of many objects, typed ones would take twice the memory and stall the loop."""

    async def page(**wanted: Any) -> Any:
        return await _body_of(await ask(**wanted))

    return page


async def _body_of(answer: Any) -> Body:
    """Read an answer. Raises ApiError where it says no, or where somebody else than an API server gave it."""
    return _read(await _asked(answer.read()), answer.status)


def _read(text: bytes, status: int) -> Body:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        words = " ".join(text.decode("utf-8", "replace").split())
        raise ApiError(status if status >= _REFUSED else 0, f"{status}, and no JSON: {words[:_MOST_WORDS]}")
    _refuse(found, status)
    return found


def _event(line: bytes) -> Body:
    """Read a line of a watch. Raises ApiError where it says that the watch is over."""
    event = _read(line, 0)
    if event["type"] == "ERROR":
        _refuse(event["object"], event["object"].get("code") or _REFUSED)
    return event


def _refuse(body: Body, status: int) -> None:
    if status >= _REFUSED:
        raise ApiError(status, f"{body.get('reason', '')}: {(body.get('message') or '')[:500]}")


def _plain(document: Body) -> Any:
    """Return a document as the client takes it, whose types want objects of its own."""
    return dict(document)


def _raise_unless_missing(error: ApiError) -> None:
    if error.status != _MISSING:
        raise error


async def _next_of(content: aiohttp.StreamReader) -> bytes:
    """Read what has come; nothing at the end. Raises TimeoutError after a long silence.

    asyncio.wait_for would lose a cancellation that comes at the same time as data, up to Python 3.11.
    """
    async with asyncio.timeout(_SILENCE_S):
        return await content.readany()


async def _asked(answer: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(_SECONDS):
            return await answer
    except ApiException as error:
        raise ApiError(error.status or 0, f"{error.reason}: {(error.body or '')[:500]}") from error
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise ApiError(0, f"the API server cannot be reached: {str(error) or 'no answer in time'}") from error
