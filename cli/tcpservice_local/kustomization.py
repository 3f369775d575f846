"""A folder with a kustomization, built by kustomize: again only when one of its files has changed.

Used by `files`. kustomize itself builds it (`kubectl kustomize`, else `kustomize build`), because its syntax has many
features. Which folders belong to it is read here, because kustomize does not print that: its own, and those it names.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tcpservice.errors import TcpServiceError
from tcpservice.spec.yamltext import parse

NAMES: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")
ENDINGS: Final = (".yaml", ".yml", ".json", ".env", ".properties", ".txt", ".conf")
"""Files that a build may read; others, such as an app's logs, do not make it build again."""
_COMMANDS: Final = (("kubectl", "kustomize"), ("kustomize", "build"))
_NAMING: Final = ("resources", "bases", "components")
_NOT_LOOKED_AT: Final = frozenset({"node_modules", ".git", ".venv", "dist"})
_BUILD_S: Final = 60.0

Stamp = frozenset[tuple[str, int, int]]


class Kustomization:
    """One kustomization."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stamp: Stamp = frozenset()
        self._text = ""
        self._error: OSError | None = None
        self._process: subprocess.Popen[str] | None = None

    def text(self) -> tuple[str, str]:
        """Return a name in its folder, and what kustomize makes of it. Raises OSError, with kustomize's words."""
        stamp = frozenset(_stamps(self._folder))
        if stamp != self._stamp or not stamp:
            self._stamp, self._error = stamp, None
            try:
                self._text = self._build()
            except OSError as error:
                self._error = error
        if self._error is not None:
            raise self._error
        return str(self._folder / "kustomize build"), self._text

    def _build(self) -> str:
        words = next((words for words in _COMMANDS if shutil.which(words[0])), None)
        if words is None:
            raise FileNotFoundError(errno.ENOENT, "-k needs kubectl or kustomize, and neither is installed", "kubectl")
        command = [*words, str(self._folder)]
        with subprocess.Popen(  # noqa: S603 (the user's own folder, to a program of the user)
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
            errors="replace",
        ) as self._process:  # fmt: skip
            try:
                text, error = self._process.communicate(timeout=_BUILD_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                raise TimeoutError(errno.ETIMEDOUT, f"no result after {_BUILD_S:g} s", " ".join(command)) from None
        if self._process.returncode != 0:
            raise OSError(errno.EINVAL, error.strip().removeprefix("error: "), " ".join(command))
        return text

    def stop(self) -> None:
        """Kill a build that is running in another thread."""
        if self._process is not None:
            self._process.kill()


def _stamps(folder: Path) -> Iterator[tuple[str, int, int]]:
    """Give path, time and size of each file of a kustomization and of those that it names."""
    seen: set[Path] = set()
    left = [folder.resolve()]
    while left:
        each = left.pop()
        if each in seen:
            continue
        seen.add(each)
        left += _named(each)
        for place, folders, files in os.walk(each):
            folders[:] = [name for name in folders if name not in _NOT_LOOKED_AT]
            for name in files:
                if not name.endswith(ENDINGS) and name not in NAMES:
                    continue
                try:
                    found = os.stat(os.path.join(place, name))
                except OSError:
                    continue
                yield os.path.join(place, name), found.st_mtime_ns, found.st_size


def _named(folder: Path) -> list[Path]:
    """Return the folders that a folder's kustomization names."""
    found = []
    for name in NAMES:
        try:
            text = (folder / name).read_text("utf-8", "replace")
        except OSError:
            continue
        try:
            values = [document.tree.value for document in parse(text)]
        except TcpServiceError:  # kustomize says what is wrong with it
            continue
        lists = [value.get(key) for value in values if isinstance(value, dict) for key in _NAMING]
        entries = [entry for each in lists if isinstance(each, list) for entry in each]
        found += [(folder / entry).resolve() for entry in entries if isinstance(entry, str)]
    return [path for path in found if path.is_dir()]
