"""Manifests on disk: which files there are, and what is in them now.

Used by `tcpservice up`, which looks twice a second whether they changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

ENDINGS: Final = (".yaml", ".yml", ".json")
_NOT_MANIFESTS: Final = ("package.json", "package-lock.json", "nest-cli.json")


class Files:
    """The manifests that some files and folders hold."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    def texts(self) -> list[tuple[str, str]]:
        """Return the name and the text of each file. Raises OSError."""
        return [(str(path), path.read_text("utf-8", "replace")) for path in self._files()]

    def _files(self) -> list[Path]:
        found: list[Path] = []
        for path in self._paths:
            found += sorted(filter(_is_manifest, path.iterdir())) if path.is_dir() else [path]
        return found


def _is_manifest(path: Path) -> bool:
    """Tell manifests from what else a folder of an app holds; other JSON there is the app's own."""
    if path.suffix == ".json":
        return path.is_file() and path.name not in _NOT_MANIFESTS and not path.name.startswith("tsconfig")
    return path.suffix in ENDINGS and path.is_file()
