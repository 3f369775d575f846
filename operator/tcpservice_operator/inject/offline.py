"""Adds sidecars to manifests, without a cluster, by the same function as the webhook.

Used by `tcpservice inject`. It knows only what the manifests contain. If a namespace's label or a Service exists in the
cluster only, the webhook may decide differently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from tcpservice.spec.documents import DEFAULT_NAMESPACE
from tcpservice_operator.cache.cluster_state import ClusterState
from tcpservice_operator.cache.pod_views import roles_of
from tcpservice_operator.inject.pod_patch import inject
from tcpservice_operator.inject.pod_templates import template_of, with_template
from tcpservice_operator.inject.sidecar_options import Options

Document = dict[str, Any]


class Result(Struct, frozen=True):
    """A patched document, and lines that report what was done."""

    document: Document
    lines: tuple[str, ...] = ()


def inject_all(documents: Sequence[Document], options: Options) -> Iterator[Result]:
    """Yield each document; pods and pod templates have the sidecar."""
    every = list(flat(documents))
    state = state_of(every)
    for document in every:
        yield _inject(document, state, options)


def flat(documents: Iterable[Document]) -> Iterator[Document]:
    """Yield each document; the items of a List one by one."""
    for document in documents:
        if document.get("kind") == "List":
            yield from flat(document.get("items") or [])
        else:
            yield document


def state_of(documents: Iterable[Document]) -> ClusterState:
    """Return the state of a cluster to which the manifests were applied."""
    state = ClusterState()
    for document in documents:
        metadata = {"uid": "", **(document.get("metadata") or {}), "namespace": _namespace(document)}
        body = {**document, "metadata": metadata, "spec": document.get("spec") or {}}
        match document.get("kind"):
            case "TcpService":
                state.apply_tcp_service_event(body)
            case "Service":
                state.apply_service_event(body)
            case "Namespace":
                state.apply_namespace_event(body)
    return state


def _inject(document: Document, state: ClusterState, options: Options) -> Result:
    template = template_of(document)
    if template is None:
        return Result(document)
    namespace = _namespace(document)
    metadata = template.get("metadata") or {}
    pod = {**template, "metadata": {**metadata, "namespace": namespace}}
    roles = roles_of(state, template, namespace)
    injected = inject(pod, roles, options)
    name = f"{document['kind'].lower()}/{(document.get('metadata') or {}).get('name', '?')}"
    if injected.reason:
        return Result(document, (f"{name}: not changed, because {injected.reason}",))
    made = injected.pod
    if "namespace" not in metadata:
        del made["metadata"]["namespace"]
    served = ", ".join("/".join(each.key) for each in roles.serves) or "none"
    calls = len(roles.calls)
    summary = f"{name}: sidecar added; serves {served}; calls {calls} TcpService{'' if calls == 1 else 's'}"
    return Result(with_template(document, made), (summary, *(f"{name}: {note}" for note in injected.notes)))


def _namespace(document: Document) -> str:
    namespace: str = (document.get("metadata") or {}).get("namespace") or DEFAULT_NAMESPACE
    return namespace
