"""Where manifests come from: files, folders, stdin, and kustomizations; and what they hold now.

Used by `tcpservice up`, which looks twice a second whether they changed, by `inject` and by `validate`.
"""

from __future__ import annotations

import codecs
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tcpservice_local.kustomization import NAMES, Kustomization

ENDINGS: Final = (".yaml", ".yml", ".json")
STDIN: Final = "-"
_NOT_MANIFESTS: Final = ("package.json", "package-lock.json", "nest-cli.json")


class Files:
    """The manifests that some files and folders hold, and those that kustomize builds from some other folders.

    The path `-` is stdin, which is read once.
    """

    def __init__(self, paths: Sequence[Path], kustomized: Sequence[Path] = ()) -> None:
        self._paths = paths
        self._kustomized = kustomized
        self._kustomizations = [Kustomization(folder) for folder in kustomized]
        self._stdin: str | None = None

    def __str__(self) -> str:
        return ", ".join(map(str, [*self._paths, *self._kustomized]))

    def texts(self) -> list[tuple[str, str]]:
        """Return the name and the text of each file. Raises OSError."""
        texts = [text for path in self._paths for text in self._texts_at(path)]
        return texts + [kustomization.text() for kustomization in self._kustomizations]

    def stop(self) -> None:
        """Kill a build of kustomize that is running in another thread; its result is not needed any more."""
        for kustomization in self._kustomizations:
            kustomization.stop()

    def _texts_at(self, path: Path) -> list[tuple[str, str]]:
        if str(path) == STDIN:
            if self._stdin is None:
                self._stdin = _decoded(sys.stdin.buffer.read())
            return [("stdin", self._stdin)]
        files = manifests_in(path) if path.is_dir() else [path]
        return [(str(file), _decoded(file.read_bytes())) for file in files]


def manifests_in(folder: Path) -> list[Path]:
    """Return the manifests of a folder, by name; folders in it are left alone."""
    return sorted(filter(_is_manifest, folder.iterdir()))


def _decoded(content: bytes) -> str:
    """Return text as UTF-8, or as UTF-16 where it begins so, as PowerShell writes it; with the line ends of Unix."""
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8"
    return content.decode(encoding, "replace").replace("\r\n", "\n")


def _is_manifest(path: Path) -> bool:
    """Tell manifests from what else a folder of an app holds; other JSON there is the app's own."""
    if path.name in NAMES:
        return False
    if path.suffix == ".json":
        return path.is_file() and path.name not in _NOT_MANIFESTS and not path.name.startswith("tsconfig")
    return path.suffix in ENDINGS and path.is_file()
