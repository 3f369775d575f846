"""Following the kinds of which there may be many: a list page by page, then its changes one by one.

Used by `app`. kopf holds every object of a list at once, some 70 KiB for each pod while it is taken in (measured with
10,000); this holds a page.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from functools import partial
from typing import Final, Protocol

from tcpservice_operator.cluster import ApiError
from tcpservice_operator.kinds import Kind
from tcpservice_operator.objects import Body
from tcpservice_operator.reading import Reader, Touch
from tcpservice_operator.state import State

_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 2.0
_LOGGER: Final = logging.getLogger("tcpservice.operator")


class Changes(Protocol):
    """Who knows what changes."""

    def changes(self, plural: str, version: str) -> AsyncIterator[Body]:
        """Give the events after a version until the API server ends this. Raises ApiError; 410: it is too old."""


class Follower:
    """Follows one kind, from the version that the reader has of it."""

    def __init__(self, kind: Kind, state: State, changes: Changes, reader: Reader, touch: Touch) -> None:
        self._kind = kind
        self._see = partial(kind.see, state)
        self._changes = changes
        self._reader = reader
        self._versions = reader.versions
        self._touch = touch

    async def run(self) -> None:
        """Follow for ever; what fails is tried again, with what went in the meantime found by reading anew."""
        pause = _FIRST_PAUSE_S
        while True:
            try:
                if self._kind.plural not in self._versions:
                    await self._reader.read(self._kind)
                await self._follow()
                pause = _FIRST_PAUSE_S
            except ApiError as error:
                if error.status:  # it answered: the version is too old, or something is wrong that a list will tell
                    self._versions.pop(self._kind.plural, None)
                    pause = _FIRST_PAUSE_S
                _LOGGER.info("the %s are followed anew in %g s: %s", self._kind.plural, pause, error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _follow(self) -> None:
        plural = self._kind.plural
        async for event in self._changes.changes(plural, self._versions[plural]):
            body: Body = event["object"]
            self._versions[plural] = body["metadata"]["resourceVersion"]
            if event["type"] != "BOOKMARK":
                self._touch(self._see(body, gone=event["type"] == "DELETED"))
