"""Injection without a cluster: manifests in, the same manifests with sidecars out, by the webhook's own function.

Used by `tcpservice inject`. What the manifests do not have (a namespace's labels, a Service that somebody else made) is
not known here, and then the webhook may decide otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from tcpservice.spec.documents import DEFAULT_NAMESPACE
from tcpservice_operator.injection import inject
from tcpservice_operator.options import Options
from tcpservice_operator.state import State
from tcpservice_operator.views import roles_of
from tcpservice_operator.workloads import template_of, with_template

Document = dict[str, Any]


class Result(Struct, frozen=True):
    """A document as it should be, and what is to be said of it."""

    document: Document
    lines: tuple[str, ...] = ()


def inject_all(documents: Sequence[Document], options: Options) -> Iterator[Result]:
    """Give each document, those that make pods with the sidecar in them."""
    every = list(flat(documents))
    state = state_of(every)
    for document in every:
        yield _inject(document, state, options)


def flat(documents: Iterable[Document]) -> Iterator[Document]:
    """Give each document, those of a List one by one."""
    for document in documents:
        if document.get("kind") == "List":
            yield from flat(document.get("items") or [])
        else:
            yield document


def state_of(documents: Iterable[Document]) -> State:
    """Know what the manifests say, as if they had been applied."""
    state = State()
    for document in documents:
        metadata = {"uid": "", **(document.get("metadata") or {}), "namespace": _namespace(document)}
        body = {**document, "metadata": metadata, "spec": document.get("spec") or {}}
        match document.get("kind"):
            case "TcpService":
                state.see_wanted(body)
            case "Service":
                state.see_service(body)
            case "Namespace":
                state.see_namespace(body)
    return state


def _inject(document: Document, state: State, options: Options) -> Result:
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
        return Result(document, (f"{name}: left alone, as {injected.reason}",))
    made = injected.pod
    if "namespace" not in metadata:
        del made["metadata"]["namespace"]
    served = ", ".join("/".join(each.key) for each in roles.serves) or "none"
    said = f"{name}: injected; serves {served}; calls {len(roles.calls)}"
    return Result(with_template(document, made), (said, *(f"{name}: {note}" for note in injected.notes)))


def _namespace(document: Document) -> str:
    namespace: str = (document.get("metadata") or {}).get("namespace") or DEFAULT_NAMESPACE
    return namespace
