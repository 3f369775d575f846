"""The client of the API server: lists, watches, server-side apply, Leases and other requests, all with plain objects.

Used by `cache`, `main` and `check`; other folders define a protocol of the few methods that they need. It is the only
module that imports the `kubernetes` package. All methods raise ApiError if the API server refuses a request or does not
respond in time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple, Self, TypeVar
from urllib.parse import quote
from urllib.request import getproxies_environment

import aiohttp
import orjson
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException

from tcpservice.lines import Lines, TooLong
from tcpservice.spec.schema import GROUP
from tcpservice_operator.api.kubernetes_versions import read_version
from tcpservice_operator.api.names import FIELD_MANAGER, PLURAL, VERSION
from tcpservice_operator.api.operator_metrics import OperatorMetrics
from tcpservice_operator.api.plain_objects import Body, Key
from tcpservice_operator.api.workloads import FAILED_CREATE, RESOURCES, Workload, read_workload

T = TypeVar("T")

_APPLY: Final = "application/apply-patch+yaml"
_PAGE: Final = 250
_WATCH_S: Final = 300
_SILENCE_S: Final = 150.0
"""The longest silence of a watch, because the API server sends a bookmark each minute."""

_LONGEST_EVENT: Final = 8 << 20
_MOST_WORDS: Final = 200
_REFUSED: Final = 400
_MISSING: Final = 404
_SECONDS: Final = 10.0
_LEASES: Final = ("coordination.k8s.io", "v1")
_GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "endpointslices": ("apis", "discovery.k8s.io", "v1"),
    "networkpolicies": ("apis", "networking.k8s.io", "v1"),
    PLURAL: ("apis", GROUP, VERSION),
}
"""The paths of the API groups of listed kinds; the other kinds are in the core API."""


class ApiError(Exception):
    """A request failed: `status` is the HTTP status, or 0 if there was no response; the text has the reason."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Client(client.ApiClient):
    """Kubernetes' client, with a check that no name changes the path of a request.

    The client quotes each name, but URL parsers resolve the segments `.` and `..` even if they are quoted.
    """

    async def param_serialize(
        self, method: Any, resource_path: Any, path_params: Any = None, *more: Any, **named: Any
    ) -> Any:
        """Prepare a request. Raises ApiError if a name is not exactly one path segment."""
        for value in (path_params or {}).values():
            _segment(value)
        return await super().param_serialize(method, resource_path, path_params, *more, **named)


class Page(NamedTuple):
    """One page of a list: its objects, and the resourceVersion of the whole list."""

    version: str
    items: list[Body]


class KubeClient:
    """The client of one API server; it counts its writes in `metrics`."""

    def __init__(self, settings: client.Configuration, metrics: OperatorMetrics | None = None) -> None:
        self._api = api = _Client(settings)
        self._core = client.CoreV1Api(api)
        self._admission = client.AdmissionregistrationV1Api(api)
        self._objects = client.CustomObjectsApi(api)
        self._metrics = metrics or OperatorMetrics()

    @classmethod
    async def connect(cls, metrics: OperatorMetrics | None = None) -> Self:
        """Connect with KUBECONFIG or ~/.kube/config, or in a pod with its service account. Raises ApiError."""
        settings = client.Configuration()
        try:
            if "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ:
                config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
            else:
                await config.load_kube_config(client_configuration=settings)  # type: ignore[no-untyped-call]
        except config.ConfigException as error:
            words = str(error).rstrip(".")
            raise ApiError(0, f"no cluster is configured: {words}; set KUBECONFIG, or create ~/.kube/config") from error
        # aiohttp would look for a proxy in the environment and in ~/.netrc, in a thread, for each request.
        settings.client_session_kwargs = {"trust_env": bool(getproxies_environment())}
        return cls(settings, metrics)

    @property
    def settings(self) -> client.Configuration:
        """The configuration of the connection."""
        settings: client.Configuration = self._api.configuration
        return settings

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()  # type: ignore[no-untyped-call]

    # Any request

    async def ask(self, *path: str, query: Mapping[str, str] | None = None, post: Body | None = None) -> Body:
        """Return the object at a path, or the response to `post`.

        `path` has one argument for each segment. Each is quoted, so that a name cannot add a segment or a query.
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
        """Return the text at a path; the arguments are those of `ask`."""
        answer = await self._call(path, {}, None)
        text: bytes = await _asked(answer.read())
        if answer.status >= _REFUSED:
            _read(text, answer.status)
        return text.decode("utf-8", "replace")

    async def _call(
        self, path: Sequence[str], query: Mapping[str, str], post: Body | None, seconds: float | None = None
    ) -> Any:
        method, url, headers, body, form = await self._api.param_serialize(
            "GET" if post is None else "POST", "".join(f"/{_segment(each)}" for each in path), {},
            query_params=list(query.items()), body=post, post_params=[], files={},
            header_params={"Accept": "*/*", "Content-Type": "application/json"}, auth_settings=["BearerToken"],
        )  # fmt: skip
        call: Any = self._api.call_api
        answer: Any = await _asked(
            call(method, url, headers, body, form, _preload_content=False, _request_timeout=seconds)
        )
        return answer.response

    # Reading

    async def pages(self, plural: str, namespace: str = "") -> AsyncIterator[Page]:
        """Yield the objects of a kind in a namespace, or in all (""), page by page.

        Of Events, only those of pods that cannot be created; of namespaces, only the one of that name.
        """
        path, query = _listing(plural, namespace)
        async for page in self._pages(path, query):
            yield page

    async def changes(self, plural: str, namespace: str, version: str) -> AsyncIterator[Body]:
        """Yield the events after a version until the API server ends the watch. Raises ApiError; 410: it is too old."""
        path, query = _listing(plural, namespace)
        query |= {
            "watch": "true", "resourceVersion": version, "allowWatchBookmarks": "true", "timeoutSeconds": f"{_WATCH_S}",
        }  # fmt: skip
        answer = await self._call(path, query, None, seconds=_WATCH_S + _SECONDS)
        lines = Lines(_LONGEST_EVENT)
        try:
            if answer.status >= _REFUSED:
                await _body_of(answer)
            while data := await _next_of(answer.content):
                for line in lines.feed(data):
                    yield _event(line)
        except (aiohttp.ClientError, OSError, TimeoutError, TooLong) as error:
            raise ApiError(
                0, f"the watch of {plural} failed: {str(error) or f'no event or bookmark for {_SILENCE_S:g} s'}"
            ) from error
        finally:
            answer.close()

    async def list_config_maps(self, name: str, namespace: str) -> list[Body]:
        """Return the ConfigMaps of a name in a namespace, or in all ("")."""
        path, _ = _listing("configmaps", namespace)
        return [
            body async for page in self._pages(path, {"fieldSelector": f"metadata.name={name}"}) for body in page.items
        ]

    async def list_in(self, namespace: str, plural: str) -> list[Body]:
        """Return the objects of a kind in one namespace."""
        path, _ = _listing(plural, namespace)
        found: list[Body] = (await self.ask(*path))["items"]
        return found

    async def review_token(self, token: str, audience: str) -> Body:
        """Return the status of a TokenReview."""
        spec = {"token": token, "audiences": [audience]}
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        answer = await self.ask("apis", "authentication.k8s.io", "v1", "tokenreviews", post=review)
        status: Body = answer["status"]
        return status

    async def _pages(self, path: Sequence[str], query: Mapping[str, str]) -> AsyncIterator[Page]:
        """Yield the pages of a list. The API server prepares the next page while the last one is used."""

        def ask(more: Mapping[str, str]) -> asyncio.Task[Body]:
            return asyncio.create_task(self.ask(*path, query={**query, "limit": f"{_PAGE}", **more}))

        asked: asyncio.Task[Body] | None = ask({})
        try:
            while asked is not None:
                answer = await asked
                metadata = answer["metadata"]
                asked = ask({"continue": metadata["continue"]}) if metadata.get("continue") else None
                yield Page(metadata["resourceVersion"], answer["items"])
        finally:
            if asked is not None:
                asked.cancel()

    # Writing

    async def apply_service(self, document: Body) -> None:
        """Apply a Service (server-side apply): set the fields that the operator owns."""
        await self._apply(self._core.patch_namespaced_service, document)

    async def release_service(self, change: Body) -> None:
        """Change a Service's owner by a merge patch. ApiError has the status 409 if another Service has its name."""
        metadata, patch = change["metadata"], self._core.patch_namespaced_service
        await self._write(
            patch(metadata["name"], metadata["namespace"], dict(change), _content_type="application/merge-patch+json")
        )

    async def apply_config_map(self, document: Body) -> None:
        """Apply a ConfigMap (server-side apply)."""
        await self._apply(self._core.patch_namespaced_config_map, document)

    async def apply_status(self, key: Key, status: Body) -> None:
        """Apply the status of a TcpService (server-side apply)."""
        namespace, name = key
        metadata = {"name": name, "namespace": namespace}
        body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "TcpService", "metadata": metadata, "status": dict(status)}
        await self._write(
            self._objects.patch_namespaced_custom_object_status(
                GROUP,
                VERSION,
                namespace,
                PLURAL,
                name,
                body,
                field_manager=FIELD_MANAGER,
                force=True,
                _content_type=_APPLY,
            )
        )

    async def post_event(self, document: Body) -> None:
        """Create an Event."""
        await self._write(self._core.create_namespaced_event(document["metadata"]["namespace"], _plain(document)))

    async def desired_pods(self, namespace: str, workload: str) -> int | None:
        """Return the desired number of pods of a workload (`Kind/name`), None if the workload does not exist."""
        found = await self.workload(namespace, workload)
        return found.wanted if found is not None else None

    async def workload(self, namespace: str, workload: str) -> Workload | None:
        """Return a workload (`Kind/name`), None if it does not exist."""
        kind, _, name = workload.partition("/")
        group, resource = RESOURCES[kind]
        try:
            found = await self.ask("apis", group, "v1", "namespaces", namespace, resource, name)
        except ApiError as error:
            _raise_unless_missing(error)
            return None
        return read_workload(kind, found)

    async def evict(self, pod: Key) -> None:
        """Evict a pod. ApiError has the status 429 if a disruption budget does not allow it."""
        namespace, name = pod
        metadata = {"namespace": namespace, "name": name}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        self._metrics.writes.inc()
        await self.ask("api", "v1", "namespaces", namespace, "pods", name, "eviction", post=eviction)

    async def _apply(self, patch: Any, document: Body) -> None:
        metadata = document["metadata"]
        await self._write(
            patch(
                metadata["name"], metadata["namespace"], dict(document), field_manager=FIELD_MANAGER, force=True,
                _content_type=_APPLY,
            )
        )  # fmt: skip

    async def _write(self, answer: Awaitable[object]) -> None:
        self._metrics.writes.inc()
        await _asked(answer)

    # Objects of the operator itself: the Secret of its CA, its webhook configuration, and its Lease

    async def read_secret(self, key: Key) -> Body | None:
        """Return a Secret, None if it does not exist."""
        namespace, name = key
        ask = _raw(self._core.read_namespaced_secret_without_preload_content)
        try:
            secret: Body = await _asked(ask(name=name, namespace=namespace))
        except ApiError as error:
            _raise_unless_missing(error)
            return None
        return secret

    async def read_webhook(self, name: str) -> Body | None:
        """Return a MutatingWebhookConfiguration, None if it does not exist."""
        ask = _raw(self._admission.read_mutating_webhook_configuration_without_preload_content)
        try:
            found: Body = await _asked(ask(name=name))
        except ApiError as error:
            _raise_unless_missing(error)
            return None
        return found

    async def patch_webhook(self, name: str, operations: list[dict[str, Any]]) -> None:
        """Patch a MutatingWebhookConfiguration (JSON patch)."""
        change = self._admission.patch_mutating_webhook_configuration
        await self._write(change(name, operations, _content_type="application/json-patch+json"))

    async def write_secret(self, document: Body) -> None:
        """Create or replace a Secret. ApiError has the status 409 if another client changed it in between."""
        metadata = document["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        if "resourceVersion" in metadata:
            await self._write(self._core.replace_namespaced_secret(name, namespace, _plain(document)))
        else:
            await self._write(self._core.create_namespaced_secret(namespace, _plain(document)))

    async def read_lease(self, key: Key) -> Body | None:
        """Return a Lease, None if it does not exist."""
        try:
            found: Any = await _asked(self._objects.get_namespaced_custom_object(*_LEASES, key[0], "leases", key[1]))
        except ApiError as error:
            _raise_unless_missing(error)
            return None
        lease: Body = found
        return lease

    async def write_lease(self, document: Body) -> None:
        """Create or replace a Lease. ApiError has the status 409 if another client changed it in between."""
        metadata = document["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        if "resourceVersion" in metadata:
            answer = self._objects.replace_namespaced_custom_object(*_LEASES, namespace, "leases", name, dict(document))
        else:
            answer = self._objects.create_namespaced_custom_object(*_LEASES, namespace, "leases", dict(document))
        await _asked(answer)


def _listing(plural: str, namespace: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the path and the query that list a kind in a namespace, or in all ("")."""
    group = _GROUPS.get(plural, ("api", "v1"))
    if plural == "namespaces":
        return (*group, plural), {"fieldSelector": f"metadata.name={namespace}"} if namespace else {}
    query = {"fieldSelector": f"reason={FAILED_CREATE}"} if plural == "events" else {}
    return (*group, *(("namespaces", namespace) if namespace else ()), plural), query


def _segment(name: Any) -> str:
    """Quote a name as one path segment. Raises ApiError if it cannot be one."""
    if name in ("", ".", ".."):
        raise ApiError(_REFUSED, f'"{name}" is not the name of an object')
    return quote(str(name), safe=":")


def _raw(ask: Any) -> Any:
    """Request plain data. Typed objects would take twice the memory, and parsing many of them would block the loop."""

    async def page(**parameters: Any) -> Any:
        return await _body_of(await ask(**parameters))

    return page


async def _body_of(answer: Any) -> Body:
    """Read a response. Raises ApiError for a refusal, and if the response does not come from an API server."""
    return _read(await _asked(answer.read()), answer.status)


def _read(text: bytes, status: int) -> Body:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        words = " ".join(text.decode("utf-8", "replace").split())
        raise ApiError(
            status if status >= _REFUSED else 0,
            f"unexpected response with status {status}, not JSON: {words[:_MOST_WORDS]}",
        )
    _refuse(found, status)
    return found


def _event(line: bytes) -> Body:
    """Read a line of a watch. Raises ApiError if the line reports an error."""
    event = _read(line, 0)
    if event["type"] == "ERROR":
        _refuse(event["object"], event["object"].get("code") or _REFUSED)
    return event


def _refuse(body: Body, status: int) -> None:
    if status >= _REFUSED:
        causes = (cause.get("message") or "" for cause in (body.get("details") or {}).get("causes") or [])
        words = " ".join([body.get("message") or "", *causes])
        raise ApiError(status, f"{body.get('reason', '')}: {words[:500]}")


def _plain(document: Body) -> Any:
    """Return a document as untyped data, because the client's types do not allow plain dicts."""
    return dict(document)


def _raise_unless_missing(error: ApiError) -> None:
    if error.status != _MISSING:
        raise error


async def _next_of(content: aiohttp.StreamReader) -> bytes:
    """Read the next data; empty at the end. Raises TimeoutError after _SILENCE_S.

    In Python 3.11, asyncio.wait_for loses a cancellation that arrives at the same time as data.
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
        raise ApiError(
            0, f"the API server cannot be reached: {str(error) or f'no response within {_SECONDS:g} s'}"
        ) from error
