"""The documents of a manifest file: what kind each is, what people call it, and on which line what stands.

Used by `reading`. A file may hold several documents, and Kubernetes Lists of them; kinds that are not ours are named
and left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from tcpservice.spec.paths import look_up
from tcpservice.spec.problems import Finding, Path, Problem, expected, render
from tcpservice.spec.schema import GROUP
from tcpservice.spec.tree import Tree, Unreadable
from tcpservice.spec.yamltext import Parsed, parse

SERVICE: Final = "TcpService"
SLICE: Final = "EndpointSlice"
LIST: Final = "List"
DEFAULT_NAMESPACE: Final = "default"
_KINDS: Final = (SERVICE, SLICE)
_EXAMPLES: Final = {"apiVersion": f"a version such as {GROUP}/v1alpha1", "kind": f"a kind such as {SERVICE}"}
_SHOWABLE: Final = re.compile(r"[A-Za-z0-9_.:-]{1,253}")


class Document(Struct, frozen=True, kw_only=True, eq=False):
    """One object; `findings` is what is wrong with it so far."""

    file: str
    label: str
    kind: str
    tree: Tree
    findings: tuple[Finding, ...]

    @property
    def value(self) -> object:
        """The object as plain data."""
        return self.tree.value

    @property
    def ignored(self) -> bool:
        """Whether it is sound, and of a kind that the sidecar leaves alone."""
        return self.kind not in (*_KINDS, LIST) and not self.findings

    def problem(self, finding: Finding) -> Problem:
        """Say of a finding in which file and on which line it is."""
        return Problem(
            file=self.file,
            line=self.tree.line_of(finding.path),
            document=self.label,
            path=render(finding.path),
            message=finding.text,
        )

    def place(self, path: Path) -> str:
        """Say where something in it stands, for people."""
        return f"{self.file}:{self.tree.line_of(path)}: {self.label}: {render(path)}"


class File(Struct, frozen=True, kw_only=True):
    """What a file holds; `problem` is what kept the rest of it from being read."""

    documents: tuple[Document, ...]
    problem: Problem | None = None


def read_file(file: str, text: str) -> File:
    """Read the documents of a file, up to where it cannot be read any further."""
    documents: list[Document] = []
    problem: Problem | None = None
    number = 0
    try:
        for parsed in parse(text):
            if parsed.tree.value is not None:
                number += 1
                documents += _split(file, parsed, f"document {number}")
    except Unreadable as error:
        problem = _of_whole(file, error.line, error.message)
    else:
        if number == 0:
            problem = _of_whole(file, 1, "expected a manifest such as a TcpService, got an empty file")
    return File(documents=tuple(documents), problem=problem)


def _of_whole(file: str, line: int, message: str) -> Problem:
    return Problem(file=file, line=line, document="", path="", message=message)


def _split(file: str, parsed: Parsed, position: str) -> Iterator[Document]:
    """Give the document, and those that it holds if it is a List."""
    value = parsed.tree.value
    items = look_up(value, ("items",)) if look_up(value, ("kind",)) == LIST else None
    within = isinstance(items, list)
    outside = tuple(repeat for repeat in parsed.repeats if not (within and _in_item(repeat)))
    yield _document(file, Parsed(parsed.tree, outside), position)
    for index, (_, tree) in parsed.tree.members["items"][1].members.items() if within else ():
        inside = (repeat for repeat in parsed.repeats if repeat.path[:2] == ("items", index))
        repeats = tuple(Finding(repeat.path[2:], repeat.message) for repeat in inside)
        yield from _split(file, Parsed(tree, repeats), f"{position}, items[{index}]")


def _in_item(repeat: Finding) -> bool:
    return repeat.path[0] == "items" and len(repeat.path) > 1


def _document(file: str, parsed: Parsed, position: str) -> Document:
    value = parsed.tree.value
    kind = value.get("kind") if isinstance(value, dict) else None
    return Document(
        file=file,
        label=_label(kind, look_up(value, ("metadata",))) or position,
        kind=kind if isinstance(kind, str) else "",
        tree=parsed.tree,
        findings=(*parsed.repeats, *_check_kind(value)),
    )


def _label(kind: object, metadata: object) -> str | None:
    """Name the object as people do; None where it has no name to show."""
    name, namespace = look_up(metadata, ("name",)), look_up(metadata, ("namespace",))
    if namespace is None and kind in _KINDS:
        namespace = DEFAULT_NAMESPACE
    words = [kind, name] if namespace is None else [kind, namespace, name]
    if not all(isinstance(word, str) and _SHOWABLE.fullmatch(word) for word in words):
        return None
    return f"{kind} {'/'.join(str(word) for word in words[1:])}"


def _check_kind(value: object) -> Iterator[Finding]:
    """Find what keeps a document from saying what it is; the types of `_KINDS` check that themselves."""
    if not isinstance(value, dict):
        yield expected((), "a mapping with apiVersion and kind", value)
        return
    version, kind = value.get("apiVersion"), value.get("kind")
    if kind in _KINDS:
        return
    for key, word in (("apiVersion", version), ("kind", kind)):
        if word is None:
            yield Finding((key,), f"missing; expected {_EXAMPLES[key]}")
        elif not isinstance(word, str):
            yield expected((key,), _EXAMPLES[key], word)
    if isinstance(kind, str) and isinstance(version, str) and version.startswith(f"{GROUP}/"):
        yield expected(("kind",), SERVICE, kind)
    if kind == LIST and not isinstance(value.get("items"), list):
        yield expected(("items",), "a list", value.get("items"))
