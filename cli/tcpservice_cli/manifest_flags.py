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
    from tcpservice_local.files import Files  # it imports much, and `tcpservice send` should start at once

    if not given.file and not given.kustomize:
        raise SettingsError("give manifests: -f PATH, or -k FOLDER")
    for path in given.file:
        if str(path) != "-" and not path.exists():
            raise SettingsError(f'-f/--file: there is no file or folder "{path}"')
    for folder in given.kustomize:
        if not folder.is_dir():
            raise SettingsError(f'-k/--kustomize: there is no folder "{folder}"')
    return Files(given.file, given.kustomize)
