"""The flags that name manifests: `-f` and `-k`, as kubectl has them.

Used by `up`, `inject` and `validate`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tcpservice_flags import SettingsError

if TYPE_CHECKING:
    from tcpservice_local.files import Files


def add_manifests(parser: argparse.ArgumentParser) -> None:
    """Add `-f` and `-k`."""
    add = parser.add_argument
    add("-f", "--file", metavar="PATH", type=Path, action="append", default=[],
        help="manifests: a file, a folder of .yaml files, or - for stdin; may be repeated")  # fmt: skip
    add("-k", "--kustomize", metavar="FOLDER", type=Path, action="append", default=[],
        help="a folder with a kustomization, which kubectl or kustomize builds; may be repeated")  # fmt: skip


def files_of(given: argparse.Namespace) -> Files:
    """Return what the flags name. Raises SettingsError if they name nothing that exists."""
    from tcpservice_local.files import (
        Files,
        manifests_in,
    )  # they import much, and `tcpservice send` should start at once
    from tcpservice_local.kustomization import NAMES

    if not given.file and not given.kustomize:
        raise SettingsError("give manifests: -f PATH, or -k FOLDER")
    for path in given.file:
        if str(path) == "-":
            continue
        if not path.exists():
            raise SettingsError(f'-f/--file: there is no file or folder "{path}"')
        if path.is_dir() and not manifests_in(path):
            raise SettingsError(f'-f/--file: no .yaml, .yml or .json file is in the folder "{path}"{_deeper(path)}')
    for folder in given.kustomize:
        if not folder.is_dir():
            raise SettingsError(f'-k/--kustomize: there is no folder "{folder}"')
        if not any((folder / name).is_file() for name in NAMES):
            raise SettingsError(
                f'-k/--kustomize: no kustomization.yaml is in the folder "{folder}"; use -f for manifests'
            )
    return Files(given.file, given.kustomize)


def _deeper(folder: Path) -> str:
    """Name what else to give, if the manifests are in a folder of a folder, or belong to kustomize."""
    from tcpservice_local.files import manifests_in
    from tcpservice_local.kustomization import NAMES

    if any((folder / name).is_file() for name in NAMES):
        return f"; build its kustomization with -k {folder}"
    below = next((each for each in sorted(folder.iterdir()) if each.is_dir() and manifests_in(each)), None)
    return f"; folders in it are not searched, give -f {below}" if below is not None else ""
