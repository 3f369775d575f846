"""Manifests on disk: read at the start, and taken in again when they change.

Used by `app`. The files are looked at twice a second, which also sees the swapped links of a mounted ConfigMap, and at
once on SIGUSR1. A file that became wrong changes nothing: its problems are logged once, and the last good snapshot
stays in force.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tcpservice.snapshot import Snapshot
from tcpservice.spec import Reading, read
from tcpservice_sidecar.logs import Log
from tcpservice_sidecar.polling import PollWait

_LOOK_S: Final = 0.5
_ENDINGS: Final = (".yaml", ".yml", ".json")


class FileSource:
    """The snapshot that some files and folders describe."""

    def __init__(self, paths: tuple[Path, ...], log: Log) -> None:
        self._paths = paths
        self._log = log
        self._texts: list[tuple[str, str]] = []
        self._pause = PollWait(_LOOK_S)

    def look(self) -> None:
        """Look at the files now."""
        self._pause.cut()

    def load(self) -> Reading:
        """Read all files. Raises OSError for one that cannot be read."""
        self._texts = self._read_texts()
        return read(self._texts)

    async def watch(self, swap: Callable[[Snapshot], None]) -> None:
        """Give each new snapshot to `swap`, for ever."""
        said = ""
        while True:
            await self._pause.wait()
            try:
                texts = self._read_texts()
            except OSError as error:
                if said != str(error):
                    said = str(error)
                    self._log.error("manifest_unreadable", f"{error}; the last good state stays in force")
                continue
            said = ""
            if texts != self._texts:
                self._texts = texts
                self._take(await asyncio.to_thread(read, texts), swap)

    def _take(self, reading: Reading, swap: Callable[[Snapshot], None]) -> None:
        if reading.snapshot is None:
            for problem in reading.problems:
                self._log.error("manifest_refused", str(problem))
            self._log.error("manifest_refused", "the last good state stays in force")
            return
        swap(reading.snapshot)
        count = sum(len(service.endpoints) for service in reading.snapshot.services)
        self._log.info("snapshot_taken", f"{len(reading.snapshot.services)} services, {count} endpoints")

    def _read_texts(self) -> list[tuple[str, str]]:
        return [(str(path), path.read_text("utf-8", "replace")) for path in self._files()]

    def _files(self) -> list[Path]:
        files: list[Path] = []
        for path in self._paths:
            if path.is_dir():
                files += sorted(child for child in path.iterdir() if child.suffix in _ENDINGS and child.is_file())
            else:
                files.append(path)
        return files
