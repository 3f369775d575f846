"""A document together with what is wrong with it: which parts can be used all the same.

Used by `rules`, `references` and `replicas`, which go on after the first mistakes so that all are told at once: a part
without a mistake at it, in it or around it is given as its type.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from msgspec import convert

from tcpservice.spec.documents import Document
from tcpservice.spec.paths import look_up
from tcpservice.spec.problems import Finding, Path, Problem

T = TypeVar("T")


class Checked:
    """A document and its mistakes: those of form, and those added later, which take no part away."""

    def __init__(self, document: Document, mistakes: Iterable[Finding]) -> None:
        self.document = document
        self._findings = list(mistakes)
        self._wrong = {finding.path for finding in self._findings}
        self._around = {path[:end] for path in self._wrong for end in range(len(path))}

    @property
    def problems(self) -> list[Problem]:
        """All mistakes, with their lines."""
        return [self.document.problem(finding) for finding in self._findings]

    def add(self, *findings: Finding) -> None:
        """Take note of more mistakes."""
        self._findings += findings

    def whole(self, path: Path) -> bool:
        """Whether nothing is wrong at a path, in it or around it."""
        return path not in self._around and all(path[:end] not in self._wrong for end in range(len(path) + 1))

    def part(self, path: Path, kind: type[T]) -> T | None:
        """Give what stands at a path, unless nothing does or something is wrong with it."""
        value = look_up(self.document.value, path) if self.whole(path) else None
        return None if value is None else convert(value, kind)

    def count(self, path: Path) -> int:
        """Give the length of the list at a path, 0 where there is none."""
        value = look_up(self.document.value, path)
        return len(value) if isinstance(value, list) else 0
