"""Which form of a message's path runs: compiled, or the same source as plain Python.

Used by this package's `__init__`, before any other module is imported, and by everybody who tells people which form
runs. The modules on a message's path have a `.pxd` file with C types beside them, and Cython compiles them where there
is a C compiler. All of them are built or none is, since compiled modules rely on each other's types.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from importlib.util import find_spec
from types import ModuleType
from typing import Final

VARIABLE: Final = "TCPSERVICE_IMPL"
"""The environment variable that chooses the form."""

COMPILED: Final = "compiled"
PYTHON: Final = "python"
CHOICES: Final = ("auto", COMPILED, PYTHON)

_PACKAGE: Final = __name__.partition(".")[0]
_PACKAGES: Final = (_PACKAGE, "tcpservice_sockets", "tcpservice_sidecar")
_ANY_COMPILED: Final = f"{_PACKAGE}.wire.scan"


class _SourceFinder:
    """Finds the source of modules, also where a compiled form lies beside it."""

    @staticmethod
    def find_spec(
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,  # noqa: ARG004 - the import system passes it
    ) -> ModuleSpec | None:
        if path is None or name.partition(".")[0] not in _PACKAGES:
            return None
        finders = (FileFinder(folder, (SourceFileLoader, SOURCE_SUFFIXES)) for folder in path)
        return next((spec for finder in finders if (spec := finder.find_spec(name)) is not None), None)


def choose(choice: str) -> None:
    """Let all modules be imported from their source from now on, if that is the choice."""
    if choice == PYTHON:
        sys.meta_path.insert(0, _SourceFinder)


def running() -> str:
    """Return the form that runs: `compiled` or `python`."""
    spec = find_spec(_ANY_COMPILED)
    assert spec is not None
    assert spec.origin is not None
    return COMPILED if spec.origin.endswith(tuple(EXTENSION_SUFFIXES)) else PYTHON
