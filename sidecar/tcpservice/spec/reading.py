"""Manifests, as the text of files, to the snapshot they describe or to everything that is wrong with them.

The whole path of a manifest: text to documents, each checked by its type and its rules, then all of them together.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, convert

from tcpservice.snapshot import Snapshot
from tcpservice.spec.addresses import check_endpoints
from tcpservice.spec.assemble import assemble
from tcpservice.spec.check import check
from tcpservice.spec.checked import Checked
from tcpservice.spec.documents import SERVICE, SLICE, Document, File, read_file
from tcpservice.spec.problems import Problem
from tcpservice.spec.references import Services
from tcpservice.spec.replicas import replicas_of
from tcpservice.spec.rules import check_rules
from tcpservice.spec.schema import TcpService
from tcpservice.spec.slices import EndpointSlice
from tcpservice.spec.unsupported import find_unsupported


class Reading(Struct, frozen=True, kw_only=True):
    """What manifests say: a snapshot, or else the problems that keep it from being made; and what was left alone."""

    problems: tuple[Problem, ...] = ()
    snapshot: Snapshot | None = None
    ignored: tuple[str, ...] = ()


def read(files: Sequence[tuple[str, str]]) -> Reading:
    """Read manifests, given as the name and the text of each file."""
    contents = [read_file(name, text) for name, text in files]
    documents = [[_examine(document) for document in content.documents] for content in contents]
    every = [document for per_file in documents for document in per_file]
    services = Services(
        [each for each in every if each.document.kind == SERVICE],
        [each for each in every if each.document.kind == SLICE],
        complete=all(content.problem is None for content in contents),
    )
    replicas = {key: replicas_of(service, services.slices[key]) for key, service in services.named.items()}
    problems = [problem for pair in zip(contents, documents, strict=True) for problem in _problems(*pair)]
    snapshot = None
    if not problems:
        snapshot = Snapshot(
            services=tuple(
                assemble(convert(service.document.value, TcpService), replicas[key])
                for key, service in services.named.items()
            )
        )
    ignored = tuple(f"{each.document.file}: {each.document.label}" for each in every if each.document.ignored)
    return Reading(problems=tuple(problems), snapshot=snapshot, ignored=ignored)


def _examine(document: Document) -> Checked:
    """Check a document for itself."""
    if document.kind == SERVICE:
        checked = Checked(document, (*document.findings, *check(document.value, TcpService)))
        checked.add(*check_rules(checked), *find_unsupported(document.value))
    elif document.kind == SLICE:
        checked = Checked(document, (*document.findings, *check(document.value, EndpointSlice)))
        checked.add(*check_endpoints(checked))
    else:
        checked = Checked(document, document.findings)
    return checked


def _problems(content: File, documents: Sequence[Checked]) -> list[Problem]:
    """Give the problems of one file in the order of their lines."""
    problems = [problem for document in documents for problem in document.problems]
    if content.problem is not None:
        problems.append(content.problem)
    return sorted(problems, key=lambda problem: problem.line)
