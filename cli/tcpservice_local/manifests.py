"""Reads the manifests of `tcpservice up`: TcpServices, Deployments, Services and ConfigMaps, each on its own.

Used by `fleet_plan`. It reports all errors together, each with file, line and path, and reports errors of TcpServices
with the same messages as the sidecar. It does no I/O: the caller reads the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tcpservice.spec import Problem, read
from tcpservice.spec.check import check
from tcpservice.spec.checked import Checked
from tcpservice.spec.documents import DEFAULT_NAMESPACE, LIST, SERVICE, Document, read_file
from tcpservice.spec.problems import Finding
from tcpservice.spec.schema import GROUP
from tcpservice_local.kubernetes_fields import misspelt, nearest
from tcpservice_local.workloads import ConfigMap, Deployment, Kind, Labelled, Service
from tcpservice_local.yaml_advice import RENDER, advice, has_template

_KINDS: Final[dict[tuple[object, object], type[Kind]]] = {
    ("apps/v1", "Deployment"): Deployment,
    ("v1", "Service"): Service,
    ("v1", "ConfigMap"): ConfigMap,
}
_VERSIONS: Final = {str(kind): str(version) for version, kind in _KINDS}
_ALIKE: Final = 0.8
_THE_SAME: Final = 0.9
_NAME: Final = ("metadata", "name")
_HEAD: Final = ("apiVersion", "kind")
_REPLICAS: Final = "-replicas"


class Refused(Exception):
    """Manifests that cannot be run; `problems` says everything that is wrong with them."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        super().__init__()
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class Manifests(Struct, frozen=True, kw_only=True):
    """The documents by `namespace/name`; `others` are those of other kinds, and `skipped` names them."""

    tcp_services: dict[str, Checked]
    deployments: dict[str, Checked]
    services: dict[str, Checked]
    config_maps: dict[str, Checked]
    others: tuple[Document, ...]

    @property
    def skipped(self) -> tuple[str, ...]:
        """The names of the documents of other kinds."""
        return tuple(_named(document) for document in self.others)

    def problems(self) -> list[Problem]:
        """Everything that was found wrong, document by document."""
        return list(problems_of((*self.tcp_services.values(), *self.deployments.values())))


def read_manifests(files: Sequence[tuple[str, str]]) -> Manifests:
    """Read files, given by name and text. Raises Refused."""
    problems = list(read(files).problems)
    documents = [document for name, text in files for document in read_file(name, text).documents]
    found: dict[str, dict[str, Checked]] = {"Deployment": {}, "Service": {}, "ConfigMap": {}, SERVICE: {}}
    others = []
    for document in documents:
        each = _examine(document)
        if each is None:
            wrong = Checked(document, _check_kind(document))
            problems += wrong.problems
            others += [document] if document.kind != LIST and not wrong.problems else []
            continue
        first = found[document.kind].setdefault(key_of(document), each)
        if first is not each and document.kind != SERVICE:
            place = f"{first.document.file}:{first.document.tree.line_of(_NAME)}"
            each.add(Finding(_NAME, f"{document.label} is already at {place}; rename or remove one of them"))
        problems += each.problems
    if problems:
        texts = dict(files)
        raise Refused(_in_order(_with_advice(problem, texts.get(problem.file, "")) for problem in problems))
    return Manifests(
        tcp_services=found[SERVICE],
        deployments=found["Deployment"],
        services=found["Service"],
        config_maps=found["ConfigMap"],
        others=tuple(others),
    )


def _with_advice(problem: Problem, text: str) -> Problem:
    """Add what to do, where the text of the file shows it."""
    if problem.path in _HEAD and "twice" in problem.message:
        more = "if a new document begins here, write a line --- before it"
    elif problem.document:
        more = RENDER if has_template(problem.message) else ""
    else:
        more = advice(text, problem.line) if text.strip() else ""
    return replace(problem, message=f"{problem.message}; {more}") if more else problem


def _named(document: Document) -> str:
    """Name a document of another kind; where that is nearly one that is run here, ask."""
    near = nearest(document.kind, [*_VERSIONS], _ALIKE)
    hint = f" (did you mean {near}?)" if near and near != document.kind else ""
    return f"{document.file}: {document.label}{hint}"


def _check_kind(document: Document) -> Iterator[Finding]:
    """Find a kind that is run here under another name or version. Kinds of other groups may have any name."""
    value = document.value
    version, kind = (value.get("apiVersion"), value.get("kind")) if isinstance(value, dict) else (None, None)
    if not isinstance(version, str) or not isinstance(kind, str) or version.startswith(f"{GROUP}/"):
        return
    if kind.endswith("List"):
        return
    known = {**_VERSIONS, SERVICE: f"{GROUP}/v1alpha1"}
    of_kubernetes = "." not in version.partition("/")[0]
    near = nearest(kind, [*known], _ALIKE) if of_kubernetes else nearest(kind, [SERVICE], _THE_SAME)
    if near is None:
        return
    if kind != near:
        yield Finding(("kind",), f'unknown kind "{kind}", did you mean "{near}"?')
    if version != known[near]:
        yield Finding(("apiVersion",), f'expected {known[near]} for the kind {near}, got "{version}"')


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
    value = document.value
    if document.kind == SERVICE:
        return Checked(document, (*check(value, Labelled), *_check_ending(value)))
    kind = _KINDS.get((value.get("apiVersion"), value.get("kind"))) if isinstance(value, dict) else None
    return None if kind is None else Checked(document, (*check(value, kind), *misspelt(value, kind)))


def _check_ending(value: object) -> Iterator[Finding]:
    """Refuse the names that the operator gives to Services of its own."""
    metadata = value.get("metadata") if isinstance(value, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if isinstance(name, str) and name.endswith(_REPLICAS):
        wanted = f"a name that does not end with {_REPLICAS}, because the operator creates Services with that ending"
        yield Finding(_NAME, f'expected {wanted}, got "{name}"')


def _in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Each problem once, file by file and line by line."""
    unique = {str(problem): problem for problem in problems}
    return sorted(unique.values(), key=lambda problem: (problem.file, problem.line))
