"""Reads the manifests of `tcpservice up`: TcpServices, Deployments, Services and ConfigMaps, each on its own.

Used by `fleet_plan`. It reports all errors together, each with file, line and path, and reports errors of TcpServices
with the same messages as the sidecar. It does no I/O: the caller reads the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Final

from msgspec import Struct

from tcpservice.spec import Problem, read
from tcpservice.spec.check import check
from tcpservice.spec.checked import Checked
from tcpservice.spec.documents import DEFAULT_NAMESPACE, LIST, SERVICE, Document, read_file
from tcpservice.spec.problems import Finding
from tcpservice_local.workloads import ConfigMap, Deployment, Kind, Service

_KINDS: Final[dict[tuple[object, object], type[Kind]]] = {
    ("apps/v1", "Deployment"): Deployment,
    ("v1", "Service"): Service,
    ("v1", "ConfigMap"): ConfigMap,
}
_NAME: Final = ("metadata", "name")


class Refused(Exception):
    """Manifests that cannot be run; `problems` says everything that is wrong with them."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        super().__init__()
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class Manifests(Struct, frozen=True, kw_only=True):
    """The documents by `namespace/name`; `skipped` names those of other kinds."""

    tcp_services: dict[str, Checked]
    deployments: dict[str, Checked]
    services: dict[str, Checked]
    config_maps: dict[str, Checked]
    skipped: tuple[str, ...]

    def problems(self) -> list[Problem]:
        """Everything that was found wrong, document by document."""
        return list(problems_of((*self.tcp_services.values(), *self.deployments.values())))


def read_manifests(files: Sequence[tuple[str, str]]) -> Manifests:
    """Read files, given by name and text. Raises Refused."""
    problems = list(read(files).problems)
    documents = [document for name, text in files for document in read_file(name, text).documents]
    found: dict[str, dict[str, Checked]] = {"Deployment": {}, "Service": {}, "ConfigMap": {}, SERVICE: {}}
    skipped = []
    for document in documents:
        each = _examine(document)
        if each is None:
            skipped += [_named(document)] if document.kind != LIST else []
            continue
        first = found[document.kind].setdefault(key_of(document), each)
        if first is not each and document.kind != SERVICE:
            each.add(Finding(_NAME, f"already the name of {first.document.place(_NAME)}"))
        problems += each.problems
    if problems:
        raise Refused(_in_order(problems))
    return Manifests(
        tcp_services=found[SERVICE],
        deployments=found["Deployment"],
        services=found["Service"],
        config_maps=found["ConfigMap"],
        skipped=tuple(skipped),
    )


def _named(document: Document) -> str:
    """Name a document of another kind; where that is nearly one that is run here, ask."""
    near = get_close_matches(document.kind, [str(kind) for _, kind in _KINDS], n=1, cutoff=0.8)
    return f"{document.file}: {document.label}" + (f" (did you mean {near[0]}?)" if near else "")


def key_of(document: Document) -> str:
    """Return `namespace/name` of an object."""
    value = document.value
    metadata = value.get("metadata") if isinstance(value, dict) else None
    known = metadata if isinstance(metadata, dict) else {}
    return f"{known.get('namespace') or DEFAULT_NAMESPACE}/{known.get('name')}"


def problems_of(documents: Iterable[Checked]) -> Iterator[Problem]:
    """Give what is wrong with some documents."""
    return (problem for each in documents for problem in each.problems)


def _examine(document: Document) -> Checked | None:
    """Check a document of a kind that is run here; None for all others."""
    if document.kind == SERVICE:
        return Checked(document, ())
    value = document.value
    kind = _KINDS.get((value.get("apiVersion"), value.get("kind"))) if isinstance(value, dict) else None
    return None if kind is None else Checked(document, check(value, kind))


def _in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Each problem once, file by file and line by line."""
    unique = {str(problem): problem for problem in problems}
    return sorted(unique.values(), key=lambda problem: (problem.file, problem.line))
