"""What can be wrong with manifests, in words: problems, the paths they point at, and how values are shown.

Every module of this package that finds something wrong says so as a `Finding` inside one document; the document makes
it a `Problem` by adding the file and the line.
"""

from __future__ import annotations

import json
import re
from typing import Final

from msgspec import Struct

Path = tuple[str | int, ...]

_LONGEST_SHOWN: Final = 80
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class Finding(Struct, frozen=True):
    """Something wrong at a path of one document."""

    path: Path
    message: str

    @property
    def text(self) -> str:
        """The path and what is wrong there."""
        return f"{render(self.path)}: {self.message}" if self.path else self.message


class Unsupported(Finding, frozen=True):
    """Something at a path that cannot be done yet; `message` is the value that asks for it, or empty."""

    @property
    def text(self) -> str:
        """What cannot be done."""
        return ": ".join(part for part in ("not supported yet", render(self.path), self.message) if part)


class Problem(Struct, frozen=True, kw_only=True):
    """Something wrong in a file, in full in `message`; `document` and `path` are empty where it concerns the whole."""

    file: str
    line: int
    document: str
    path: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (f"{self.file}:{self.line}", self.document, self.message) if part)


def expected(path: Path, what: str, got: object, fix: str = "") -> Finding:
    """Say that a value is not what it should be, and how to fix it if that is known."""
    return Finding(path, f"expected {what}, got {show(got)}" + (f"; {fix}" if fix else ""))


def render(path: Path) -> str:
    """Write a path as people know it: `spec.routes[1].name`, `metadata.labels["a/b"]`."""
    text = "".join(_step(step) for step in path)
    return text.removeprefix(".")


def _step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if _PLAIN_KEY.fullmatch(step) else f"[{show(step)}]"


def show(value: object) -> str:
    """Write a value as JSON on one line, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if not text.isprintable():
        text = json.dumps(value, separators=(",", ":"))
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."
